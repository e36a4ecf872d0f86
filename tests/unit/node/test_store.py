"""The store gives out a program only where it is what its name says."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.node import store
from tests.unit.disks import Disk, Fault, PowerCut

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
TEXTS = [b"first program", b"second program", b"third program"]
DIGESTS = [hashlib.sha256(text).hexdigest() for text in TEXTS]


def fill(folder: Path, made: store.Store, count: int = 3) -> None:
    for number, text in enumerate(TEXTS[:count]):
        source = folder / "source"
        source.write_bytes(text)
        made.put(source, DIGESTS[number])
        os.utime(made.path(DIGESTS[number]), ns=(number, number))


def test_programs_are_kept_by_their_content_the_newest_first(tmp_path: Path) -> None:
    made = store.Store(tmp_path / "programs")
    assert made.listed() == []
    fill(tmp_path, made)
    assert made.listed() == DIGESTS[::-1]
    assert all(made.holds(digest) for digest in DIGESTS)
    assert made.path(DIGESTS[0]).stat().st_mode & 0o777 == 0o755
    made.keep({DIGESTS[1], "0" * 64})
    assert made.listed() == [DIGESTS[1]]


def test_a_program_that_is_damaged_is_not_given_out_and_can_be_taken_in_again(tmp_path: Path) -> None:
    made = store.Store(tmp_path / "programs")
    fill(tmp_path, made, 1)
    made.path(DIGESTS[0]).write_bytes(b"first pro")
    assert not made.holds(DIGESTS[0])
    fill(tmp_path, made, 1)
    assert made.holds(DIGESTS[0])


def test_a_program_that_is_not_what_it_is_said_to_be_is_not_taken_in(tmp_path: Path) -> None:
    made = store.Store(tmp_path / "programs")
    (tmp_path / "source").write_bytes(b"other")
    with pytest.raises(OSError, match="changed while it was copied"):
        made.put(tmp_path / "source", DIGESTS[0])
    assert not made.holds(DIGESTS[0])
    assert list(made.path(DIGESTS[0]).parent.iterdir()) == []


@settings(deadline=None, max_examples=100)
@given(
    st.builds(Fault, st.integers(0, 30), st.sampled_from([0, errno.ENOSPC, errno.EIO]), st.booleans()),
    st.randoms(use_true_random=False),
)
def test_no_fault_of_the_disk_takes_a_program_that_was_there_or_gives_out_half_of_one(
    fault: Fault, chance: Any
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        root, after = Path(folder) / "before", Path(folder) / "after"
        root.mkdir()
        fill(Path(folder), store.Store(root / "programs"), 1)
        (Path(folder) / "source").write_bytes(TEXTS[1])
        disk = Disk(root)
        try:
            with disk.failing(fault):
                try:
                    store.Store(root / "programs").put(Path(folder) / "source", DIGESTS[1])
                    done = True
                except (OSError, PowerCut):
                    done = False
            disk.after_power_cut(after, chance.randrange)
        finally:
            disk.close()
        for place in (root, after):
            found = store.Store(place / "programs")
            assert found.holds(DIGESTS[0])
            assert found.holds(DIGESTS[1]) or not done
            for digest in found.listed():
                content = found.path(digest).read_bytes()
                assert found.holds(digest) == (hashlib.sha256(content).hexdigest() == digest)
