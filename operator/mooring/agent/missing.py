"""Owns the finding of pods that run without the networks they asked for; refuses to end or repair them.

A pod that was started while the runtime did not run the plugin (a node that joined, a rival's conf) runs on the
default network alone and Kubernetes calls it healthy. It gets the condition `mooring.dev/NetworksAttached=False` with
the cause, as far as that is on record, and an event that says what to do: to make it anew, but only where that would
help. Pods with a network-status were attached by somebody, perhaps Multus: they are left alone.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import causes, loops, pods, status
from mooring.installing import podconditions
from mooring.installing.podconditions import Reason
from mooring.kube import errors, resources
from mooring.networks import statuses
from mooring.node import cri

if TYPE_CHECKING:
    import datetime
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mooring.kube.client import Client
    from mooring.kube.informers import Informer

_LOG = logging.getLogger(__name__)

# The journal is there before the pod runs; this much later it is not just on its way to us.
_PATIENCE_SECONDS = 10.0
# A runtime is asked when its pods were made no more often than this.
_ASK_SECONDS = 60.0
_NO_STATUS = (
    "The node has no journal of this pod, so its network-status cannot be written: the disk was full or damaged when "
    "it started. It has the default network; delete it to have it made anew with its network-status"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Lacking:
    """A pod that runs without its networks."""

    namespace: str
    name: str
    uid: str
    cause: Reason


class Missing(loops.Reconciler):
    """Marks pods that lack their networks, and those without a journal that lack none."""

    name = "missing"
    reason = "PodsWithoutNetworks"

    def __init__(
        self,
        client: Client,
        *,
        sandboxes_known: Callable[[], bool],
        has_sandbox: Callable[[str, dict[str, Any]], bool],
        history: Callable[[], causes.History | None],
        listed: Callable[[], Awaitable[Sequence[cri.Sandbox]]],
        report_on_pod: Callable[[dict[str, Any], str, str], Awaitable[None]],
        why_in_vain: Callable[[], tuple[str, str] | None],
        now: Callable[[], datetime.datetime],
        on_health: Callable[[], None],
    ) -> None:
        """`has_sandbox(key, pod)` says whether a journal knows the pod, `listed` asks the runtime for its sandboxes.

        `history` returns the record of the node. `why_in_vain` returns reason and message of what keeps a pod that is
        made anew from its networks; None for nothing.
        """
        super().__init__(on_health=on_health)
        self._client = client
        self._known = sandboxes_known
        self._has_sandbox = has_sandbox
        self._history = history
        self._listed = listed
        self._report_on_pod = report_on_pod
        self._why_in_vain = why_in_vain
        self._now = now
        self._pods: Informer | None = None
        self._since: dict[str, float] = {}
        self._created: dict[str, str] = {}
        """When a pod's sandbox was made, by the runtime and by UID; "" where it did not say."""
        self._asked_at = float("-inf")
        self._vain = ""
        self._vain_since = float("-inf")
        self._silent: set[str] = set()
        self.lacking: tuple[Lacking, ...] = ()
        """The pods that run without their networks, by namespace and name."""
        self.by_cause: Mapping[str, int] = {}
        """How many these are, by the reason of their condition."""

    def follow(self, informer: Informer) -> None:
        """Take the informer of this node's pods."""
        self._pods = informer

    def pod_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        """Look again where a pod that asks for networks, or has or waits for the condition, changed."""
        if old != new and any(each is not None and _concerns(each) for each in (old, new)):
            self.wake()

    async def reconcile(self) -> float | None:
        """Mark and unmark; tell which pods are concerned."""
        if self._pods is None or not self._pods.synced.is_set() or not self._known():
            return 1.0
        clock = asyncio.get_running_loop().time()
        found = dict(self._pods.store)
        alone = {key: pod for key, pod in found.items() if self._has_no_record(key, pod)}
        self._since = {key: self._since.get(key, clock) for key in alone}
        certain = {key: pod for key, pod in alone.items() if clock - self._since[key] >= _PATIENCE_SECONDS}
        await self._ask(certain.values(), clock)
        judged = {key: self._judge(pod) for key, pod in certain.items()}
        steady = self._look_at_the_node(clock)
        failure: errors.ApiError | None = None
        for key, pod in found.items():
            try:
                await self._settle(key, pod, judged.get(key), uncertain=key in alone, steady=steady)
            except errors.ApiError as error:
                failure = failure or error
        lacking = {key: judged[key] for key in sorted(certain) if certain[key]["asks"]}
        self._tell(lacking, certain)
        if failure is not None:
            raise failure
        return _PATIENCE_SECONDS if len(certain) < len(alone) or (lacking and not steady) else None

    def _has_no_record(self, key: str, pod: dict[str, Any]) -> bool:
        return (
            pod["runs"]
            and not (pod["host"] or pod["ends"])
            and statuses.ANNOTATION not in pod["metadata"]["annotations"]
            and not self._has_sandbox(key, pod)
        )

    async def _ask(self, certain: Any, clock: float) -> None:
        """Ask the runtime when the sandboxes of these pods were made, where that is not known yet."""
        uids = {pod["metadata"]["uid"] for pod in certain}
        self._created = {uid: self._created[uid] for uid in uids & self._created.keys()}
        new = [pod for pod in certain if pod["metadata"]["uid"] not in self._created]
        if not new or clock - self._asked_at < _ASK_SECONDS:
            return
        self._asked_at = clock
        try:
            sandboxes = [each for each in await self._listed() if each.ready]
        except cri.UnansweredError as error:
            _LOG.debug("when pods were started is told by the API server alone: %s", error)
            return
        for pod in new:
            own = pods.identities(pod)
            moments = [each.created for each in sandboxes if each.uid in own]
            self._created[pod["metadata"]["uid"]] = max(moments, default="")

    def _judge(self, pod: dict[str, Any]) -> causes.Cause:
        window = causes.window(pod["started"], self._created.get(pod["metadata"]["uid"], ""))
        return causes.judge(window, self._history())

    def _look_at_the_node(self, clock: float) -> bool:
        """Note why a pod made anew would get nothing; a node that is not ready for a moment changes no advice."""
        vain = self._why_in_vain()
        text = vain[1] if vain else ""
        if text != self._vain:
            self._vain, self._vain_since = text, clock
        return clock - self._vain_since >= _PATIENCE_SECONDS

    async def _settle(
        self, key: str, pod: dict[str, Any], cause: causes.Cause | None, *, uncertain: bool, steady: bool
    ) -> None:
        """Give one pod the condition that it should have; those with a journal have theirs from `status`."""
        if pod["host"]:
            await self._set_good(pod, Reason.HOST_NETWORK)
        elif cause is not None and pod["asks"]:
            message = causes.advice(cause, self._vain)
            # A mark with another reason, or other advice, is not right any more.
            if pods.told(pod) is not False or (steady and pod["mark"][1:] != (cause.reason, message)):
                await self._mark(pod, cause.reason, message)
        elif cause is not None:
            await self._set_good(pod, Reason.NONE_ASKED)
            await self._report_silence(pod, cause)
        elif not uncertain and pods.told(pod) is False and not self._has_sandbox(key, pod):
            await self._patch(pod, podconditions.removal())

    async def _set_good(self, pod: dict[str, Any], reason: Reason) -> None:
        if pod["gated"] and pod["mark"] != ("True", reason):
            await self._patch(pod, podconditions.condition(reason, now=self._now()))
        elif not pod["gated"] and pods.told(pod) is False:
            await self._patch(pod, podconditions.removal())

    async def _mark(self, pod: dict[str, Any], reason: Reason, message: str) -> None:
        condition = podconditions.condition(reason, message, now=self._now())
        if pods.told(pod) is False:
            del condition["lastTransitionTime"]  # the status stays what it is
        await self._patch(pod, condition)
        await self._report_on_pod(pod, "NetworksMissing", message)

    async def _report_silence(self, pod: dict[str, Any], cause: causes.Cause) -> None:
        """Tell of a pod that has all it asked for and no status, where the runtime did run us."""
        uid = pod["metadata"]["uid"]
        if cause.ran and uid not in self._silent:
            self._silent.add(uid)
            await self._report_on_pod(pod, "NetworkStatusMissing", _NO_STATUS)

    async def _patch(self, pod: dict[str, Any], condition: dict[str, str]) -> None:
        metadata = pod["metadata"]
        try:
            await self._client.patch(
                resources.PODS,
                metadata["name"],
                podconditions.patch(metadata["uid"], set_to=condition),
                namespace=metadata["namespace"],
                subresource="status",
                field_manager=status.FIELD_MANAGER,
                strategic=True,
            )
        except (errors.NotFound, errors.Conflict):
            return  # gone, or another pod of its name: the informer is about to say so
        except errors.Invalid as error:
            if not status.is_another_pod(error):
                raise

    def _tell(self, lacking: dict[str, causes.Cause], certain: dict[str, dict[str, Any]]) -> None:
        self._silent &= {pod["metadata"]["uid"] for pod in certain.values()}
        before = self.lacking
        self.lacking = tuple(
            Lacking(
                namespace=certain[key]["metadata"]["namespace"],
                name=certain[key]["metadata"]["name"],
                uid=certain[key]["metadata"]["uid"],
                cause=cause.reason,
            )
            for key, cause in lacking.items()
        )
        self.by_cause = collections.Counter(str(each.cause) for each in self.lacking)
        names = list(lacking)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        self.report(
            settled=True,
            warning=f"Pods run without the networks they ask for: {', '.join(names[:3])}{more}" if names else "",
        )
        if self.lacking != before:
            self._on_health()  # the NodeState names them


def _concerns(pod: dict[str, Any]) -> bool:
    return bool(pod["asks"] or pod["mark"] or pod["gated"] or (pod["runs"] and not pod["host"] and pod["started"][0]))
