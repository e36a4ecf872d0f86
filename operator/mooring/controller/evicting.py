"""Owns that pods without their networks are evicted where the Installation says so; refuses haste, and force.

Only the leader evicts: by the pods' eviction, so that disruption budgets hold, one of a node and a few of the cluster
at a time, from nodes that are Ready. A controller whose new pods lack their networks again is left alone for longer
and longer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
from typing import TYPE_CHECKING, Any

from mooring.controller import keys
from mooring.installing import evictions
from mooring.kube import errors, resources
from mooring.kube.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mooring.kube.client import Client
    from mooring.kube.events import Recorder

_LOG = logging.getLogger(__name__)

#: How often the leader looks, in seconds: each time it evicts one pod of a node at most, and this many in all.
EVERY = 5.0
# How often it looks whether the Installation wants evictions, while there are pods and it does not.
_ASK_AGAIN = 30.0
MOST = 5
# What a disruption budget or the pod itself stands in the way of.
_AGAIN = Pause(first=15.0, longest=300.0)
# A controller whose new pods are no better than those that were evicted.
_VAIN = Pause(first=120.0, longest=3600.0)
_REMEMBERED = datetime.timedelta(hours=2)
_ACTION = "Evict"


@dataclasses.dataclass(slots=True)
class _Maker:
    """What came of evictions for one controller."""

    evicted: datetime.datetime
    """When the last one was."""
    vain: int = 0
    """How many of its pods lacked their networks although they were made after an eviction."""
    until: float = 0.0


async def wanted(client: Client) -> bool:
    """Ask whether there is an Installation that wants pods evicted; raises `errors.ApiError`."""
    try:
        found = await client.get(resources.INSTALLATIONS, keys.INSTALLATION_NAME)
    except errors.NotFound:
        return False
    leaving = bool(found["metadata"].get("deletionTimestamp"))
    return not leaving and (found.get("spec") or {}).get("podsWithoutNetworks") == "Evict"


class Evictor:
    """Evicts, a few pods at a time."""

    def __init__(
        self,
        client: Client,
        *,
        states: Mapping[str, Mapping[str, Any]],
        wanted: Callable[[], Awaitable[bool]],
        leading: Callable[[], bool],
        recorder: Recorder,
        now: Callable[[], datetime.datetime],
    ) -> None:
        """`states` are the NodeStates by name.

        `wanted` asks whether the Installation wants evictions; `leading` says whether we may act, before each of them.
        """
        self._client = client
        self._states = states
        self._wanted = wanted
        self._leading = leading
        self._recorder = recorder
        self._now = now
        self._waits: dict[str, tuple[int, float]] = {}
        """By UID: how often a pod could not be evicted, and until when it is left alone."""
        self._makers: dict[str, _Maker] = {}

    async def reconcile(self) -> float | None:
        """Evict what may be evicted now; return the seconds until the next look, None where another one leads.

        Raises:
            errors.ApiError: we may not, or the API server is away.
        """
        if not self._leading():
            return None
        found = evictions.candidates(self._states)
        if not found:
            return EVERY
        if not await self._wanted():
            return _ASK_AGAIN
        uids = {each.uid for each in found}
        self._waits = {uid: wait for uid, wait in self._waits.items() if uid in uids}
        self._makers = {uid: one for uid, one in self._makers.items() if self._now() - one.evicted < _REMEMBERED}
        clock = asyncio.get_running_loop().time()
        nodes: set[str] = set()
        for each in found:
            if len(nodes) >= MOST or not self._leading():
                break
            if each.node in nodes or self._waits.get(each.uid, (0, 0.0))[1] > clock:
                continue
            if await self._evict(each):
                nodes.add(each.node)
        return EVERY

    async def _evict(self, candidate: evictions.Candidate) -> bool:
        clock = asyncio.get_running_loop().time()
        try:
            pod = await self._client.get(resources.PODS, candidate.name, namespace=candidate.namespace)
        except errors.NotFound:
            return False  # and its NodeState is about to say so
        refusal = evictions.refusal(pod, candidate)
        owner = evictions.maker(pod)
        if refusal or owner is None:
            self._later(candidate)
            _LOG.debug("pod %s/%s is not evicted: %s", candidate.namespace, candidate.name, refusal)
            return False
        maker = self._makers.get(owner["uid"])
        if maker is not None:
            if maker.until > clock:
                return False
            made = datetime.datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
            if made >= maker.evicted.replace(microsecond=0):
                maker.vain, maker.evicted = maker.vain + 1, self._now()
                maker.until = clock + _VAIN.after(maker.vain)
                return False
        try:
            await self._client.create(
                resources.PODS,
                evictions.eviction(candidate),
                namespace=candidate.namespace,
                name=candidate.name,
                subresource="eviction",
            )
        except (errors.NotFound, errors.Conflict):
            return False  # gone, or another pod of its name
        except errors.TooManyRequests as error:
            self._later(candidate)
            note = f"The pod runs without its networks and is not evicted yet: {error.message}"
            await self._tell(pod, "Warning", "EvictionRefused", note)
            return False
        self._makers[owner["uid"]] = _Maker(self._now(), vain=maker.vain if maker else 0)
        _LOG.info("evicted pod %s/%s, which ran without its networks", candidate.namespace, candidate.name)
        note = f"Evicted because it ran without its networks; {owner['kind']} {owner['name']} makes it anew"
        await self._tell(pod, "Normal", "EvictedWithoutNetworks", note)
        return True

    def _later(self, candidate: evictions.Candidate) -> None:
        failures = self._waits.get(candidate.uid, (0, 0.0))[0] + 1
        self._waits[candidate.uid] = (failures, asyncio.get_running_loop().time() + _AGAIN.after(failures))

    async def _tell(self, pod: dict[str, Any], kind: Any, reason: str, note: str) -> None:
        regarding = {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]}
        await self._recorder.event(regarding, kind=kind, reason=reason, note=note, action=_ACTION)
