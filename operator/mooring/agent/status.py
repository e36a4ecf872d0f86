"""Owns that pods of this node carry the network-status their journals tell; refuses to touch anything else of a pod.

The journal says what was attached, the pod says what is written: where they differ the annotation is patched, whoever
changed it, and the condition `mooring.dev/NetworksAttached` with it, in one request. The patch names the pod's UID, so
a pod that came back under its old name never gets the status of the one before it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import loops, pods, workers
from mooring.installing import podconditions
from mooring.kube import errors, resources
from mooring.kube.pauses import Pace
from mooring.networks import statuses

if TYPE_CHECKING:
    import datetime
    from collections.abc import Awaitable, Callable

    from mooring.agent.sandboxes import Sandbox, Sandboxes
    from mooring.kube.client import Client
    from mooring.kube.informers import Informer

_LOG = logging.getLogger(__name__)

FIELD_MANAGER = "mooring-agent"
_AT_ONCE = 8
# Workers that only ever write the status of a sandbox for the first time.
_RESERVED = 4
# Somebody who takes all statuses of a node away is answered at once; who goes on doing it makes no flood.
_PER_SECOND, _BURST = 50.0, 50
# Somebody who writes back what we correct makes us slower, not busier.
_CONTEST_SECONDS = 60.0
_PROMPT_WRITES = 4
_CONTEST_PAUSE = loops.Pause(first=30.0, longest=_CONTEST_SECONDS)


@dataclasses.dataclass(slots=True)
class _Trouble:
    """What stands in the way of one pod's status."""

    failures: int = 0
    complaint: str = ""
    text: str = ""
    """What was written last, and when: the same again is a correction."""
    writes: list[float] = dataclasses.field(default_factory=list)

    def contest(self, now: float) -> int:
        """Return how many corrections of the last minute were more than a few."""
        self.writes = [moment for moment in self.writes if now - moment < _CONTEST_SECONDS]
        return max(len(self.writes) - _PROMPT_WRITES, 0)

    def wrote(self, text: str, now: float) -> None:
        if text != self.text:
            self.text, self.writes = text, []
        self.writes = [*self.writes, now][-8:]
        self.failures, self.complaint = 0, ""


