"""Owns who else wants our place in the runtime's folder of confs: names the program, and slows us down in a fight.

Refuses to give in: while our conf is away pods start without their networks, so it is always put back.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: How long a fight is remembered and told, in seconds.
REMEMBERED = 60.0
# So many repairs within that time are made at once; between later ones there is a pause.
_PROMPT = 5
_PAUSE = 2.0


class Contest:
    """What happened to one file that we keep: `path` is the node's own, `clock` gives monotonic seconds."""

    def __init__(self, path: str, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._file = path.rpartition("/")[2]
        self._clock = clock
        self._repairs: collections.deque[float] = collections.deque(maxlen=_PROMPT)
        self._inode = 0
        self._reported = ""

    @property
    def reported(self) -> str:
        """What happened in the last minute, in sentences; "" where nothing did."""
        return self._reported if self._repairs and self._clock() - self._repairs[-1] < REMEMBERED else ""

    def seen(self, inodes: Mapping[str, int]) -> None:
        """Note our file while all is well: `inodes` holds the names in the folder."""
        self._inode = inodes.get(self._file, 0)

    def lost(self, inodes: Mapping[str, int], *, changed: bool) -> float:
        """Note that our file is gone (or `changed`); return how many seconds to wait before it is put back."""
        # A rename keeps the inode: the name that it is behind now says who did it.
        new = next((name for name, inode in inodes.items() if inode == self._inode and name != self._file), "")
        what = f"renamed {self._path} to {new}" if new else f"{'changed' if changed else 'removed'} {self._path}"
        if new or not self.reported:
            hint = " Set cni.exclusive=false in Cilium." if new.endswith(".cilium_bak") else ""
            self._reported = f"Another program {what}; it was put back.{hint}"
        now = self._clock()
        if len(self._repairs) == _PROMPT and now - self._repairs[0] < REMEMBERED:
            wait = self._repairs[-1] + _PAUSE - now
            if wait > 0:
                return wait
        self._repairs.append(now)
        return 0.0
