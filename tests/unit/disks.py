"""A disk that fails and loses power: real files below a folder, with faults between any two system calls.

What a power cut leaves is decided as a file system may decide it: of each folder what was synced last, or any later
state; of each file what was synced, or any beginning of what was written since. `with disk.failing(...)` makes the
calls of `os` fail; `disk.after_power_cut(...)` makes the folder that the next boot finds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_REAL = {
    name: getattr(os, name)
    for name in ("open", "write", "read", "fsync", "fchmod", "chmod", "replace", "unlink", "mkdir", "rmdir", "scandir")
}
#: Where thousands of files are made and removed: in memory where there is a file system for that.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
#: For `Disk.boot`.
PICKS = st.lists(st.integers(0, 11), min_size=1, max_size=6)
#: Calls that ENOSPC and EROFS can meet.
_CHANGING = {"write", "fsync", "fchmod", "chmod", "replace", "unlink", "mkdir", "rmdir"}
_GROWING = {"write", "fsync", "replace", "mkdir"}


class PowerCut(BaseException):
    """The machine is off: no call of it comes back."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """The `step`-th system call fails with `code`, 0 for a power cut; where it `lasts` so do the later ones."""

    step: int
    code: int
    lasts: bool = False

    def hits(self, step: int, call: str, *, creates: bool) -> bool:
        if step != self.step and not (self.lasts and step > self.step):
            return False
        if self.code == errno.ENOSPC:
            return creates or call in _GROWING
        return self.code != errno.EROFS or creates or call in _CHANGING


def faults(steps: int) -> st.SearchStrategy[Fault]:
    """Return faults of a disk that meet one of so many first calls, or all from there on."""
    return st.builds(
        Fault, st.integers(0, steps), st.sampled_from([errno.ENOSPC, errno.EIO, errno.EROFS]), st.booleans()
    )


def power_cuts(steps: int) -> st.SearchStrategy[Fault]:
    """Return the losses of power in the place of one of so many first calls."""
    return st.builds(Fault, st.integers(0, steps), st.just(0))


class Disk:
    """All that is below `root`. Everything there when it is made counts as synced."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._history: dict[int, list[dict[str, int]]] = {}
        self._synced: dict[int, bytes] = {}
        self._held: dict[int, int] = {}  # open, so that no number of an inode is used twice
        self._step = 0
        self._off = False
        self._fault: Fault | None = None
        for folder, _, files in os.walk(root):
            self._history[self._hold(folder)] = [self._listed(folder)]
            for name in files:
                inode = self._hold(Path(folder, name))
                self._synced[inode] = self._content(inode)

    def close(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)

    @contextlib.contextmanager
    def failing(self, fault: Fault | None) -> Iterator[None]:
        """Let `fault` meet the calls of the block. Raises what the block raises, `PowerCut` too."""
        self._step, self._fault = 0, fault
        with contextlib.ExitStack() as stack:
            for name in _REAL:
                stack.enter_context(mock.patch.object(os, name, self._call(name)))
            yield

    def boot(self, target: Path, picks: Sequence[int]) -> None:
        """Make in `target` what the next boot finds, each choice by the next of `picks`, over and over."""
        turns = itertools.cycle(picks)
        self.after_power_cut(target, lambda count: next(turns) % count)

    def after_power_cut(self, target: Path, choose: Callable[[int], int]) -> None:
        """Make in `target` what the next boot finds; `choose(n)` returns a number below n."""
        self._rebuild(self._inode(self.root), target, choose)

    def _rebuild(self, folder: int, target: Path, choose: Callable[[int], int]) -> None:
        target.mkdir()
        states = self._history[folder]
        for name, inode in sorted(states[choose(len(states))].items()):
            if inode in self._history:
                self._rebuild(inode, target / name, choose)
                continue
            content = self._content(inode)
            if self._synced.get(inode) != content:
                kept = [b"", content[: len(content) // 2], content, self._synced.get(inode, b"")]
                content = kept[choose(len(kept))]
            (target / name).write_bytes(content)
            (target / name).chmod(stat.S_IMODE(os.fstat(self._held[inode]).st_mode))

    def _call(self, name: str) -> Callable[..., Any]:
        def called(*arguments: Any, **more: Any) -> Any:
            creates = name == "open" and bool(arguments[1] & os.O_CREAT)
            if self._off:
                raise PowerCut
            step, self._step = self._step, self._step + 1
            if self._fault is not None and self._fault.hits(step, name, creates=creates):
                if self._fault.code == 0:
                    self._off = True
                    raise PowerCut
                if name == "write" and self._fault.code == errno.ENOSPC:
                    _REAL["write"](arguments[0], bytes(arguments[1])[:7])
                raise OSError(self._fault.code, os.strerror(self._fault.code), str(arguments[0]))
            # What is synced is noted below: the disk itself may be slow, and its power stays.
            done = None if name == "fsync" else _REAL[name](*arguments, **more)
            self._note(name, arguments, creates=creates)
            return done

        return called

    def _note(self, name: str, arguments: tuple[Any, ...], *, creates: bool) -> None:
        if name == "fsync":
            inode = os.fstat(arguments[0]).st_ino
            if inode in self._history:
                self._history[inode] = self._history[inode][-1:]
            else:
                self._synced[inode] = self._content(inode)
            return
        if name == "mkdir":
            self._history[self._hold(arguments[0])] = [{}]
        elif creates:
            self._hold(arguments[0])
        if creates or name in ("mkdir", "rmdir", "unlink", "replace"):
            folder = Path(arguments[0]).parent
            self._history[self._inode(folder)].append(self._listed(folder))

    def _hold(self, path: Any) -> int:
        descriptor = _REAL["open"](path, os.O_RDONLY)
        inode = os.fstat(descriptor).st_ino
        self._held[inode] = descriptor
        return inode

    def _content(self, inode: int) -> bytes:
        return os.pread(self._held[inode], 1 << 20, 0)

    def _inode(self, path: Any) -> int:
        return Path(path).stat().st_ino

    def _listed(self, folder: Any) -> dict[str, int]:
        with _REAL["scandir"](folder) as entries:
            return {entry.name: entry.inode() for entry in entries}
