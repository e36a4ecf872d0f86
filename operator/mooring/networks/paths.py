"""JSON paths: owns how a place inside a JSON document is held, written, and found again in its text.

It refuses to know what the document means. A path is a tuple of keys and indexes; `$` is the root.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import re
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_BREAK = re.compile(r"\n")
#: Of an object or list with more members than this nothing is located: it would take longer than to judge it.
_MOST_MEMBERS = 10_000
_BLANKS = re.compile(r"[ \t\n\r]*")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text: `offset` counts characters from 0; `line` and `column` count from 1."""

    offset: int
    line: int
    column: int


def render(path: Path) -> str:
    """Return the path as people write it: `$.plugins[0].ipam`, `$.capabilities["io.kubernetes.cri"]`."""
    parts = ["$"]
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif _PLAIN_KEY.fullmatch(step):
            parts.append(f".{step}")
        else:
            parts.append(f"[{json.dumps(step)}]")
    return "".join(parts)


def position(text: str, offset: int) -> Position:
    """Return the place of a character; an offset beyond the end means the end."""
    offset = max(0, min(offset, len(text)))
    start = text.rfind("\n", 0, offset) + 1
    return Position(offset=offset, line=text.count("\n", 0, offset) + 1, column=offset - start + 1)


class Locator:
    """Finds values in one JSON text, which must have been parsed before.

    Each object and list is scanned once, however often something in it is looked for: a hostile text must not cost
    more than a long one.
    """

    def __init__(self, text: str) -> None:
        """Take the text; nothing is scanned yet."""
        self._text = text
        # Values are only skipped: what they are does not matter, and a long number must not be an error.
        self._decoder = json.JSONDecoder(parse_int=len, parse_float=len)
        self._children: dict[int, dict[str | int, int]] = {}
        self._lines: list[int] | None = None

    def locate(self, path: Path) -> Position | None:
        """Return where the value at `path` begins; None where there is no such value, or too much to search.

        Of a key that stands twice the last one counts, as for every decoder that matters here.
        """
        offset = self._skip(0)
        for step in path:
            children = self._children.get(offset)
            if children is None:
                try:
                    children = self._children[offset] = self._scan(offset)
                except RecursionError:
                    # Parsing stopped just short of the limit, and here we are called from deeper down.
                    return None
            found = children.get(step)
            if found is None:
                return None
            offset = found
        if self._lines is None:
            self._lines = [match.start() for match in _BREAK.finditer(self._text)]
        line = bisect.bisect_left(self._lines, offset)
        start = self._lines[line - 1] + 1 if line else 0
        return Position(offset=offset, line=line + 1, column=offset - start + 1)

    def _scan(self, offset: int) -> dict[str | int, int]:
        """Return the offsets of the values of the object or list at `offset`, by key or index."""
        found: dict[str | int, int] = {}
        text = self._text
        opening = text[offset : offset + 1]
        if opening not in ("{", "["):
            return found
        offset = self._skip(offset + 1)
        members = 0
        while text[offset] not in "}]":
            members += 1
            if members > _MOST_MEMBERS:
                return {}
            key: str | int = len(found)
            if opening == "{":
                key, offset = self._decoder.raw_decode(text, offset)
                offset = self._skip(self._skip(offset) + 1)
            found[key] = offset
            _, offset = self._decoder.raw_decode(text, offset)
            offset = self._skip(offset)
            if text[offset] == ",":
                offset = self._skip(offset + 1)
        return found

    def _skip(self, offset: int) -> int:
        match = _BLANKS.match(self._text, offset)
        return offset if match is None else match.end()
