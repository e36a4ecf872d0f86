"""Whatever a disk does, the list of our files is whole, and holds what was noted before anybody wrote it."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.node import files, manifest
from tests.unit.disks import MEMORY, PICKS, Disk, Fault, PowerCut, faults, power_cuts

PATHS = ("/etc/cni/net.d/00-multus.conf", "/opt/cni/bin/bridge", "/opt/cni/bin/mooring")
#: Of which file something is noted, and what was written there; None where it is gone.
Step = tuple[str, str | None]
STEPS = st.tuples(st.sampled_from(PATHS), st.sampled_from(["1" * 64, "2" * 64, None]))


def take(folder: Path, step: Step) -> None:
    path, digest = step
    listed = manifest.Manifest(folder)
    if digest is None:
        listed.forget(path)
    else:
        listed.record(path, digest, manifest.MOORING)


def outlive(steps: list[tuple[Step, Fault | None]], last: tuple[Step, Fault], picks: list[int]) -> None:
    """Let faults meet notes on a disk, at last a loss of power or one more; fail where one that was made is lost."""
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
        folder = top / "before"
        folder.mkdir()
        disk = Disk(folder)
        stack.callback(disk.close)
        noted: dict[str, str] = {}
        # Of which nobody knows whether they were made.
        doubtful: set[str] = set()
        cut = False
        for step, fault in (*steps, last):
            path, digest = step
            try:
                with disk.failing(fault):
                    take(folder, step)
            except (OSError, PowerCut) as error:
                cut = isinstance(error, PowerCut)
                doubtful.add(path)
                _whole(folder, noted, doubtful)
                continue
            doubtful.discard(path)
            noted.pop(path, None)
            if digest is not None:
                noted[path] = digest
            _whole(folder, noted, doubtful)
        if not cut:
            with disk.failing(None):
                take(folder, last[0])
            doubtful.discard(last[0][0])
            noted.pop(last[0][0], None)
            if last[0][1] is not None:
                noted[last[0][0]] = last[0][1]
        disk.boot(top / "after", picks)
        _whole(top / "after", noted, doubtful)
        take(top / "after", (PATHS[0], "3" * 64))
        assert [path.name for path in (top / "after").iterdir() if files.is_temporary(path.name)] == []


def _whole(folder: Path, noted: dict[str, str], doubtful: set[str]) -> None:
    file = manifest.Manifest(folder).path
    found = manifest.parse(file.read_bytes()) if file.exists() else {}
    assert found.keys() - doubtful == noted.keys() - doubtful
    for path, entry in found.items():
        # A note that a later one may have replaced is remembered with it.
        assert path not in noted or entry.wrote(noted[path]), path


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, 0], ids=["ENOSPC", "EIO", "EROFS", "power"])
def test_one_fault_at_each_call_and_power_lost_after_the_next_success(code: int) -> None:
    for number in range(14):
        outlive([], ((PATHS[0], "1" * 64), Fault(number, code)), [0])
        outlive([((PATHS[1], "1" * 64), None)], ((PATHS[0], "1" * 64), Fault(number, code)), [0])
        outlive([((PATHS[1], "1" * 64), None)], ((PATHS[1], None), Fault(number, code)), [0])


@settings(max_examples=150)
@given(
    steps=st.lists(st.tuples(STEPS, st.none() | faults(14)), max_size=5),
    last=st.tuples(STEPS, power_cuts(14) | faults(14)),
    picks=PICKS,
)
def test_faults_and_a_power_cut_between_any_two_calls(
    steps: list[tuple[Step, Fault | None]], last: tuple[Step, Fault], picks: list[int]
) -> None:
    outlive(steps, last, picks)
