"""Owns what the journals say of the sandboxes on this node, in memory; refuses to judge which pod they belong to.

The folder is followed by inotify: the end of a plugin's call closes its journal. A notice may carry the journal's
temporary name, because the plugin links the file to its name after it opened it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING

from mooring.agent import holdings
from mooring.networks import additions, statuses
from mooring.node import files, inotify, journals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_LOG = logging.getLogger(__name__)
# So many journals are read before others have their turn.
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Sandbox:
    """What one journal says, as small as it can be held."""

    name: str
    """The journal's."""
    pod: str
    """`namespace/name`."""
    uid: str
    """What the runtime said: for a static pod the hash of its file; "" where it said nothing."""
    boot: str
    time: str
    status: str
    """The annotation; "" while not everything is attached."""
    left_out: tuple[str, ...]
    """The networks that did not fit into the annotation."""
    networks: tuple[str, ...]
    """The NADs that are attached, in order; one that is attached twice stands twice."""
    added: tuple[str, ...] = ()
    """What its pod's events tell, a sentence for each attachment; nothing while not everything is attached."""
    held: tuple[str, ...] = ()
    """Its entries in the AttachmentSlices."""
    netns: str = ""
    """The file of its network namespace, as the runtime named it."""
    ended: str = ""
    """When its last ADD ended: RFC 3339 in UTC; "" where that is not known."""


class Sandboxes:
    """The sandboxes of the node. `on_change(pod)` is told `namespace/name` when a sandbox of a pod is another one."""

    def __init__(self, *, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._by_name: dict[str, Sandbox] = {}
        self._by_pod: dict[str, set[str]] = {}
        self.scanned = asyncio.Event()
        """Set from the first complete look at the folder on."""

    def of(self, pod: str) -> list[Sandbox]:
        """Return the sandboxes of a pod name, of whatever UID."""
        return [self._by_name[name] for name in self._by_pod.get(pod, ())]

    def __iter__(self) -> Iterator[Sandbox]:
        return iter(self._by_name.values())

    async def follow(self, folder: Path) -> None:
        """Follow the folder until cancelled; raises `OSError` when it is gone or cannot be watched."""
        # Made with the plugin's own mode, so that there is something to watch before the first pod.
        await asyncio.to_thread(files.make_folder, folder, mode=0o700)
        async with inotify.Watch(folder) as watch:
            await self.scan(folder)
            async for names in watch.changes():
                if None in names:
                    await self.scan(folder)
                    continue
                finals = {_final(name) for name in names if name is not None}
                await self._look(folder, [name for name in finals if journals.is_journal(name)])

    async def scan(self, folder: Path) -> None:
        """Look at every journal in the folder."""
        names = await asyncio.to_thread(_listed, folder)
        every = sorted(names | set(self._by_name))
        for start in range(0, len(every), _AT_ONCE):
            await self._look(folder, every[start : start + _AT_ONCE])
        self.scanned.set()

    async def _look(self, folder: Path, names: Sequence[str]) -> None:
        if names:
            self.take(await asyncio.to_thread(read, [folder / name for name in names]))

    def take(self, found: Mapping[str, Sandbox | None]) -> None:
        """Know from now on what `read` has found."""
        for name, sandbox in found.items():
            self._put(name, sandbox)

    def _put(self, name: str, sandbox: Sandbox | None) -> None:
        old = self._by_name.pop(name, None)
        if old is not None:
            of_pod = self._by_pod[old.pod]
            of_pod.discard(name)
            if not of_pod:
                del self._by_pod[old.pod]
        if sandbox is not None:
            self._by_name[name] = sandbox
            self._by_pod.setdefault(sandbox.pod, set()).add(name)
        if old == sandbox:
            return
        for pod in {one.pod for one in (old, sandbox) if one is not None}:
            self._on_change(pod)


def read(paths: Iterable[Path]) -> dict[str, Sandbox | None]:
    """Read journals, by their names; None is one that is gone, or of no pod. What cannot be read is left out."""
    found: dict[str, Sandbox | None] = {}
    for path in paths:
        try:
            journal = journals.read(path)
        except OSError as error:
            _LOG.warning("journal %s cannot be read: %s", path.name, error.strerror or error)
            continue
        found[path.name] = None if journal is None else _summary(path.name, journal)
    return found


def _summary(name: str, journal: journals.Journal) -> Sandbox | None:
    if not journal.namespace or not journal.pod:
        return None  # no pod of Kubernetes, or not to be told
    status, added = statuses.Annotation(text=""), list[str]()
    if journal.complete:
        added = [
            additions.note(network=each.network, interface=each.interface, result=each.result or {})
            for each in journal.attachments
        ]
        status = statuses.annotation(
            [
                statuses.Attached(
                    network=attachment.network,
                    default=attachment.default,
                    result=attachment.result or {},
                    default_route=attachment.default_route,
                    device_info=attachment.device_info,
                )
                for attachment in journal.attachments
            ]
        )
    return Sandbox(
        name=name,
        pod=f"{journal.namespace}/{journal.pod}",
        uid=journal.uid,
        boot=journal.boot,
        time=journal.time,
        status=status.text,
        left_out=status.left_out,
        networks=tuple(
            attachment.network for attachment in journal.attachments if attachment.nad and attachment.attached
        ),
        added=tuple(filter(None, added)),
        held=holdings.entries(journal),
        netns=journal.netns,
        ended=max(filter(holdings.is_time, (attachment.time for attachment in journal.attachments)), default=""),
    )


def _final(name: str) -> str:
    """Return the journal's name for the temporary one that it was opened under."""
    if name.startswith(".") and name.endswith(f"{journals.SUFFIX}.tmp"):
        return name[1:].removesuffix(".tmp")
    return name


def _listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if journals.is_journal(path.name)}
