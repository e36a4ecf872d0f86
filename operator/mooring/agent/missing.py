"""Owns the finding of pods that run without the networks they asked for; refuses to end or repair them.

A pod that was started before the plugin was there (a node that joined, a migration) runs on the default network alone
and Kubernetes calls it healthy. It gets the condition `NetworksAttached=False` and an event that says what to do: to
make it anew, but only where that would help. On a node that is not ready the cause of that is named instead.
Pods with a network-status were attached by somebody, perhaps Multus: they are left alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mooring.agent import loops, status
from mooring.installing import conditions as metav1
from mooring.kube import errors, resources
from mooring.networks import statuses

if TYPE_CHECKING:
    import datetime
    from collections.abc import Awaitable, Callable, Mapping

    from mooring.kube.client import Client
    from mooring.kube.informers import Informer

# The journal is there before the pod runs; this much later it is not just on its way to us.
_PATIENCE_SECONDS = 10.0
_MESSAGE = (
    "The pod asks for networks but was started without them, before the runtime of its node ran Mooring; "
    "delete it so that it is made anew"
)
_IN_VAIN = (
    "The pod asks for networks and runs without them. Made anew now it would not get them either, because its node is "
    "not ready: {}"
)


class Missing(loops.Reconciler):
    """Marks pods that lack their networks, and takes the mark from those that have them."""

    name = "missing"
    reason = "PodsWithoutNetworks"

    def __init__(
        self,
        client: Client,
        *,
        sandboxes_known: Callable[[], bool],
        has_sandbox: Callable[[str, dict[str, Any]], bool],
        report_on_pod: Callable[[dict[str, Any], str, str], Awaitable[None]],
        why_in_vain: Callable[[], tuple[str, str] | None],
        now: Callable[[], datetime.datetime],
        on_health: Callable[[], None],
    ) -> None:
        """`has_sandbox(key, pod)` says whether a journal knows the pod.

        `why_in_vain` returns reason and message of what keeps a pod that is made anew from its networks; None for
        nothing.
        """
        super().__init__(on_health=on_health)
        self._client = client
        self._known = sandboxes_known
        self._has_sandbox = has_sandbox
        self._report_on_pod = report_on_pod
        self._why_in_vain = why_in_vain
        self._now = now
        self._pods: Informer | None = None
        self._since: dict[str, float] = {}
        self._reason = ""
        self._reason_since = 0.0
        self.by_cause: Mapping[str, int] = {}
        """How many pods run without their networks, by the reason of their condition."""

    def follow(self, pods: Informer) -> None:
        """Take the informer of this node's pods."""
        self._pods = pods

    def pod_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        """Look again where a pod that asks for networks, or is marked, changed."""
        if old != new and any(pod is not None and (pod["asks"] or pod["marked"]) for pod in (old, new)):
            self.wake()

    async def reconcile(self) -> float | None:
        """Mark and unmark; tell which pods are concerned."""
        pods = self._pods
        if pods is None or not pods.synced.is_set() or not self._known():
            return 1.0
        clock = asyncio.get_running_loop().time()
        lacking = {key: pod for key, pod in pods.store.items() if self._lacks(key, pod)}
        self._since = {key: self._since.get(key, clock) for key in lacking}
        certain = {key: pod for key, pod in lacking.items() if clock - self._since[key] >= _PATIENCE_SECONDS}
        vain = self._why_in_vain()
        reason = "NodeNotReady" if vain else "StartedBeforeMooring"
        message = _IN_VAIN.format(vain[1]) if vain else _MESSAGE
        if reason != self._reason:
            self._reason, self._reason_since = reason, clock
        # A node that is not ready for a moment is no reason to tell every pod something else.
        steady = clock - self._reason_since >= _PATIENCE_SECONDS
        for key, pod in list(pods.store.items()):
            # A mark with another reason gives advice that is not right any more.
            if key in certain and (not pod["marked"] or (steady and pod["mark"] not in ("", reason))):
                await self._mark(pod, reason, message)
            elif key not in lacking and pod["marked"]:
                await self._apply(pod, [])
        self.by_cause = {reason: len(certain)} if certain else {}
        names = sorted(certain)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        self.report(
            settled=True,
            warning=f"Pods run without the networks they ask for: {', '.join(names[:3])}{more}" if names else "",
        )
        return _PATIENCE_SECONDS if len(certain) < len(lacking) or (certain and not steady) else None

    def _lacks(self, key: str, pod: dict[str, Any]) -> bool:
        return (
            pod["asks"]
            and statuses.ANNOTATION not in pod["metadata"]["annotations"]
            and not self._has_sandbox(key, pod)
        )

    async def _mark(self, pod: dict[str, Any], reason: str, message: str) -> None:
        condition = {
            "type": status.CONDITION,
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": metav1.rfc3339(self._now()),
        }
        await self._apply(pod, [condition])
        await self._report_on_pod(pod, "NetworksMissing", message)

    async def _apply(self, pod: dict[str, Any], conditions: list[dict[str, str]]) -> None:
        """Make ours of the pod's conditions these; a condition that is not applied any more goes."""
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"conditions": conditions}}
        try:
            await self._client.apply(
                resources.PODS, body, field_manager=f"{status.FIELD_MANAGER}-conditions", subresource="status"
            )
        except (errors.NotFound, errors.Conflict):
            return  # gone, or another pod of its name: the informer is about to say so
