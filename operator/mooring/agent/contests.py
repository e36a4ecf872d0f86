"""Owns who else wants our place in the runtime's folder of confs: names the program, and slows us down in a fight.

Refuses to give in: while our conf is away pods start without their networks, so it is always put back; but each time
later where somebody keeps taking it, because two programs that undo each other at full speed help nobody.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mooring.kube.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: How long a fight is told after it, in seconds.
REMEMBERED = 60.0
# So many repairs are made at once; each later one waits longer, until ours was left alone for a while.
_PROMPT = 5
_PAUSE = Pause(first=1.0, longest=15.0)
_CALM = 30.0
_MOST_NAME = 80
_MOST_FILES = 3


class Contest:
    """What happened to one file that we keep: `path` is the node's own, `clock` gives monotonic seconds."""

    def __init__(self, path: str, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._file = path.rpartition("/")[2]
        self._clock = clock
        self._repairs = 0
        self._last: float | None = None
        self._due = 0.0
        self._before: dict[str, int] = {}
        self._reported = ""

    @property
    def reported(self) -> str:
        """What happened in the last minute, in sentences; "" where nothing did."""
        return self._reported if self._last is not None and self._clock() - self._last < REMEMBERED else ""

    def seen(self, inodes: Mapping[str, int]) -> None:
        """Note our file while all is well: `inodes` holds the names in the folder."""
        self._before = dict(inodes)

    def lost(self, inodes: Mapping[str, int], *, found: bytes | None) -> float:
        """Note that our file is gone, or holds what was `found`; return the seconds to wait before it is put back."""
        # A rename keeps the inode: the name that it is behind now says who did it.
        own = self._before.get(self._file)
        new = next((name for name, inode in inodes.items() if inode == own and name != self._file), "")
        what = f"renamed {self._path} to {new}" if new else _done(self._path, found)
        if new or not self.reported:
            hint = " Set cni.exclusive=false in Cilium." if new.endswith(".cilium_bak") else ""
            self._reported = f"Another program {what}; it was put back.{hint}{self._came(inodes, new)}"
        now = self._clock()
        if self._last is not None and now - self._last >= _CALM and not self._due:
            self._repairs = 0
        if self._repairs >= _PROMPT and not self._due:
            self._due = now + _PAUSE.after(self._repairs - _PROMPT + 1)
        if self._due > now:
            return self._due - now
        self._repairs, self._last, self._due = self._repairs + 1, now, 0.0
        return 0.0

    def _came(self, inodes: Mapping[str, int], new: str) -> str:
        """Return in a sentence which files came with it: an installer that takes ours puts its own there."""
        ours = {self._file, new}
        came = sorted(
            name
            for name, inode in inodes.items()
            if self._before and self._before.get(name) != inode and name not in ours and not name.startswith(".")
        )
        return f" In the folder since then: {', '.join(came[:_MOST_FILES])}." if came else ""


def _done(path: str, found: bytes | None) -> str:
    """Return in a clause what was done to our file; what it holds now says whose hand it was."""
    if found is None:
        return f"removed {path}"
    try:
        conf = json.loads(found)
        plugins = conf.get("plugins") or [conf]
        name, kind = str(conf["name"])[:_MOST_NAME], str(plugins[0]["type"])[:_MOST_NAME]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return f"changed {path}"
    return f"changed {path}, which held the network {name} of {kind} then"
