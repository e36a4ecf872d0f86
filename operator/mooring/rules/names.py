"""Names that are nearly right: owns which known name a written one most likely means.

People mix up words before they mix up letters: `rangeStop` means `rangeEnd`, though `rangeStart` looks more like it.
So the words of two names are compared first, and the letters where that finds nothing.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 64
_CLOSE = 0.72
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

#: Words that people write for one another, each group under its first one.
_SAME = (
    ("end", "stop", "last", "finish", "until", "to", "ending"),
    ("start", "begin", "first", "from", "beginning", "starting"),
    ("gateway", "gw"),
    ("exclude", "excludes", "excluded", "omit", "except", "exclusions"),
    ("destination", "dst", "dest"),
    ("interface", "iface", "nic", "device", "dev", "link", "master", "parent"),
    ("mac", "hwaddr", "macaddress", "macaddr"),
    ("bridge", "br"),
    ("rate", "speed", "limit"),
    ("pool", "ippool"),
    ("route", "routes"),
    ("range", "ranges"),
    ("address", "addresses", "addr", "ip", "ips"),
)
_MEANING = {word: group[0] for group in _SAME for word in group}
#: Words that add nothing to the one beside them: `vlan` is `vlanId`.
_EMPTY = frozenset({"id", "name", "tag", "number"})


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that this one most likely means, by its words or its letters, where there is one."""
    choices = tuple(known)
    return meant(name, choices) or alike(name, choices)


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the one known name whose words mean the same, if exactly one does."""
    if len(name) > _LONGEST:
        return None
    choices = tuple(known)
    same = [other for other in choices if _bare(other) == _bare(name)]
    if not same:
        wanted = _meaning(name)
        same = [other for other in choices if _meaning(other) == wanted]
    return same[0] if len(same) == 1 else None


def alike(name: str, known: Iterable[str]) -> str | None:
    """Return the known name whose letters are most like these, where one is like them."""
    if not 2 < len(name) <= _LONGEST:
        return None
    folded = {_bare(other): other for other in known}
    close = difflib.get_close_matches(_bare(name), folded, n=1, cutoff=_CLOSE)
    return folded[close[0]] if close else None


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """Return the known name from which this one differs by a letter, or by two where it is long; no vaguer likeness."""
    near = alike(name, known)
    if near is None or near == name:
        return None
    longest = 1 if len(near) < 6 else 2
    return near if distance(name.lower(), near.lower()) <= longest else None


def distance(one: str, other: str) -> int:
    """Return how many letters to add, drop, change or swap turn one word into the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        current = [i]
        for j, b in enumerate(other, start=1):
            best = min(row[j] + 1, current[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, before[j - 2] + 1)
            current.append(best)
        before, row = row, current
    return row[-1]


@functools.lru_cache(maxsize=2048)
def _meaning(name: str) -> frozenset[str]:
    words = [word.lower() for word in _WORD.findall(name)]
    telling = [word for word in words if word not in _EMPTY] or words
    return frozenset(_MEANING.get(word, word) for word in telling)


def _bare(name: str) -> str:
    """Drop what people get wrong first: the case, and `-` or `_` between words."""
    return name.lower().replace("-", "").replace("_", "")
