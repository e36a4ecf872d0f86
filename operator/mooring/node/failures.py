"""Owns the reading of `failures.jsonl`, the plugin's list of failed calls; refuses to write or cut it."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
_VERBS = frozenset({"ADD", "DEL", "CHECK", "GC", "STATUS"})


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """One failed call. `time` is RFC 3339 in UTC; texts are "" where the runtime did not say."""

    time: str
    verb: str
    pod: str
    """`namespace/name`, or ""."""
    network: str
    code: int
    message: str


def parse(data: bytes) -> list[Failure]:
    """Return the failed calls in order; lines that are torn, damaged or of a later version are left out."""
    failures = []
    for line in data.splitlines():
        failure = _failure(line)
        if failure is not None:
            failures.append(failure)
    return failures


def read(path: Path) -> list[Failure]:
    """Read the list; no file means no failure. Raises `OSError`."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return []


def _failure(line: bytes) -> Failure | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("version") != VERSION or document.get("verb") not in _VERBS:
        return None
    pod = document.get("pod")
    code = document.get("code")
    if not isinstance(code, int) or isinstance(code, bool) or not isinstance(pod, dict):
        return None
    # The API server takes no other form of a time, and with it none of the node's whole status.
    if not _TIME.fullmatch(_text(document.get("time"))):
        return None
    names = [_text(pod.get(part)) for part in ("namespace", "name")]
    return Failure(
        time=_text(document.get("time")),
        verb=document["verb"],
        pod="/".join(names) if all(names) else "",
        network=_text(document.get("network")),
        code=code,
        message=_text(document.get("msg")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
