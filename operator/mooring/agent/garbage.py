"""Owns that nothing stays on the node of sandboxes that are gone; refuses to act without the runtime's word.

A runtime whose only DEL was killed, or failed, forgets the sandbox, and nobody asks again. So the agent undoes it with
the plugin itself, where the runtime runs, from what is on disk. Whatever waits or fails, nothing else of the agent
waits for it: one DEL at a time, pauses that are longer than the work, and searches that end after so many files.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import logging
from typing import TYPE_CHECKING, Any, Protocol

from mooring.agent import collectable, loops, undoing
from mooring.installing import confs
from mooring.networks import leases
from mooring.node import conffolder, cri, namespaces, places, records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from mooring.agent.revisions import Revision

_LOG = logging.getLogger(__name__)

#: How many records are judged, and how long is worked on them, before the runtime is asked anew.
_MOST_JUDGED = 200
_WORK_SECONDS = 20.0
# Four fifths of the time are others'.
_PAUSE_FACTOR = 4.0
# Where so many DELs of one pass fail, or still run, the fault is not the sandboxes'.
_MOST_FAILING = 10
_MOST_RUNNING = 4
_SOON_SECONDS, _WAITING_SECONDS = 0.1, 30.0
# What is left without a journal is rare, and no hurry.
_SWEEP_SECONDS = 300.0
_MOST_LEASES = 1000
# A runtime that does not answer may only be starting.
_SILENT_BEFORE_TOLD = 3
_MOST_NAMED = 5


class Sandbox(Protocol):
    """A sandbox as the runtime lists it."""

    @property
    def id(self) -> str:
        """The container id of CNI."""


class Node(Protocol):
    """What the reconciler needs of the node's runtime."""

    async def sandboxes(self) -> Iterable[Sandbox]:
        """List the sandboxes; raises `OSError` where the runtime does not say."""

    def enter(self) -> contextlib.AbstractContextManager[namespaces.Namespaces]:
        """Hold the runtime's namespaces; raises `OSError`. It blocks."""


class AskedNode:
    """The node's runtime as `mooring-cri` tells of it."""

    def __init__(self, asked: cri.Runtime, *, host_root: Path) -> None:
        self._asked = asked
        self._host_root = host_root

    async def sandboxes(self) -> Iterable[Sandbox]:
        """List the sandboxes."""
        return await self._asked.sandboxes()

    @contextlib.contextmanager
    def enter(self) -> Iterator[namespaces.Namespaces]:
        """Hold the namespaces of the process that listens where sandboxes are asked for."""
        address = cri.socket(self._host_root)
        if address is None:
            raise OSError("the container runtime's socket is gone")
        with namespaces.behind(self._host_root / address.lstrip("/")) as inside:
            yield inside


@dataclasses.dataclass(slots=True)
class Counts:
    """What was done since the agent started, and what there is to do."""

    sandboxes: int = 0
    """Were undone."""
    leases: int = 0
    """Were released."""
    failures: int = 0
    """DELs that failed."""
    waiting: int = 0
    """Journals of sandboxes that the runtime does not list, as of the last pass."""


@dataclasses.dataclass(slots=True)
class _Pass:
    """One pass's work."""

    undone: list[str] = dataclasses.field(default_factory=list)
    failed: int = 0
    last: str | None = None
    """The name of the last record that was worked on."""
    whole: bool = True
    """It came to the end of what there was to undo."""


