"""Owns the decision whether what is on record of a sandbox is garbage; refuses to read a file or to ask anybody.

A runtime lists a sandbox only after CNI is done, so one that is absent from a listing may be in the making. Two
listings that are five minutes apart and that both came after the record's last change tell the difference. Where DEL
was begun nothing is in the making: one listing is enough, half a minute later, because some runtimes try a failed DEL
once only. All times are seconds of `CLOCK_BOOTTIME`.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How far apart the two listings are, from both of which a sandbox is absent.
APART_SECONDS = 300.0
#: How long after its last change the record of a sandbox that is being undone is left to the runtime.
ENDING_SECONDS = 30.0
# Listings in between add little; the fewer are kept the less they weigh.
_SPACING_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """The sandboxes that the runtime said it has, and when it was asked."""

    asked: float
    ids: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What is known of one sandbox from one file."""

    container: str
    changed: float | None
    """When the file changed last; None where that was in an earlier boot."""
    ending: bool = False
    """A DEL of it was begun, or was given up for one of its networks."""
    locked: bool = False
    """A call works on it now."""


class Verdict(enum.Enum):
    """What is to be done about a record."""

    KEEP = "the runtime lists the sandbox"
    WAIT = "it is not certain that the sandbox is gone"
    COLLECT = "the sandbox is gone"


class Listings:
    """As many listings as decisions need: the latest, one from long enough before it, and some in between."""

    def __init__(self) -> None:
        self._kept: collections.deque[Listing] = collections.deque()
        self._first: float | None = None

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def latest(self) -> Listing | None:
        """The last one that was added."""
        return self._kept[-1] if self._kept else None

    def add(self, listing: Listing) -> None:
        """Add a listing that is later than all others.

        One without any sandbox proves nothing, and takes the proof from those before it: the agent runs in a sandbox
        itself, so what lists none is not the runtime of this node's pods.
        """
        if not listing.ids:
            self.forget()
            return
        if self._first is None:
            self._first = listing.asked
        if len(self._kept) > 1 and self._kept[-1].asked - self._kept[-2].asked < _SPACING_SECONDS:
            between, before = self._kept.pop(), self._kept.pop()
            # What was listed in between was not gone before it.
            self._kept.append(Listing(asked=before.asked, ids=before.ids | between.ids))
        self._kept.append(listing)
        while len(self._kept) > 1 and listing.asked - self._kept[1].asked >= APART_SECONDS:
            self._kept.popleft()

    def forget(self) -> None:
        """Forget all: the clock that times of files are compared by has jumped, or the runtime is another one."""
        self._kept.clear()
        self._first = None

    def verdict(self, record: Record) -> Verdict:
        """Return what is to be done about a record now."""
        latest = self.latest
        if latest is None or self._first is None:
            return Verdict.WAIT
        if record.container in latest.ids:
            return Verdict.KEEP
        if record.locked:
            return Verdict.WAIT
        # Nothing of an earlier boot runs any more; the runtime has as long as this to remember its sandboxes.
        changed = self._first if record.changed is None else record.changed
        if (record.ending or record.changed is None) and latest.asked - changed >= ENDING_SECONDS:
            return Verdict.COLLECT
        earliest = next((each.asked for each in self._without(record.container) if each.asked >= changed), None)
        if earliest is not None and latest.asked - earliest >= APART_SECONDS:
            return Verdict.COLLECT
        return Verdict.WAIT

    def _without(self, container: str) -> Iterable[Listing]:
        """Return, in order, the listings since the last one that has the sandbox."""
        since: list[Listing] = []
        for each in self._kept:
            if container in each.ids:
                since.clear()
            else:
                since.append(each)
        return since
