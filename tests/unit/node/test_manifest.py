"""The manifest says which files of a node are ours, and never more than we wrote."""

from __future__ import annotations

import concurrent.futures
import errno
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.node import manifest
from tests.unit.disks import Disk, Fault, PowerCut

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
OLD, NEW, OTHER = (manifest.digest(text) for text in (b"old", b"new", b"other"))
PLUGIN = "/opt/cni/bin/mooring"
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "manifest.json"


def test_the_example_of_the_contract_is_read_and_written_as_it_stands() -> None:
    data = EXAMPLE.read_bytes()
    entries = manifest.parse(data)
    assert entries["/opt/cni/bin/bridge"].owner == manifest.plugin_set("reference")
    assert manifest.render(entries.values()) == data


def test_what_is_recorded_is_owned_until_it_is_forgotten(tmp_path: Path) -> None:
    ours = manifest.Manifest(tmp_path)
    assert ours.owned() == {}
    ours.record(PLUGIN, NEW, manifest.MOORING)
    assert manifest.Manifest(tmp_path).owned() == {PLUGIN: manifest.Entry(PLUGIN, NEW, "mooring")}
    assert ours.path.stat().st_mode & 0o777 == 0o600
    ours.forget(PLUGIN)
    ours.forget(PLUGIN)
    assert ours.owned() == {}
    ours.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_ours_while_it_holds_what_we_wrote_there(tmp_path: Path) -> None:
    ours = manifest.Manifest(tmp_path)
    ours.record(PLUGIN, OLD, manifest.MOORING)
    ours.record(PLUGIN, NEW, manifest.MOORING)
    entry = ours.owned()[PLUGIN]
    assert entry.wrote(NEW)
    assert entry.wrote(OLD), "a power cut may come between the record and the file"
    assert not entry.wrote(OTHER)
    assert not entry.wrote(None)
    ours.record(PLUGIN, NEW, manifest.plugin_set("x"))
    assert not ours.owned()[PLUGIN].wrote(OLD), "another owner wrote that"


def test_what_was_recorded_is_not_written_again(tmp_path: Path) -> None:
    ours = manifest.Manifest(tmp_path)
    ours.record(PLUGIN, NEW, manifest.MOORING)
    before = ours.path.stat()
    ours.record(PLUGIN, NEW, manifest.MOORING)
    ours.forget("/opt/cni/bin/absent")
    assert ours.path.stat() == before


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"\xff",
    b"[" * 100_000,
    b'{"version": 2, "files": []}',
    b'{"version": 1, "files": {}, "files": [1]}',
    *(
        json.dumps({"version": 1, "files": [{"path": "/a", "sha256": NEW, "owner": "mooring", **wrong}]}).encode()
        for wrong in (
            {"path": "a"},
            {"path": "/a/../etc/passwd"},
            {"path": "/a/"},
            {"path": 1},
            {"sha256": "x"},
            {"sha256": None},
            {"before": [""]},
            {"before": "x"},
            {"owner": "me"},
        )
    ),
]


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_manifest_claims_nothing_and_is_set_aside_and_begun_anew(tmp_path: Path, data: bytes) -> None:
    ours = manifest.Manifest(tmp_path)
    ours.path.write_bytes(data)
    assert ours.owned() == {}
    assert ours.path.read_bytes() == data, "who only looks changes nothing"
    ours.record(PLUGIN, NEW, manifest.MOORING)
    assert list(ours.owned()) == [PLUGIN]
    assert (tmp_path / manifest.DAMAGED).read_bytes() == data


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(EXAMPLE.read_bytes())
    ours = manifest.Manifest(tmp_path)
    ours.path.symlink_to(foreign)
    assert ours.owned() == {}
    ours.record(PLUGIN, NEW, manifest.MOORING)
    assert list(ours.owned()) == [PLUGIN]
    assert foreign.read_bytes() == EXAMPLE.read_bytes()


@pytest.mark.parametrize(("path", "digest", "owner"), [("x", NEW, "mooring"), ("/x", "1", "mooring"), ("/x", NEW, "y")])
def test_what_could_not_be_read_again_is_not_recorded(tmp_path: Path, path: str, digest: str, owner: str) -> None:
    ours = manifest.Manifest(tmp_path)
    with pytest.raises(manifest.DamagedError):
        ours.record(path, digest, owner)
    assert list(tmp_path.iterdir()) == []


def test_records_of_many_threads_are_all_kept(tmp_path: Path) -> None:
    paths = [f"/opt/cni/bin/{number}" for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: manifest.Manifest(tmp_path).record(path, NEW, "mooring"), paths))
    assert sorted(manifest.Manifest(tmp_path).owned()) == sorted(paths)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(["/a", "/b"]), st.sampled_from([OLD, NEW])), max_size=3),
    st.builds(Fault, st.integers(0, 12), st.sampled_from([0, errno.ENOSPC, errno.EIO]), st.booleans()),
    st.randoms(use_true_random=False),
)
def test_no_fault_of_the_disk_loses_what_was_recorded(
    first: list[tuple[str, str]], fault: Fault, chance: object
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        root = Path(made) / "before"
        root.mkdir()
        ours = manifest.Manifest(root)
        for path, digest in first:
            ours.record(path, digest, manifest.MOORING)
        known = ours.owned()
        disk = Disk(root)
        try:
            with disk.failing(fault):
                try:
                    ours.record("/c", OTHER, manifest.MOORING)
                    done = True
                except (OSError, PowerCut):
                    done = False
            after = Path(made) / "after"
            disk.after_power_cut(after, chance.randrange)  # type: ignore[attr-defined]
        finally:
            disk.close()
        for folder in (root, after):
            found = manifest.Manifest(folder).owned()
            assert found in (known, manifest.recorded(known, "/c", OTHER, manifest.MOORING))
            assert "/c" in found or not done
            assert not (folder / manifest.DAMAGED).exists()
