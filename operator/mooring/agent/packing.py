"""Owns which slice holds which entry, as pure values; refuses to move an entry that is where it may stay.

An entry stays in its slice for as long as it is wanted, so a change of few entries is a write of few slices, and no
reader ever sees an entry leave one slice before it has come to another.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING

from mooring.installing.attachmentslices import MOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written: what each changed slice is to hold, which go, and what each new one is to hold."""

    deletes: tuple[str, ...] = ()
    updates: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    creates: tuple[tuple[str, ...], ...] = ()


def plan(existing: Mapping[str, tuple[str, ...]], wanted: Iterable[str], *, most: int = MOST) -> Plan:
    """Return the writes after which the slices together hold what is wanted, each entry as often as it is wanted.

    No more slices are written than lose an entry, and one for each `most` entries that are new.
    """
    left = collections.Counter(wanted)
    kept: dict[str, list[str]] = {}
    touched: list[str] = []
    for name in sorted(existing):
        stay = kept[name] = []
        for entry in existing[name]:
            if left[entry] > 0 and len(stay) < most:
                left[entry] -= 1
                stay.append(entry)
        if len(stay) != len(existing[name]) or not stay:
            touched.append(name)
    new = list(left.elements())  # in their order, so that a pod's stay together
    # What is written anyhow is filled first, the fullest first: so that others become empty, and go.
    for name in sorted(touched, key=lambda name: (-len(kept[name]), name)):
        room = most - len(kept[name])
        kept[name] += new[:room]
        del new[:room]
    created = []
    while new:
        # One more slice is written either way: the one with the smallest hole that takes them all, else a new one.
        holes = [
            (most - len(entries), name)
            for name, entries in kept.items()
            if name not in touched and most - len(entries) >= len(new)
        ]
        if holes:
            _, name = min(holes)
            kept[name] += new
            touched.append(name)
            break
        created.append(tuple(new[:most]))
        del new[:most]
    return Plan(
        deletes=tuple(sorted(name for name in touched if not kept[name])),
        updates={name: tuple(kept[name]) for name in sorted(touched) if kept[name]},
        creates=tuple(created),
    )
