"""Owns that pods of this node carry the network-status their journals tell; refuses to touch anything else of a pod.

The journal says what was attached, the pod says what is written: where they differ the annotation is patched, whoever
changed it. The patch names the pod's UID, so a pod that came back under its old name never gets the status of the one
before it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import loops
from mooring.kube import errors, resources
from mooring.networks import statuses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mooring.agent.sandboxes import Sandbox, Sandboxes
    from mooring.kube.client import Client
    from mooring.kube.informers import Informer

_LOG = logging.getLogger(__name__)

FIELD_MANAGER = "mooring-agent"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
CONDITION = "NetworksAttached"
# How a static pod's mirror is told: the kubelet, and so the runtime, knows the pod by the hash of its file.
_HASH = "kubernetes.io/config.hash"
_MIRROR = "kubernetes.io/config.mirror"
_KEPT = (statuses.ANNOTATION, _HASH, _MIRROR)
_AT_ONCE = 8
# Somebody who writes back what we correct makes us slower, not busier.
_CONTEST_SECONDS = 60.0
_PROMPT_WRITES = 4


def keep(item: dict[str, Any]) -> dict[str, Any]:
    """Keep of a pod what its status needs, and whether it is one that asks for networks."""
    metadata = item["metadata"]
    annotations = metadata.get("annotations") or {}
    spec, found = item.get("spec") or {}, item.get("status") or {}
    marks = [each for each in found.get("conditions") or [] if each.get("type") == CONDITION]
    asks = bool(annotations.get(NETWORKS, "").strip()) and not spec.get("hostNetwork")
    return {
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "annotations": {key: annotations[key] for key in _KEPT if key in annotations},
        },
        "runs": found.get("phase") == "Running",
        # It runs, and asks for networks beside the default one.
        "asks": asks and found.get("phase") == "Running",
        "marked": bool(marks),
        "mark": str(marks[0].get("reason") or "") if marks else "",
    }


@dataclasses.dataclass(slots=True)
class _Trouble:
    """What stands in the way of one pod's status."""

    failures: int = 0
    until: float = 0.0
    writes: list[float] = dataclasses.field(default_factory=list)


