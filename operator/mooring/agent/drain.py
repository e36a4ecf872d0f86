"""Owns how Mooring leaves this node when the leader asks for it, in `NodeState.spec.drain`; refuses to hurry.

First the primary network's own conf is what the runtime has loaded again; then what pods of before still hold is undone
as their sandboxes end, for which plugin, journals and our conf stay; then the AttachmentSlices of the node go, then our
files. Each look begins at the beginning, so it goes on after any end of the agent, and ends when there is nothing left
to do. While a node is drained no other reconciler writes a file, but the dhcp daemon is kept running for what is
attached. A drain that is withdrawn installs again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import loops
from mooring.agent.runtime import Verdict
from mooring.installing import confs
from mooring.kube import errors, resources
from mooring.node import cri, leaving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mooring.kube.client import Client
    from mooring.kube.informers import Informer
    from mooring.node import places

_LOG = logging.getLogger(__name__)

# What the runtime began before it loaded the primary's conf has a journal by then.
_BEGUN_SECONDS = 3.0
_SOON_SECONDS, _LATER_SECONDS = 1.0, 5.0
_MOST_NAMED = 5

DRAINED = Verdict("True", "Drained", "Nothing of Mooring is on this node but its agent")


class Drain(loops.Reconciler):
    """Takes Mooring off its node. `verdict` is the condition `Drained`; None while nobody asks for it."""

    name = "drain"
    reason = "Draining"
    period = 30.0

    def __init__(
        self,
        client: Client,
        *,
        node: str,
        places: Callable[[], places.Places | None],
        traces: Callable[[], list[str]],
        ask: Callable[[], Awaitable[cri.Status]],
        primary: Callable[[], str],
        writing: Callable[[], list[str]],
        collect: Callable[[], None],
        undoing: Callable[[], int],
        why: Callable[[], str],
        withdraw: Callable[[places.Places], Awaitable[list[str]]],
        on_change: Callable[[], None],
        on_health: Callable[[], None],
    ) -> None:
        """Make one.

        Args:
            client: for the AttachmentSlices.
            node: its name.
            places: the folders; None until they are known.
            traces: what of ours a node has on it whose folders are not known, in words; it blocks.
            ask: the container runtime about itself.
            primary: the file that the primary network came from; "" where that is not known.
            writing: the names of the reconcilers that are at work.
            collect: asks for sandboxes that are gone to be undone.
            undoing: how many of these still run.
            why: what keeps sandboxes that are gone from being undone, in a sentence; "" where nothing does.
            withdraw: ends the dhcp daemon and takes the programs of plugin sets away; returns what stays, in sentences.
            on_change: is told when a drain begins or is withdrawn.
            on_health: is told of changes.
        """
        super().__init__(on_health=on_health)
        self._client = client
        self._node = node
        self._places = places
        self._traces = traces
        self._ask = ask
        self._primary = primary
        self._writing = writing
        self._collect = collect
        self._undoing = undoing
        self._why = why
        self._withdraw = withdraw
        self._on_change = on_change
        self._informer: Informer | None = None
        self._file = ""
        self._known = False
        self._began = False
        self._released_at: float | None = None
        self.verdict: Verdict | None = None
        self.holding = False
        """Whether something was attached at the last look: its DELs may need a daemon of the node."""
        self.staying = asyncio.Event()
        """Set while there are folders of ours on the node."""
        self.staying.set()

    def follow(self, informer: Informer) -> None:
        """Take the informer of this node's NodeState, which wakes us."""
        self._informer = informer

    @property
    def wanted(self) -> bool:
        """Whether the leader asks for it. A NodeState that is gone takes nothing back: only one that says so does."""
        state = self._informer.store.get(self._node) if self._informer else None
        if state is None:
            return self._began
        return (state.get("spec") or {}).get("drain") is True

    @property
    def released(self) -> bool:
        """Whether the runtime no longer runs us, and all that it began before has a journal."""
        since = self._released_at
        return since is not None and asyncio.get_running_loop().time() - since >= _BEGUN_SECONDS

    async def reconcile(self) -> float | None:
        """Go on with a drain that is asked for, or forget one that is not."""
        if self._informer is None or not self._informer.synced.is_set():
            self.report(settled=True)  # nobody waits for us
            return _SOON_SECONDS
        if not self.wanted:
            await self._stay()
            return None
        if not self._began:
            _LOG.info("this node is drained")
            self._began = True
            self._on_change()
        try:
            waits, again = await self._leave()
        except loops.EXPECTED as error:
            self._set(Verdict("False", "Draining", f"It cannot go on: {error}"))
            raise
        self._set(Verdict("False", "Draining", waits) if waits else DRAINED)
        return again

    def _set(self, verdict: Verdict) -> None:
        if verdict != self.verdict:
            _LOG.info("drain: %s", verdict.message)
            self.verdict = verdict
            self._on_health()
        # Either way new pods get no networks of ours here.
        self.report(settled=True, problem=f"Mooring is taken off this node, as spec.drain asks. {verdict.message}")

    async def _stay(self) -> None:
        folders = self._places()
        if folders is not None and (self._began or not self._known):
            await asyncio.to_thread(leaving.stay, folders)
            self._known = True
        if self._began:
            _LOG.info("the drain of this node is withdrawn")
            self._began, self._released_at, self._file, self.verdict = False, None, "", None
            self.holding = False
            self.staying.set()
            self._on_change()
        self.report(settled=True)

    async def _leave(self) -> tuple[str, float | None]:
        """Do what can be done now; return what it waits for, "" at the end, and after how long to look again."""
        folders = self._places()
        self._file = self._file or self._primary()
        if folders is None:
            return await self._leave_bare()
        if not self.released:  # which may take for ever
            self.holding = bool(await asyncio.to_thread(leaving.attached, folders))
        if waits := self._at_work():
            return waits, _SOON_SECONDS
        problem = await asyncio.to_thread(leaving.give_back, folders, self._file)
        if problem:
            return problem, _LATER_SECONDS
        unloaded = await self._unloaded(folders)
        if unloaded:
            self._released_at = None
            return unloaded, _SOON_SECONDS
        if self._released_at is None:
            self._released_at = asyncio.get_running_loop().time()
        if not self.released:
            return "It waits for calls that the runtime began before", _SOON_SECONDS
        attached = await asyncio.to_thread(leaving.attached, folders)
        self.holding = bool(attached or self._undoing())
        if self.holding:
            self._collect()
            return ". ".join(filter(None, (_told(attached), self._why()))), _LATER_SECONDS
        if waits := self._at_work():  # the daemon may be started just now
            return waits, _SOON_SECONDS
        if stays := await self._withdraw(folders):
            return " ".join(stays), _LATER_SECONDS
        await self._remove_slices()
        self.staying.clear()
        await asyncio.to_thread(leaving.remove, folders)
        return "", None

    def _at_work(self) -> str:
        """Return in a sentence which reconcilers are still at work; "" where none is."""
        writing = self._writing()
        return f"It waits for {', '.join(writing)} to end what was begun" if writing else ""

    async def _leave_bare(self) -> tuple[str, float | None]:
        """Leave a node that never took a revision: there is nothing to undo, where nothing of ours is on it."""
        traces = await asyncio.to_thread(self._traces)
        if traces:
            told = f"It waits for the revision of this node, which names its folders: there is {', '.join(traces)}"
            return told, _LATER_SECONDS
        await self._remove_slices()
        if self._places() is not None:  # the revision came meanwhile
            return "It begins with the folders of the revision", _SOON_SECONDS
        self.staying.clear()
        return "", None

    async def _unloaded(self, folders: places.Places) -> str:
        """Return in a sentence why the runtime may still call us; "" where it does not, or cannot tell."""
        try:
            said = await self._ask()
        except cri.NoSocketError:
            return ""
        except cri.UnansweredError as error:
            return f"It waits for the container runtime: {error}"
        name = " ".join(filter(None, (said.runtime, said.version)))
        if said.networks is None:
            return ""
        if any(network.name == confs.NETWORK and confs.TYPE in network.plugins for network in said.networks):
            return f"It waits until {name} has loaded the primary network's own conf"
        if not said.networks and await asyncio.to_thread(_has_confs, folders):
            why = f": {said.last_load}" if said.last_load not in ("", "OK") else ""
            return f"It waits until {name} has loaded a network: it has none{why}"
        return ""

    async def _remove_slices(self) -> None:
        listed = await self._client.list(resources.ATTACHMENT_SLICES, field_selector=f"nodeName={self._node}")
        for item in listed["items"]:
            metadata: dict[str, Any] = item["metadata"]
            with contextlib.suppress(errors.NotFound):
                await self._client.delete(resources.ATTACHMENT_SLICES, metadata["name"], uid=metadata["uid"])


def _told(attached: list[str]) -> str:
    if not attached:
        return "It waits for DELs that still run"
    more = len(attached) - _MOST_NAMED
    named = ", ".join(attached[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    many = "a pod" if len(attached) == 1 else f"{len(attached)} pods"
    return f"It waits for the end of {many} with further networks: {named}"


def _has_confs(folders: places.Places) -> bool:
    return bool(confs.candidates(path.name for path in folders.confs.iterdir()))