class Status(loops.Reconciler):
    """Patches each pod that needs it."""

    name = "status"
    reason = "StatusNotWritten"
    pause = loops.Pause(first=0.25, longest=10.0)  # after an outage pods wait for no more than that

    def __init__(
        self,
        client: Client,
        *,
        boot: str,
        sandboxes: Sandboxes,
        report_on_pod: Callable[[dict[str, Any], str, str], Awaitable[None]],
        on_attached: Callable[[dict[str, Any], Sandbox], None],
        now: Callable[[], datetime.datetime],
        on_health: Callable[[], None],
    ) -> None:
        """`report_on_pod(pod, reason, note)` writes an event about a pod.

        `on_attached(pod, sandbox)` is told once of each sandbox that comes to carry its pod while we look on.
        """
        super().__init__(on_health=on_health)
        self._client = client
        self._boot = boot
        self._sandboxes = sandboxes
        self._report_on_pod = report_on_pod
        self._on_attached = on_attached
        self._now = now
        self._pods: Informer | None = None
        self._workers = workers.Workers(
            self._work,
            most=_AT_ONCE,
            reserved=_RESERVED,
            pace=Pace(per_second=_PER_SECOND, burst=_BURST),
            on_idle=self.wake,
        )
        self._trouble: dict[str, _Trouble] = {}
        self._written: dict[str, dict[str, Any]] = {}
        """Pods as the API server answered our patch, until the informer says something newer."""
        self._all_at = float("-inf")
        self._known: set[str] = set()
        """The sandboxes that were told of, by us or before us."""
        self._before: set[str] = set()
        """The sandboxes that were there when we came."""
        self.writes = 0
        """How many patches were accepted."""

    def follow(self, pods: Informer) -> None:
        """Take the informer of this node's pods, whose `on_change` is `pod_changed`."""
        self._pods = pods

    def pod_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        """Note that a pod may need its status."""
        self._written.pop(key, None)
        if new is None:
            self._workers.drop(key)
            if self._trouble.pop(key, None) is not None:
                self.wake()  # what it complained of went with it
        elif old != new:  # else a change of what is none of ours: nearly all of them
            self.sandbox_changed(key)

    def sandbox_changed(self, pod: str) -> None:
        """Note that the journal tells something else about a pod (`namespace/name`)."""
        found = self._pods.store.get(pod) if self._pods else None
        # What is left of pods that are gone may be very much; a pod that comes is looked at then.
        if found is None or not self._ready:
            return
        sandbox = self.newest(pod, found)
        self._workers.put(pod, urgent=sandbox is not None and sandbox.name not in self._known)

    @property
    def _ready(self) -> bool:
        """Whether pods and sandboxes were all looked at once."""
        return self._all_at > float("-inf")

    async def run(self) -> None:
        """Look and write until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._workers.run())

    async def reconcile(self) -> float | None:
        """Have every pod looked at now and then, and tell how it goes."""
        informer = self._pods
        if informer is None or not informer.synced.is_set() or not self._sandboxes.scanned.is_set():
            error = informer.last_error if informer else None
            self.report(problem=f"the pods of this node cannot be listed: {error}" if error else "")
            return 0.5
        now = asyncio.get_running_loop().time()
        if now - self._all_at >= self.period * 0.8:
            names = {sandbox.name for sandbox in self._sandboxes}
            self._known &= names
            self._before = self._before & names if self._ready else names
            self._all_at = now
            self._written.clear()
            for sandbox in self._sandboxes:
                self.sandbox_changed(sandbox.pod)
        complaint = next((each.complaint for each in self._trouble.values() if each.complaint), "")
        contested = sorted(pod for pod, trouble in self._trouble.items() if trouble.contest(now))
        self.report(
            settled=True if self._workers.idle else None,
            warning=complaint
            or (f"Another program keeps changing the network-status of {contested[0]}" if contested else ""),
        )
        # Until the fight is forgotten.
        return _CONTEST_SECONDS if contested else None

    async def _work(self, key: str) -> None:
        try:
            await self._reconcile_pod(key)
        except Exception as error:  # one pod must not end the work on the others
            _LOG.exception("%s: a fault in the agent", key)
            self._later(key, f"The network-status of {key} cannot be written: {type(error).__name__}: {error}")

    async def _reconcile_pod(self, key: str) -> None:
        """Bring one pod in line."""
        pod = self._written.get(key) or (self._pods.store.get(key) if self._pods else None)
        sandbox = None if pod is None else self.newest(key, pod)
        if pod is None or sandbox is None or not sandbox.status:
            self._calm(key)
            return
        same = statuses.same(pod["metadata"]["annotations"].get(statuses.ANNOTATION), sandbox.status)
        condition = self._condition(pod)
        if same and condition is None:
            # Written by the agent before us and told then, unless it came while we look on: the plugin wrote it.
            self._attached(pod, sandbox, tell=sandbox.name not in self._before)
            self._calm(key)
            return
        now = asyncio.get_running_loop().time()
        trouble = self._trouble.setdefault(key, _Trouble())
        if (over := trouble.contest(now)) and sandbox.status == trouble.text:
            wait = trouble.writes[-1] + _CONTEST_PAUSE.after(over) - now
            if wait > 0:
                self._workers.put(key, after=wait)
                self.wake()
                return
        patch = podconditions.patch(
            pod["metadata"]["uid"],
            annotations=None if same else {statuses.ANNOTATION: sandbox.status},
            set_to=condition,
        )
        if not await self._patch(key, pod, patch):
            return
        self.writes += 1
        trouble.wrote(sandbox.status, now)
        self.wake()
        self._attached(pod, sandbox, tell=True)
        if sandbox.left_out and not same:
            note = f"The network-status would be too long; it leaves out {', '.join(sandbox.left_out)}"
            await self._report_on_pod(pod, "NetworkStatusTooLong", note)

    def _condition(self, pod: dict[str, Any]) -> dict[str, str] | None:
        """Return what is to be done about the condition of a pod that has all its networks; None for nothing."""
        if not (pod["asks"] or pod["gated"]):
            return podconditions.removal() if pod["mark"] else None
        reason = podconditions.Reason.ATTACHED if pod["asks"] else podconditions.Reason.NONE_ASKED
        if pod["mark"] == ("True", reason):
            return None
        return podconditions.condition(reason, now=self._now())

    async def _patch(self, key: str, pod: dict[str, Any], patch: dict[str, Any]) -> bool:
        """Send a patch and return whether it was taken; what was not is tried again, or comes back by itself."""
        metadata = pod["metadata"]
        try:
            answer = await self._client.patch(
                resources.PODS,
                metadata["name"],
                patch,
                namespace=metadata["namespace"],
                subresource="status",
                field_manager=FIELD_MANAGER,
                strategic=True,
            )
        except errors.NotFound:
            self._calm(key)  # gone, and the informer is about to say so
        except errors.ApiError as error:
            # Where it is another pod by now the informer is about to say so, and then it is looked at again.
            expected = isinstance(error, errors.Conflict) or is_another_pod(error)
            told = "" if expected else f"The network-status of {key} cannot be written: {error}"
            self._later(key, told, asked=error.retry_after)
        else:
            if self._pods is not None and self._pods.store.get(key, {}).get("metadata") == metadata:
                self._written[key] = pods.keep(answer)
            _LOG.debug("wrote the network-status of %s", key)
            return True
        return False

    def _attached(self, pod: dict[str, Any], sandbox: Sandbox, *, tell: bool) -> None:
        if sandbox.name not in self._known:
            self._known.add(sandbox.name)
            if tell:
                self._on_attached(pod, sandbox)

    def _calm(self, key: str) -> None:
        trouble = self._trouble.get(key)
        if trouble is not None and trouble.failures:
            trouble.failures, trouble.complaint = 0, ""
            self.wake()

    def _later(self, key: str, complaint: str, *, asked: float | None = None) -> None:
        trouble = self._trouble.setdefault(key, _Trouble())
        trouble.failures += 1
        trouble.complaint = complaint
        self._workers.put(key, after=self.pause.after(trouble.failures, asked=asked))
        self.wake()

    def newest(self, key: str, pod: dict[str, Any]) -> Sandbox | None:
        """Return the sandbox that the pod lives in: of its UID, of this boot before others, the last one made."""
        own = pods.identities(pod)
        named = self._sandboxes.of(key)
        # A runtime that tells no UID (old cri-dockerd) leaves the name to go by.
        candidates = [one for one in named if one.uid in own] or [one for one in named if not one.uid]
        return max(candidates, key=lambda one: (one.boot == self._boot, one.time), default=None)

    def runs_in(self, name: str, key: str) -> bool:
        """Say whether, by the API server, a pod runs, and in the sandbox of that journal by what else is on record."""
        pod = self._pods.store.get(key) if self._pods is not None else None
        if pod is None or not pod["runs"]:
            return False
        newest = self.newest(key, pod)
        return newest is None or newest.name == name


def is_another_pod(error: errors.ApiError) -> bool:
    """Return whether a patch was refused because the pod has another UID than it names: that field cannot change."""
    causes = (error.details or {}).get("causes")
    return any(cause.get("field") == "metadata.uid" for cause in causes or () if isinstance(cause, dict))
