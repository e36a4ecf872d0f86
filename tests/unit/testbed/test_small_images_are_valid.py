"""OCI archives written without any tool."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from testbed import images

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def archive(tmp_path: Path) -> dict[str, bytes]:
    information = tarfile.TarInfo("hello")
    information.size = 2
    images.write_archive(
        tmp_path / "a.tar", [(("example.com/a:1", "b:1"), [(information, b"hi")], {"Cmd": ["/hello"]})]
    )
    with tarfile.open(tmp_path / "a.tar") as opened:
        files = {member.name: opened.extractfile(member) for member in opened.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def blob(archive: dict[str, bytes], described: dict[str, Any]) -> bytes:
    data = archive["blobs/" + described["digest"].replace(":", "/")]
    assert len(data) == described["size"]
    return data


class TestArchives:
    def test_every_blob_is_named_after_its_content(self, archive: dict[str, bytes]) -> None:
        blobs = {name: data for name, data in archive.items() if name.startswith("blobs/")}
        assert len(blobs) == 3
        assert all(name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}" for name, data in blobs.items())

    def test_an_image_has_all_its_names(self, archive: dict[str, bytes]) -> None:
        index = json.loads(archive["index.json"])
        names = [manifest["annotations"]["io.containerd.image.name"] for manifest in index["manifests"]]
        assert names == ["example.com/a:1", "b:1"]

    def test_the_layer_is_what_the_configuration_says(self, archive: dict[str, bytes]) -> None:
        manifest = json.loads(blob(archive, json.loads(archive["index.json"])["manifests"][0]))
        configuration = json.loads(blob(archive, manifest["config"]))
        layer = blob(archive, manifest["layers"][0])
        assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
        assert configuration["config"] == {"Cmd": ["/hello"]}
        with tarfile.open(fileobj=io.BytesIO(layer)) as opened:
            assert opened.getnames() == ["hello"]
