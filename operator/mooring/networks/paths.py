"""JSON paths: owns how a place inside a JSON document is held, written, and found again in its text.

It refuses to know what the document means. A path is a tuple of keys and indexes; `$` is the root.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
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


def locate(text: str, path: Path) -> Position | None:
    """Return where the value at `path` begins in a JSON text, or None where there is no such value.

    The text must have been parsed before. Of a key that stands twice the last one counts, as for every
    decoder that matters here.
    """
    decoder = json.JSONDecoder()
    offset = _skip(text, 0)
    try:
        for step in path:
            found = _child(text, offset, step, decoder)
            if found is None:
                return None
            offset = found
    except (ValueError, IndexError, RecursionError):
        return None
    return position(text, offset)


def _child(text: str, offset: int, step: str | int, decoder: json.JSONDecoder) -> int | None:
    opening = text[offset]
    if opening != ("{" if isinstance(step, str) else "["):
        return None
    found = None
    index = 0
    offset = _skip(text, offset + 1)
    while text[offset] not in "}]":
        key: object = index
        if opening == "{":
            key, offset = decoder.raw_decode(text, offset)
            offset = _skip(text, _skip(text, offset) + 1)
        if key == step:
            found = offset
        _, offset = decoder.raw_decode(text, offset)
        offset = _skip(text, offset)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
        index += 1
    return found


def _skip(text: str, offset: int) -> int:
    match = _BLANKS.match(text, offset)
    return offset if match is None else match.end()
