"""The files of an image are those of its layers, the last one first."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from releasing import archives
from testbed import images

if TYPE_CHECKING:
    from pathlib import Path


def packed(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def image(path: Path, layers: list[bytes]) -> Path:
    blobs = {hashlib.sha256(data).hexdigest(): data for data in layers}
    manifest = json.dumps({"layers": [{"digest": f"sha256:{hashlib.sha256(data).hexdigest()}"} for data in layers]})
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    index = json.dumps({"manifests": [{"digest": f"sha256:{digest}"}]})
    blobs[digest] = manifest.encode()
    path.write_bytes(packed({"index.json": index.encode(), **{f"blobs/sha256/{name}": blobs[name] for name in blobs}}))
    return path


def read(path: Path) -> dict[str, bytes]:
    return archives.files(path, lambda name: name != "unwanted")


def test_a_later_layer_wins_and_what_it_deletes_is_gone(tmp_path: Path) -> None:
    path = image(
        tmp_path / "a",
        [
            gzip.compress(packed({"etc/a": b"1", "etc/b": b"1", "opt/c": b"1", "opt/d/e": b"1", "unwanted": b"1"})),
            packed({"./etc/a": b"2", "etc/.wh.b": b"", "opt/.wh.d": b""}),
            gzip.compress(packed({"etc/f": b"3"})),
        ],
    )
    assert read(path) == {"etc/a": b"2", "opt/c": b"1", "etc/f": b"3"}


def test_a_folder_that_a_layer_makes_anew_has_only_what_that_layer_puts_into_it(tmp_path: Path) -> None:
    path = image(tmp_path / "a", [packed({"etc/a": b"1", "b": b"1"}), packed({"etc/.wh..wh..opq": b"", "etc/c": b"2"})])
    assert read(path) == {"b": b"1", "etc/c": b"2"}


def test_an_archive_of_our_own_writer_is_read(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"does nothing")
    images.program_image(tmp_path / "a", "registry.example/x:1", {"/opt/bin/x": program})
    assert read(tmp_path / "a") == {"opt/bin/x": b"does nothing"}


def test_a_layer_that_python_cannot_read_is_named(tmp_path: Path) -> None:
    path = image(tmp_path / "a", [b"\x28\xb5\x2f\xfd" + bytes(600)])
    with pytest.raises(archives.ArchiveError, match="neither plain nor packed with gzip"):
        read(path)