class Garbage(loops.Reconciler):
    """Undoes sandboxes that are gone."""

    name = "garbage"
    reason = "GarbageNotCollected"
    period = 60.0
    pause = loops.Pause(first=30.0, longest=600.0)
    fails_as = "warning"

    def __init__(
        self,
        *,
        revision: Callable[[], Revision | None],
        node: Node,
        runner: undoing.Runner,
        networks: Callable[[], Iterable[tuple[str, str]]],
        lives: Callable[[str, str], bool],
        clock: Callable[[], records.Clock],
        released: Callable[[], bool],
        on_health: Callable[[], None],
    ) -> None:
        """Make one.

        Args:
            revision: the node's.
            node: its runtime.
            runner: runs the plugin.
            networks: name and configuration of each NAD.
            lives: whether, by all that is known, a pod (`namespace/name`) runs in the sandbox of that record.
            clock: the node's.
            released: whether the runtime no longer runs us: no sandbox of ours is in the making.
            on_health: is told of changes.
        """
        super().__init__(on_health=on_health)
        self._health = loops.Health(settled=True)  # pods get their networks beside any garbage
        self._revision = revision
        self._node = node
        self._networks = networks
        self._lives = lives
        self._clock = clock
        self._released = released
        self._undoing = undoing.Undoing(runner, clock=lambda: clock().boottime)
        self._listings = collectable.Listings()
        self._offset: float | None = None
        self._behind = ""
        self._swept: float | None = None
        self._silent = 0
        self._doubt = ""
        self._failed_passes = 0
        self.counts = Counts()

    async def reconcile(self) -> float | None:
        """Ask the runtime for its sandboxes, and undo what it does not list any more."""
        revision = self._revision()
        if revision is None:
            return _WAITING_SECONDS  # nobody wakes us when the pods are known
        conf = await asyncio.to_thread(_conf, revision.places)
        if conf is None or not await asyncio.to_thread(revision.places.journals.is_dir):
            return None  # the conf comes first; without one of ours no pod was attached
        try:
            listed = await self._list()
            wait = await self._collect(revision, conf, listed)
        except OSError as error:
            self._silent += 1
            if self._silent >= _SILENT_BEFORE_TOLD:
                self.report(warning=f"what is left of sandboxes that are gone is not collected: {error}")
            return self.pause.after(self._silent)
        self._silent = 0
        self.report(warning=self._reported())
        return wait

    @property
    def running(self) -> int:
        """How many DELs run."""
        return self._undoing.running

    def _reported(self) -> str:
        if self._doubt:
            return (
                f"pod {self._doubt} runs, and the runtime does not list its sandbox, so others may live too: "
                "nothing is collected; is it the runtime of this node's pods?"
            )
        if self._undoing.running >= _MOST_RUNNING:
            return f"{self._undoing.running} DELs of sandboxes that are gone hang, and no further one is begun"
        return self._undoing.reported

    async def _list(self) -> frozenset[str]:
        clock = self._clock()
        offset = clock.wall - clock.boottime
        if self._offset is not None and abs(offset - self._offset) > 1:
            self._listings.forget()  # times of files from before and after a jump cannot be compared
        self._offset = offset
        listed = frozenset(each.id for each in await self._node.sandboxes())
        self._listings.add(collectable.Listing(asked=clock.boottime, ids=listed))
        if not listed:
            raise OSError("the runtime lists no sandbox, not even the agent's own; is it the one that runs the pods?")
        return listed

    async def _collect(self, revision: Revision, conf: dict[str, Any], listed: frozenset[str]) -> float:
        """Judge a number of records and undo what is garbage; return when to go on."""
        search = await asyncio.to_thread(
            records.unlisted,
            revision.places.journals,
            listed=listed,
            behind=self._behind,
            most=_MOST_JUDGED,
            clock=self._clock(),
        )
        done = _Pass()
        gone = [each for each in search.found if self._is_garbage(each)]
        # A runtime that does not list what runs cannot say what is gone: it may be the one that the node had before.
        # Of an earlier boot nothing lives, whatever the API server says until the kubelet has told it more.
        doubtful = (each for each in gone if each.changed is not None and not each.ending)
        self._doubt = next((each.pod for each in doubtful if self._lives(each.name, each.pod)), "")
        if self._doubt:
            return self.period
        sweeps = not search.behind and self._sweep_is_due()
        if gone or sweeps:
            async with self._site(revision, conf) as site:
                await self._undo(gone, site, done)
                if sweeps and done.whole:
                    await self._sweep(site, listed)
        if done.whole:
            self._behind = search.behind
        elif done.last is not None:
            self._behind = done.last
        self.counts.waiting = search.total - len(done.undone)
        exists = revision.places.journals.joinpath
        await asyncio.to_thread(self._undoing.only, lambda name: exists(name).exists())
        self._failed_passes = self._failed_passes + 1 if done.failed >= _MOST_FAILING else 0
        if self._failed_passes:
            return self.pause.after(self._failed_passes)
        if self._undoing.running < _MOST_RUNNING and done.undone and self._behind:
            return _SOON_SECONDS
        return _WAITING_SECONDS if self.counts.waiting else self.period

    def _is_garbage(self, found: records.Found) -> bool:
        ending = found.ending or self._released()
        record = collectable.Record(container=found.container, changed=found.changed, ending=ending)
        return self._listings.verdict(record) is collectable.Verdict.COLLECT and not self._undoing.spares(found.name)

    @contextlib.asynccontextmanager
    async def _site(self, revision: Revision, conf: dict[str, Any]) -> AsyncIterator[undoing.Site]:
        entered = self._node.enter()
        inside = await asyncio.to_thread(entered.__enter__)
        with contextlib.ExitStack() as held:
            held.push(entered)
            yield undoing.Site(places=revision.places, conf=conf, inside=inside)

    async def _undo(self, gone: Iterable[records.Found], site: undoing.Site, done: _Pass) -> None:
        """Undo sandboxes one after the other, until enough was done, or enough has failed."""
        clock = asyncio.get_running_loop().time
        until = clock() + _WORK_SECONDS
        for each in gone:
            if clock() >= until or done.failed >= _MOST_FAILING or self._undoing.running >= _MOST_RUNNING:
                done.whole = False
                break
            done.last = each.name
            if await asyncio.to_thread(undoing.is_anothers, each, site.inside):
                continue
            if await asyncio.to_thread(records.locked, site.places.journals / each.name):
                continue
            began = clock()
            if await self._undoing.undo(each, site):
                done.undone.append(each.pod or each.container[:12])
                self.counts.sandboxes += 1
            else:
                done.failed += 1
                self.counts.failures += 1
            await asyncio.sleep(_PAUSE_FACTOR * (clock() - began))
        if done.undone:
            more = len(done.undone) - _MOST_NAMED
            named = ", ".join(done.undone[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            _LOG.info("undid what was left of sandboxes that are gone: %s", named)

    def _sweep_is_due(self) -> bool:
        now = self._clock().boottime
        return self._swept is None or now - self._swept >= _SWEEP_SECONDS

    async def _sweep(self, site: undoing.Site, listed: frozenset[str]) -> None:
        """Undo sandboxes of which only results tell, and release leases of which nothing else does."""
        self._swept = self._clock().boottime
        journals, own = site.places.journals, site.places.results
        cached = await asyncio.to_thread(site.inside.seen, site.runtime_results)
        for folder, network, known in ((own, "", (journals,)), (cached, str(site.conf["name"]), (journals, own))):
            found = await asyncio.to_thread(
                functools.partial(
                    records.orphaned_results,
                    folder,
                    network=network,
                    listed=listed,
                    known=known,
                    most=_MOST_JUDGED,
                    clock=self._clock(),
                )
            )
            gone = [each for each in found if self._is_garbage(each) and not self._lives(each.name, each.pod)]
            await self._undo(gone, site, _Pass())
        folders = await asyncio.to_thread(_seen, site.inside, self._lease_folders(site.conf))
        orphans = await asyncio.to_thread(
            functools.partial(
                records.orphaned_leases,
                folders,
                listed=listed,
                known=(journals, own, cached),
                most=_MOST_LEASES,
                clock=self._clock(),
            )
        )
        released = 0
        for lease in orphans:
            record = collectable.Record(container=lease.container, changed=lease.changed)
            if self._listings.verdict(record) is collectable.Verdict.COLLECT:
                released += await asyncio.to_thread(records.release, lease)
        self.counts.leases += released
        if released:
            _LOG.info("released %d addresses of sandboxes that are gone", released)

    def _lease_folders(self, conf: Mapping[str, Any]) -> set[str]:
        """Return where the leases of networks are that are ours: those of NADs, and those that our conf pins."""
        found: set[str] = set()
        for delegate in conf.get("delegates") or []:
            found |= leases.folders(delegate)
        for name, text in self._networks():
            found |= leases.folders_in(text, name=name)
        return found


def _seen(inside: namespaces.Namespaces, folders: Iterable[str]) -> set[Path]:
    """Return where folders of the runtime are seen. What a NAD names and leads nowhere holds no lease."""
    found = set()
    for folder in folders:
        try:
            found.add(inside.seen(folder))
        except OSError as error:
            _LOG.debug("there are no leases in %r: %s", folder, error.strerror)
    return found


def _conf(node: places.Places) -> dict[str, Any] | None:
    """Return the node's own conf of the plugin, as it was where the node is drained; None where there is none."""
    for path in (*(node.confs / name for name in confs.FILES), node.state / places.LEAVING):
        try:
            conf = json.loads(conffolder.content(path))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(conf, dict) and conf.get("type") == confs.TYPE and isinstance(conf.get("name"), str):
            return conf
    return None
