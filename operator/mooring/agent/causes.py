"""Owns the judgement why a pod runs without its networks, by what is on record of the node; refuses to guess.

On record is when our conf came to the node, and each lapse: a time in which the runtime may have started a pod without
us. A pod without a journal was started in one of these. Where several would do, or none, the cause is not known, and
that is said.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import TYPE_CHECKING

from mooring.installing import confs, podconditions
from mooring.installing.podconditions import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

VERSION = 1
#: How long before and after what we saw the runtime may have seen something else.
SLACK = datetime.timedelta(seconds=5)
# The longest that a kubelet lets a runtime take for a sandbox, and the runtime's own moment is near the end of that.
_LONGEST_START = datetime.timedelta(minutes=4)
_MOST_LAPSES = 50
_FILES = (Reason.RIVAL, Reason.CONF_AWAY)
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


class HistoryError(ValueError):
    """A record that cannot be read; the text is a sentence."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lapse:
    """A time in which a pod may have been started without us, and a sentence why; UNKNOWN where nobody looked."""

    reason: Reason
    since: datetime.datetime
    until: datetime.datetime
    detail: str


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """What is on record of one node. `installed`: when our conf came; None where that was before the record."""

    installed: datetime.datetime | None = None
    lapses: tuple[Lapse, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """Two moments between which a pod's sandbox was begun."""

    since: datetime.datetime
    until: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """Why a pod runs without its networks. `ran`: by all that is on record the runtime ran us then."""

    reason: Reason
    message: str
    ran: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What a look at the runtime's folder showed: `reason` is None where ours is the first."""

    reason: Reason | None = None
    detail: str = ""


def standing(ours: Mapping[str, bytes], names: Collection[str]) -> Standing:
    """Judge the runtime's folder: our files' bytes by name, and the names of all files."""
    sound = [name for name, data in ours.items() if confs.pinned(data.decode(errors="replace")) is not None]
    if not sound:
        return Standing(Reason.CONF_AWAY, f"{confs.FILE} was not on the node")
    first = min(sound)
    rivals = [name for name in confs.candidates(names) if name < first]
    if rivals:
        return Standing(Reason.RIVAL, f"{rivals[0]} sorted before {first}, so that the runtime loaded it instead")
    return Standing()


def window(started: tuple[str, str], created: str) -> Window | None:
    """Return when a sandbox was begun, from a pod's startTime and a container's start, or the runtime's own word.

    All are RFC 3339, or "" where they are not known.
    """
    start, container = (_moment(text) for text in started)
    made = _moment(created)
    until = made + SLACK if made else container
    if until is None:
        return None
    earliest = until - _LONGEST_START if made or start is None else start
    return Window(max(earliest, start) if start else earliest, until)


def judge(started: Window | None, history: History | None) -> Cause:
    """Return why a pod whose sandbox was begun in that window has no journal."""
    if started is None:
        return Cause(Reason.UNKNOWN, "When it was started is not known, so why cannot be known either")
    if history is None:
        return Cause(Reason.UNKNOWN, "The node has no record of that time yet, so why cannot be known")
    lapses = list(history.lapses)
    if history.installed is not None:
        came = f"Mooring came to the node at {_text(history.installed)}"
        lapses.insert(0, Lapse(Reason.OLDER, _NEVER, history.installed + SLACK, came))
    possible = [each for each in lapses if each.since <= started.until and started.since <= each.until]
    moment = f"It was started before {_text(started.until)}"
    if not possible:
        lost = (
            "by all that is on record the runtime ran Mooring then; its journal is not there, and why cannot be known"
        )
        return Cause(Reason.UNKNOWN, f"{moment}: {lost}", ran=True)
    if any(each.reason in _FILES for each in possible):
        # What the runtime had loaded follows from the files that it found.
        possible = [each for each in possible if each.reason is not Reason.NOT_LOADED]
    if len({each.reason for each in possible}) == 1:
        return Cause(possible[-1].reason, f"{moment}: {possible[-1].detail}")
    details = "; or ".join(dict.fromkeys(each.detail for each in possible[-3:]))
    return Cause(Reason.UNKNOWN, f"{moment}, and which of these was the cause cannot be known: {details}")


def bounded(lapses: Iterable[Lapse]) -> tuple[Lapse, ...]:
    """Return the latest lapses, as many as are kept; those before them become one of which nothing is known."""
    listed = sorted(lapses, key=lambda each: each.until)
    old, kept = listed[:-_MOST_LAPSES], listed[-_MOST_LAPSES:]
    if old:
        since, until = min(each.since for each in old), max(each.until for each in old)
        merged = Lapse(Reason.UNKNOWN, since, until, "the record of that time was cut, so why cannot be known")
        kept = [merged, *kept[1:]] if len(kept) == _MOST_LAPSES else [merged, *kept]
    return tuple(kept)


def dump(history: History) -> bytes:
    """Return the record as it stands on the node (docs/contracts.md)."""
    document = {
        "version": VERSION,
        "installed": history.installed.isoformat() if history.installed else None,
        "lapses": [
            {
                "reason": str(each.reason),
                "since": each.since.isoformat(),
                "until": each.until.isoformat(),
                "detail": each.detail,
            }
            for each in history.lapses
        ],
    }
    return json.dumps(document).encode() + b"\n"


def parse(data: bytes) -> History:
    """Read the record; raises `HistoryError`."""
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise ValueError(f"it has version {document['version']!r}, and this agent reads {VERSION}")
        installed = document["installed"]
        return History(
            installed=None if installed is None else _aware(installed),
            lapses=tuple(
                Lapse(Reason(each["reason"]), _aware(each["since"]), _aware(each["until"]), str(each["detail"]))
                for each in document["lapses"]
            ),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HistoryError(f"{type(error).__name__}: {error}") from error


def advice(cause: Cause, in_vain: str) -> str:
    """Return the message of the condition: that networks are lacking, why, and what to do."""
    do = (
        f"Made anew now it would not get them either, because its node is not ready: {in_vain}"
        if in_vain
        else "Delete it so that it is made anew"
    )
    text = f"The pod asks for networks and runs without them. {cause.message}. {do}"
    return text.encode()[: podconditions.MOST_BYTES].decode(errors="ignore")


def _aware(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def _moment(text: str) -> datetime.datetime | None:
    try:
        return _aware(text)
    except ValueError:
        return None


def _text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
