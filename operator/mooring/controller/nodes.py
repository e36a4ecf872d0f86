"""NodeStates and the nodes behind them: owns writing them, and seeing what was written before the watch tells of it.

A decision on a picture in which one's own last words are missing would tell too many nodes at once. So what was written
counts until the watch has it, and a new leader reads all NodeStates before it decides. Refuses to write one that is as
it should be, or one that somebody else changed meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from mooring.controller import keys, observing, reading
from mooring.controller.fencing import Deposed
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from mooring.controller.fencing import Writer
    from mooring.controller.observing import View
    from mooring.kube.client import Client

_PARALLEL = 8


class States:
    """The NodeStates as they are, our own writes included."""

    def __init__(self, client: Client, writer: Writer, view: View) -> None:
        self._client = client
        self._writer = writer
        self._view = view
        # What the watch has not told yet: the object by its name, None for one that we deleted.
        self._ahead: dict[str, dict[str, Any]] = {}
        self._fresh = False

    def forget(self) -> None:
        """Read everything anew before the next decision."""
        self._fresh = False

    async def catch_up(self) -> None:
        """At the beginning of a term, take what other leaders wrote that the watch may not have told yet.

        Raises:
            errors.ApiError: they cannot be listed.
        """
        if self._fresh:
            return
        ahead: dict[str, dict[str, Any]] = {}
        async for page in self._client.pages(resources.NODE_STATES):
            ahead |= {item["metadata"]["name"]: observing.node_state(item) for item in page["items"]}
        self._ahead = ahead
        self._fresh = True

    def all(self) -> Mapping[str, dict[str, Any]]:
        """Return the NodeStates by name."""
        store = self._view.node_states.store
        for name in [name for name, item in self._ahead.items() if _seen(store.get(name), item)]:
            del self._ahead[name]
        return {**store, **{name: item for name, item in self._ahead.items() if name in self._view.nodes.store}}

    def _get(self, name: str) -> dict[str, Any] | None:
        """Return one as `all` has it; a pass asks for each, and must not go through all for each."""
        told, ahead = self._view.node_states.store.get(name), self._ahead.get(name)
        if ahead is None or _seen(told, ahead) or name not in self._view.nodes.store:
            return told
        return ahead

    def ours(self) -> dict[str, dict[str, Any]]:
        """Return those that an operator of ours made, by name."""
        return {name: state for name, state in self.all().items() if reading.is_ours(state)}

    async def ensure(self, desired: dict[str, Any]) -> None:
        """Apply a NodeState where it differs."""
        name = desired["metadata"]["name"]
        found = self._get(name)
        if found is not None and not reading.differs(found, desired):
            return
        made = await self._writer.apply(resources.NODE_STATES, desired, field_manager=keys.FIELD_MANAGER)
        self._ahead[name] = observing.node_state(made)

    async def remove(self, name: str) -> None:
        """Delete a NodeState; where its Node went, it went with it."""
        self._ahead.pop(name, None)
        with contextlib.suppress(errors.NotFound):
            await self._writer.delete(resources.NODE_STATES, name)

    async def untaint(self, name: str) -> None:
        """Take the startup taint from a Node."""
        node = await self._client.get(resources.NODES, name)
        taints = (node.get("spec") or {}).get("taints") or []
        kept = [taint for taint in taints if taint.get("key") != reading.STARTUP_TAINT]
        if len(kept) != len(taints):
            version = node["metadata"]["resourceVersion"]
            patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": kept or None}}
            await self._writer.patch(resources.NODES, name, patch, field_manager=keys.FIELD_MANAGER)


def _seen(told: Mapping[str, Any] | None, written: Mapping[str, Any]) -> bool:
    """Whether the watch has told what was written, or something later."""
    if told is None:
        return False
    ours, theirs = written["metadata"], told["metadata"]
    return bool(theirs.get("uid") != ours.get("uid") or theirs.get("generation", 0) >= ours.get("generation", 0))


async def everything(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run everything, a few at a time, to its end; then raise the first error."""
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(each: Coroutine[Any, Any, None]) -> Exception | None:
        async with slots:
            try:
                await each
            except (errors.ApiError, Deposed) as error:
                return error
            return None

    for error in await asyncio.gather(*(one(each) for each in work)):
        if error is not None:
            raise error
