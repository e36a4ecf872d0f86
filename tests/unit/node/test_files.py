"""A file on the node is whole or as it was."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.node import files

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255
)


def names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@given(name=NAMES, before=st.none() | st.binary(), after=st.binary(), mode=st.sampled_from([0o600, 0o644, 0o755]))
def test_the_file_holds_exactly_what_was_written_with_exactly_the_mode(
    name: str, before: bytes | None, after: bytes, mode: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if before is not None:
            path.write_bytes(before)
            path.chmod(0o777)
        files.write_atomically(path, after, mode=mode, durable=True)
        assert path.read_bytes() == after
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert names(folder) == [name]


@given(name=NAMES)
def test_no_reader_of_cni_folders_matches_a_temporary_name(name: str) -> None:
    temporary = files.temporary_beside(Path("/x") / name)
    assert temporary.parent == Path("/x")
    assert not temporary.name.endswith((".conf", ".conflist", ".json", ".jsonl"))
    assert files.is_temporary(temporary.name)
    assert len(os.fsencode(temporary.name)) <= 255


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "conf"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync_file", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, b"new", mode=0o600, durable=True)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["conf"]


def test_a_write_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to("target")
    files.write_atomically(tmp_path / "link", b"ours", mode=0o600)
    assert (tmp_path / "target").read_bytes() == b"theirs"
    assert not (tmp_path / "link").is_symlink()


def test_a_sweep_removes_what_a_killed_writer_left_and_nothing_else(tmp_path: Path) -> None:
    left = files.temporary_beside(tmp_path / "conf")
    left.write_bytes(b"half")
    for name in ("conf", ".hidden", "a.mooring-tmp", ".x.tmp"):
        (tmp_path / name).write_bytes(b"theirs")
    assert files.sweep(tmp_path) == [left.name]
    assert names(tmp_path) == [".hidden", ".x.tmp", "a.mooring-tmp", "conf"]
    assert files.sweep(tmp_path / "absent") == []


def test_a_sweep_of_one_file_leaves_those_of_other_writers(tmp_path: Path) -> None:
    ours, theirs = (files.temporary_beside(tmp_path / name) for name in ("conf", "confs"))
    for path in (ours, theirs):
        path.write_bytes(b"half")
    assert files.sweep(tmp_path, of="conf") == [ours.name]
    assert names(tmp_path) == [theirs.name]


def test_folders_are_made_with_their_mode_and_existing_ones_keep_theirs(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    files.make_folder(tmp_path / "a" / "b", mode=0o700)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == [
        0o750,
        0o700,
        0o700,
    ]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        files.make_folder(tmp_path / "file")


def test_removing_tells_whether_there_was_something(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    assert files.remove(tmp_path / "x", durable=True)
    assert not files.remove(tmp_path / "x")
