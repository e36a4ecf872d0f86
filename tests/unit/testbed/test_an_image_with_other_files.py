"""An image that is derived from another one is whole: every digest is that of what it names."""

from __future__ import annotations

import hashlib
import json
import tarfile
from typing import TYPE_CHECKING

from testbed import derived, images

if TYPE_CHECKING:
    from pathlib import Path


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_the_new_layer_is_the_last_one_and_all_that_was_there_stays(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"works")
    images.program_image(tmp_path / "old.tar", "example/tool:1", {"/bin/tool": program})
    derived.image(tmp_path / "old.tar", tmp_path / "new.tar", "example/tool:broken", {"/bin/tool": b"fails"})
    old, new = contents(tmp_path / "old.tar"), contents(tmp_path / "new.tar")
    blobs = {name.removeprefix("blobs/sha256/"): data for name, data in new.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(data).hexdigest() == digest for digest, data in blobs.items())
    assert {name for name in old if name.startswith("blobs/")} <= new.keys()
    [described] = json.loads(new["index.json"])["manifests"]
    assert described["annotations"] == {"io.containerd.image.name": "example/tool:broken"}
    manifest = json.loads(blobs[described["digest"].removeprefix("sha256:")])
    configuration = json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])
    assert configuration["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    assert len(manifest["layers"]) == 2
    last = tmp_path / "layer.tar"
    last.write_bytes(blobs[manifest["layers"][-1]["digest"].removeprefix("sha256:")])
    with tarfile.open(last) as layer:
        [member] = layer.getmembers()
    assert (member.name, member.mode) == ("bin/tool", 0o755)
    assert contents(last) == {"bin/tool": b"fails"}
