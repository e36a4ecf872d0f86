"""Owns the reading of the plugin's journals: what is attached, undone and given up; refuses to write one.

A journal may end in the middle of a line (power cut), hold a damaged line, or come from a later plugin. None of these
raises: what can be read is read, and the flags of `Journal` say what the caller may do with it (docs/contracts.md).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = 1
SUFFIX = ".jsonl"
# {"crc":"1a2b3c4d","record":<record>}
_PREFIX = re.compile(rb'\{"crc":"([0-9a-f]{8})","record":')
_RECORD_AT = 27
# <containerID>@<ifname>.jsonl
_NAME = re.compile(r"(?P<container>[A-Za-z0-9][A-Za-z0-9_.-]*)@(?P<interface>[^/@\s:]{1,15})\.jsonl")


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """One network of a sandbox, as it was intended and as it ended."""

    index: int
    network: str
    """`namespace/name` of the NAD, or the conf's name."""
    nad: bool
    default: bool
    interface: str
    default_route: tuple[str, ...] | None = None
    """The gateways that were asked for with `default-route`; None where it was not asked for."""
    conf: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The configuration or list as it is executed."""
    given: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The capability arguments."""
    result: dict[str, Any] | None = None
    """The CNI result of the last ADD that succeeded."""
    time: str = ""
    """When that was: RFC 3339 in UTC with microseconds."""
    device_info: dict[str, Any] | None = None
    last: tuple[str, str, bool] | None = None
    """The last record: its type, its verb, and whether it holds an error."""
    quarantined: bool = False

    @property
    def attached(self) -> bool:
        """The last record is a result of ADD without error."""
        return self.last == ("result", "ADD", False)

    @property
    def undone(self) -> bool:
        """The last record is a result of DEL without error."""
        return self.last == ("result", "DEL", False)

    @property
    def held(self) -> bool:
        """An ADD succeeded and no DEL has since: what it gave is not free."""
        return self.result is not None and not self.undone


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """What one journal says of one sandbox."""

    container: str = ""
    interface: str = ""
    time: str = ""
    """When the sandbox's ADD began: RFC 3339 in UTC with microseconds, so the text sorts by time."""
    boot: str = ""
    namespace: str = ""
    pod: str = ""
    uid: str = ""
    netns: str = ""
    arguments: str = ""
    """CNI_ARGS as the runtime gave them."""
    del_requested: bool = False
    """A DEL came while an ADD held the lock."""
    attachments: tuple[Attachment, ...] = ()
    records: int = 0
    """How many lines have a right checksum."""
    torn: bool = False
    """The last line is to be ignored."""
    intact: bool = True
    """Nothing before the last line is damaged, and the version is ours: the file may be appended to."""
    readable: bool = True
    """It is known what there is to undo."""

    @property
    def complete(self) -> bool:
        """Every network of the pod is attached: its status can be told."""
        return bool(self.attachments) and all(attachment.attached for attachment in self.attachments)

    @property
    def ending(self) -> bool:
        """A DEL was asked for or begun, or given up for one of the networks: nobody is making this sandbox."""
        return self.del_requested or any(
            each.quarantined or (each.last is not None and each.last[1] == "DEL") for each in self.attachments
        )


def parse(data: bytes) -> Journal:
    """Return what the bytes of a journal say; never raises."""
    lines = data.split(b"\n")
    unfinished = lines.pop() != b""  # what follows the last line feed
    if unfinished:
        lines = data.split(b"\n")
    read = [_record(line) for line in lines]
    torn = bool(read) and (unfinished or read[-1] is None)
    # A line that lacks only its line feed may still be whole; it is torn all the same: the writer had not finished.
    good = [record for record in (read[:-1] if torn else read) if record is not None]
    damaged = len(good) != len(read) - torn

    header: dict[str, Any] = {}
    attachments: dict[int, Attachment] = {}
    for record in good:
        match record.get("type"):
            case "header":
                header = record  # of several the last counts: the API server may have known the pod's UID
            case "intents" if not attachments:
                attachments = _intended(record)
            case "begun" | "result" | "quarantined":
                _follow(attachments, record)
            case _:
                pass  # a later writer's
    # As the plugin judges: what has line feeds and no good line, or no header of ours, is not ours to append to.
    ours = header.get("version") == VERSION if good else not (torn and b"\n" in data)
    intact = ours and not damaged
    pod = header.get("pod")
    if not isinstance(pod, dict):
        pod = {}
    return Journal(
        container=_text(header.get("containerID")),
        interface=_text(header.get("ifName")),
        time=_text(header.get("time")),
        boot=_text(header.get("bootID")),
        namespace=_text(pod.get("namespace")),
        pod=_text(pod.get("name")),
        uid=_text(pod.get("uid")),
        netns=_text(header.get("netns")),
        arguments=_text(header.get("cniArgs")),
        del_requested=any(record.get("type") == "del-requested" for record in good),
        attachments=tuple(attachments.values()),
        records=len(good),
        torn=torn,
        intact=intact,
        readable=bool(attachments) or intact,
    )


def read(path: Path) -> Journal | None:
    """Read the journal at `path`; None where there is none (any more). Raises `OSError`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return parse(data)


def each(folder: Path) -> Iterator[tuple[str, Journal]]:
    """Yield the name and the content of each journal in a folder; none where there is no folder. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as listed:
        for entry in listed:
            journal = read(folder / entry.name) if is_journal(entry.name) else None
            if journal is not None:
                yield entry.name, journal


def is_journal(name: str) -> bool:
    """Return whether a file of this name in the folder of attachments is a journal."""
    return _NAME.fullmatch(name) is not None


def sandbox(name: str) -> tuple[str, str]:
    """Return container id and interface that the name of a journal says; raises `ValueError` for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not the name of a journal: <containerID>@<interface>{SUFFIX}")
    return match["container"], match["interface"]


def _record(line: bytes) -> dict[str, Any] | None:
    prefix = _PREFIX.match(line)
    if prefix is None or prefix.end() != _RECORD_AT or not line.endswith(b"}"):
        return None
    body = line[_RECORD_AT:-1]
    if f"{zlib.crc32(body):08x}".encode() != prefix[1]:
        return None
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _intended(record: dict[str, Any]) -> dict[int, Attachment]:
    intended = {}
    listed = record.get("attachments")
    for item in listed if isinstance(listed, list) else []:
        index = item.get("index") if isinstance(item, dict) else None
        if not isinstance(index, int):
            continue
        asked = item.get("defaultRoute")
        intended[index] = Attachment(
            index=index,
            network=_text(item.get("network")),
            nad=item.get("nad") is True,
            default=item.get("default") is True,
            interface=_text(item.get("ifName")),
            default_route=tuple(map(_text, asked)) if isinstance(asked, list) else None,
            conf=_object(item.get("conf")),
            given=_object(item.get("capabilityArgs")),
        )
    return intended


def _follow(attachments: dict[int, Attachment], record: dict[str, Any]) -> None:
    index = record.get("index")
    if not isinstance(index, int) or index not in attachments:
        return
    before = attachments[index]
    if record["type"] == "quarantined":
        attachments[index] = dataclasses.replace(before, quarantined=True, last=("quarantined", "", False))
        return
    verb = _text(record.get("verb"))
    after = dataclasses.replace(before, last=(record["type"], verb, "error" in record))
    if record["type"] == "result" and verb == "ADD" and "error" not in record:
        result, device = record.get("result"), record.get("deviceInfo")
        after = dataclasses.replace(
            after,
            result=_object(result),
            time=_text(record.get("time")),
            device_info=device if isinstance(device, dict) else None,
        )
    attachments[index] = after


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
