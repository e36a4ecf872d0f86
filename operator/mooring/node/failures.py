"""Owns the reading of `failures.jsonl`, the plugin's list of failed calls; refuses to write or cut it.

The list is cut by its size, so it may hold what failed days ago: what still matters is asked of it by time.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VERSION = 1
#: How long a failed call counts as a recent one.
RECENT = datetime.timedelta(minutes=10)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
_REASON = re.compile(r"[A-Z][A-Za-z]{0,127}", re.ASCII)
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
    uid: str = ""
    """The pod's, as the runtime knows it."""
    reason: str = ""
    """One word for the pod's event; "" where the plugin has none for it."""
    details: str = ""

    @property
    def moment(self) -> datetime.datetime:
        """When the call failed."""
        return datetime.datetime.fromisoformat(self.time)


@dataclasses.dataclass(frozen=True, slots=True)
class Failing:
    """How much failed with one network: how many calls, and of how many pods."""

    network: str
    """"" where the call failed before it came to a network."""
    calls: int
    pods: int


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


class Tail:
    """Reads what is added to the list: each line once, also when the older half was cut away meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode = 0
        self._offset = 0
        self._last = ""

    def read(self) -> list[Failure]:
        """Return the calls that failed since the last time, the first time all; raises `OSError`."""
        try:
            with self.path.open("rb") as file:
                state = os.fstat(file.fileno())
                same = state.st_ino == self._inode and state.st_size >= self._offset
                file.seek(self._offset if same else 0)
                data = file.read()
                begun = file.tell() - len(data)
        except FileNotFoundError:
            self._inode, self._offset = 0, 0
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._inode, self._offset = state.st_ino, begun + len(whole)
        # What was read before a cut is told apart by its time, whose texts sort as they are: all have six digits.
        found = [each for each in parse(whole) if same or each.time > self._last]
        self._last = max([self._last, *(each.time for each in found)])
        return found


def recent(listed: Iterable[Failure], *, now: datetime.datetime) -> list[Failure]:
    """Return the calls that failed in the last ten minutes.

    What lies as far in the future is of a clock that was put back since, and would stay for ever.
    """
    return [failure for failure in listed if abs(now - failure.moment) < RECENT]


def by_network(listed: Iterable[Failure]) -> list[Failing]:
    """Return for each network how many calls failed, the worst first: the one of most pods."""
    calls: dict[str, list[str]] = {}
    for failure in listed:
        calls.setdefault(failure.network, []).append(failure.pod)
    found = [Failing(network, len(pods), len(set(pods) - {""})) for network, pods in calls.items()]
    return sorted(found, key=lambda each: (-each.pods, -each.calls, each.network))


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
    if not _is_time(_text(document.get("time"))):
        return None
    names = [_text(pod.get(part)) for part in ("namespace", "name")]
    return Failure(
        time=_text(document.get("time")),
        verb=document["verb"],
        pod="/".join(names) if all(names) else "",
        network=_text(document.get("network")),
        code=code,
        message=_text(document.get("msg")),
        uid=_text(pod.get("uid")),
        reason=found if _REASON.fullmatch(found := _text(document.get("reason"))) else "",
        details=_text(document.get("details")),
    )


def _is_time(text: str) -> bool:
    try:
        return bool(_TIME.fullmatch(text) and datetime.datetime.fromisoformat(text))
    except ValueError:
        return False  # the 31st of February


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