class Status(loops.Reconciler):
    """Patches the annotation of each pod that needs it."""

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
        self._pods: Informer | None = None
        self._pending: set[str] = set()
        self._trouble: dict[str, _Trouble] = {}
        self._all_at = float("-inf")
        self._known: set[str] = set()
        """The sandboxes that were told of, by us or before us."""
        self._reconciled = False

    def follow(self, pods: Informer) -> None:
        """Take the informer of this node's pods, whose `on_change` is `pod_changed`."""
        self._pods = pods

    def pod_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        """Note that a pod may need its status."""
        if new is None:
            self._trouble.pop(key, None)
        elif old == new:
            return  # a change of what is none of ours: nearly all of them
        self.sandbox_changed(key)

    def sandbox_changed(self, pod: str) -> None:
        """Note that the journal tells something else about a pod (`namespace/name`)."""
        self._pending.add(pod)
        self.wake()

    async def reconcile(self) -> float | None:
        """Write the status of every pod that waits for it."""
        pods = self._pods
        if pods is None or not pods.synced.is_set() or not self._sandboxes.scanned.is_set():
            problem = f"the pods of this node cannot be listed: {pods.last_error}" if pods and pods.last_error else ""
            self.report(problem=problem)
            return 0.5
        now = asyncio.get_running_loop().time()
        if now - self._all_at >= self.period * 0.8:
            self._pending |= {sandbox.pod for sandbox in self._sandboxes}
            self._known &= {sandbox.name for sandbox in self._sandboxes}
            self._all_at = now
        ready = [pod for pod in self._pending if self._until(pod) <= now]
        self._pending.difference_update(ready)
        # What is left of pods that are gone may be very much; a pod that comes is looked at then.
        ready = [pod for pod in ready if pod in pods.store]
        limit = asyncio.Semaphore(_AT_ONCE)
        done = await asyncio.gather(*(self._limited(limit, pod) for pod in ready))
        self._reconciled = True
        complaint = next(filter(None, done), "")
        contested = sorted(pod for pod, trouble in self._trouble.items() if len(trouble.writes) > _PROMPT_WRITES)
        self.report(
            settled=True if not self._pending else None,
            warning=complaint
            or (f"Another program keeps changing the network-status of {contested[0]}" if contested else ""),
        )
        if not self._pending:
            return None
        return max(min(self._until(pod) for pod in self._pending) - asyncio.get_running_loop().time(), 0.05)

    def _until(self, pod: str) -> float:
        trouble = self._trouble.get(pod)
        return trouble.until if trouble else 0.0

    async def _limited(self, limit: asyncio.Semaphore, key: str) -> str:
        async with limit:
            return await self._reconcile_pod(key)

    async def _reconcile_pod(self, key: str) -> str:
        """Bring one pod in line; return why not, in a sentence, or ""."""
        pod = self._pods.store.get(key) if self._pods else None
        sandbox = None if pod is None else self.newest(key, pod)
        if pod is None or sandbox is None or not sandbox.status:
            return ""
        if statuses.same(pod["metadata"]["annotations"].get(statuses.ANNOTATION), sandbox.status):
            # Written by the agent before us and told then, unless it came while we look on: the plugin wrote it.
            self._attached(pod, sandbox, tell=self._reconciled)
            return ""
        now = asyncio.get_running_loop().time()
        trouble = self._trouble.setdefault(key, _Trouble())
        trouble.writes = [moment for moment in trouble.writes if now - moment < _CONTEST_SECONDS]
        if len(trouble.writes) > _PROMPT_WRITES and now - trouble.writes[-1] < 2.0 ** len(trouble.writes):
            return self._later(key, trouble, "", seconds=trouble.writes[-1] + 2.0 ** len(trouble.writes) - now)
        try:
            await self._patch(pod, sandbox.status)
        except errors.NotFound:
            return ""  # gone, and the informer is about to say so
        except errors.Conflict:
            return self._later(key, trouble, "")
        except errors.ApiError as error:
            if _another_pod(error):
                # The informer is about to say so, and then it is looked at again.
                return self._later(key, trouble, "")
            return self._later(key, trouble, f"The network-status of {key} cannot be written: {error}")
        trouble.failures, trouble.until = 0, 0.0
        trouble.writes.append(now)
        del trouble.writes[:-8]
        self._attached(pod, sandbox, tell=True)
        if sandbox.left_out:
            note = f"The network-status would be too long; it leaves out {', '.join(sandbox.left_out)}"
            await self._report_on_pod(pod, "NetworkStatusTooLong", note)
        return ""

    def _attached(self, pod: dict[str, Any], sandbox: Sandbox, *, tell: bool) -> None:
        if sandbox.name not in self._known:
            self._known.add(sandbox.name)
            if tell:
                self._on_attached(pod, sandbox)

    def _later(self, key: str, trouble: _Trouble, complaint: str, *, seconds: float | None = None) -> str:
        trouble.failures += 1
        pause = self.pause.after(trouble.failures) if seconds is None else min(seconds, _CONTEST_SECONDS)
        trouble.until = asyncio.get_running_loop().time() + pause
        self._pending.add(key)
        return complaint

    async def _patch(self, pod: dict[str, Any], status: str) -> None:
        metadata = pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"], "annotations": {statuses.ANNOTATION: status}}}
        await self._client.patch(
            resources.PODS,
            metadata["name"],
            patch,
            namespace=metadata["namespace"],
            subresource="status",
            field_manager=FIELD_MANAGER,
        )
        _LOG.debug("wrote the network-status of %s/%s", metadata["namespace"], metadata["name"])

    def newest(self, key: str, pod: dict[str, Any]) -> Sandbox | None:
        """Return the sandbox that the pod lives in: of its UID, of this boot before others, the last one made."""
        own = identities(pod)
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


def identities(pod: dict[str, Any]) -> set[str]:
    """Return the UIDs by which the runtime may know a pod: for a mirror pod also the hash of the static pod's file."""
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    found = {metadata["uid"]}
    if _MIRROR in annotations and annotations.get(_HASH):
        found.add(annotations[_HASH])
    return found


def _another_pod(error: errors.ApiError) -> bool:
    """Return whether a patch was refused because the pod has another UID than it names: that field cannot change."""
    causes = (error.details or {}).get("causes")
    return any(cause.get("field") == "metadata.uid" for cause in causes or () if isinstance(cause, dict))
