"""A program of a set is on the node whole or not at all, whatever the disk does meanwhile."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.node import setfiles
from tests.unit.disks import Disk, Fault, PowerCut

OLD, NEW = b"old" * 50, b"new" * 70


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@given(
    before=st.sampled_from([None, OLD]),
    step=st.integers(0, 12),
    code=st.sampled_from([0, errno.ENOSPC, errno.EIO, errno.EROFS]),
    lasts=st.booleans(),
    choices=st.lists(st.integers(0, 1000), min_size=8, max_size=8),
)
def test_it_is_the_old_or_the_new_one_whole_and_what_was_told_is_so(
    before: bytes | None, step: int, code: int, lasts: bool, choices: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "disk"
        (root / "bin").mkdir(parents=True)
        source, target = Path(temporary) / "source", root / "bin" / "bridge"
        source.write_bytes(NEW)
        if before is not None:
            target.write_bytes(before)
            target.chmod(0o755)
        disk, told = Disk(root), False
        try:
            with contextlib.suppress(OSError, PowerCut), disk.failing(Fault(step, code, lasts)):
                setfiles.install(source, target, sha256(NEW))
                told = True
            after = Path(temporary) / "after"
            picked = iter([*choices] * 20)
            disk.after_power_cut(after, lambda count: next(picked) % count)
            found = after / "bin" / "bridge"
            content = found.read_bytes() if found.exists() else None
            assert content in ({NEW} if told else {before, NEW})
            if content == NEW:
                assert found.stat().st_mode & 0o777 == 0o755
            if code and not lasts and not told:
                assert setfiles.Digests().find(target).digest in (sha256(before) if before else "", sha256(NEW))
            setfiles.sweep(after / "bin")
            assert [path.name for path in (after / "bin").iterdir()] in ([], ["bridge"])
        finally:
            disk.close()


def test_one_with_another_checksum_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(NEW)
    (tmp_path / "target").write_bytes(OLD)
    with pytest.raises(setfiles.MismatchError, match=f"{sha256(NEW)} and not {sha256(OLD)}"):
        setfiles.install(tmp_path / "source", tmp_path / "target", sha256(OLD))
    assert (tmp_path / "target").read_bytes() == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_what_was_set_aside_comes_back_with_its_mode_and_times(tmp_path: Path) -> None:
    path, kept = tmp_path / "bridge", tmp_path / "originals" / "bridge"
    path.write_bytes(OLD)
    path.chmod(0o751)
    before = path.stat()
    setfiles.set_aside(path, kept)
    path.write_bytes(NEW)
    assert setfiles.put_back(kept, path)
    after = path.stat()
    assert path.read_bytes() == OLD
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert not setfiles.put_back(kept, path)
    assert not kept.parent.exists()
