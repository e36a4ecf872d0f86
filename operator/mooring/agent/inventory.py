"""Owns the status of the NodeState: what this node is, for the operator and for people; refuses to write it in vain.

It is written when it changes, a little later so that a burst is one write, and otherwise every five minutes: thousands
of idle nodes write next to nothing. Whether the agent lives is told by its pod's readiness, not here.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import loops, survey, tallies
from mooring.agent.runtime import UNKNOWN, Verdict
from mooring.installing import conditions as metav1
from mooring.kube import errors, resources
from mooring.node import failures, multus, places

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable, Mapping

    from mooring.agent.conf import Applied
    from mooring.agent.missing import Lacking
    from mooring.agent.sandboxes import Sandboxes
    from mooring.kube.client import Client
    from mooring.node import cri

_LOG = logging.getLogger(__name__)

FIELD_MANAGER = "mooring-agent"
_MOST_PODS = 20
_MOST_ERRORS = 10
_MOST_RIVALS = 20
_MOST_NETWORKS = 20
_MOST_MESSAGE = 512
# A burst of pods is one write.
_DEBOUNCE_SECONDS = 2.0
# Failures grow old by themselves; those that do within a minute are one write.
_AGEING_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What the other reconcilers know about the node."""

    revision: str
    """The revision that is wanted; "" where there is none yet."""
    binary_revision: str
    conf: Applied | None
    distribution: str = ""
    """What the node looks like; "" where nothing shows it."""
    rivals: tuple[str, ...] = ()
    """The files that sort before the usual name of our conf."""
    multus: multus.Found = dataclasses.field(default_factory=multus.Found)
    """What a Multus has on the node."""
    loaded: Verdict = UNKNOWN
    """Whether the runtime has loaded us."""
    cni_version: str = ""
    """The highest version of CNI that the runtime parses."""
    surveyed: survey.Found = dataclasses.field(default_factory=survey.Found)
    """What the node has for networks."""
    problems: tuple[tuple[str, str], ...] = ()
    """Reason and message of each thing that keeps the node from being Ready."""
    warnings: tuple[tuple[str, str], ...] = ()
    lacking: tuple[Lacking, ...] = ()
    """The pods that run without the networks they ask for."""
    drained: Verdict | None = None
    """How far the node is drained; None where nobody asks for it."""

    @property
    def applied(self) -> str:
        """The revision that is on the node as a whole; "" while it is between two."""
        conf = self.conf.revision if self.conf else ""
        return conf if conf == self.binary_revision else ""

    def leaves(self, before: str) -> bool:
        """Say whether this agent put nothing on the node yet but what was there: the revision `before`, or nothing."""
        ours = {self.binary_revision, self.conf.revision if self.conf else ""}
        return self.drained is None and ours <= {"", before}


class Inventory(loops.Reconciler):
    """Writes the status of this node's NodeState."""

    name = "inventory"
    reason = "StateNotWritten"
    period = 300.0

    def __init__(
        self,
        client: Client,
        *,
        node: str,
        states: Mapping[str, dict[str, Any]],
        facts: Callable[[], Facts],
        sandboxes: Sandboxes,
        folders: Callable[[], places.Places | None],
        now: Callable[[], datetime.datetime],
        on_health: Callable[[], None],
    ) -> None:
        super().__init__(on_health=on_health)
        self._client = client
        self._node = node
        self._states = states
        self._facts = facts
        self._sandboxes = sandboxes
        self._folders = folders
        self._now = now
        self._written: dict[str, Any] | None = None
        self._written_at: float | None = None
        self.tally = tallies.Tally()
        """Failed calls since the agent started."""

    async def reconcile(self) -> float | None:
        """Write the status where it differs from the one that was written, or where that is old."""
        clock = asyncio.get_running_loop().time
        state = self._states.get(self._node)
        if state is None:
            return None  # the operator makes it; the informer wakes us
        if self._written_at is None:
            # An agent that just started knows nothing yet: what the one before it wrote is truer for a moment.
            self._written_at = clock()
        wait = self._written_at + _DEBOUNCE_SECONDS - clock()
        if wait > 0:
            return wait
        folders = self._folders()
        listed = await asyncio.to_thread(failures.read, folders.failures) if folders else []
        self.tally.note(listed)
        before = state.get("status") or {}
        facts = self._facts()
        now = self._now()
        status = describe(facts, self._sandboxes, listed, now=now)
        if facts.leaves(before.get("revision") or ""):
            # The agents after us, and our own reconcilers, learn from these what the node has.
            status |= {key: status[key] or before.get(key) for key in ("revision", "primaryNetwork")}
        ageing = _ageing(listed, now=now)
        status["observedGeneration"] = state["metadata"].get("generation")
        status["conditions"] = conditions(
            before.get("conditions") or [], facts, generation=status["observedGeneration"], now=now
        )
        # What a person (or another version) did to the status is put right as well.
        if status == self._written and _agrees(before, status) and clock() - self._written_at < self.period * 0.8:
            return ageing
        try:
            await self._client.patch(
                resources.NODE_STATES,
                self._node,
                # Beside the status, because it alone is never a reason to write.
                {"status": status | {"heartbeatTime": metav1.rfc3339(now)}},
                subresource="status",
                field_manager=FIELD_MANAGER,
            )
        except errors.NotFound:
            return None  # the node is leaving
        self._written, self._written_at = status, clock()
        self.report(settled=True)
        return ageing


def describe(
    facts: Facts, sandboxes: Sandboxes, listed: Iterable[failures.Failure], *, now: datetime.datetime
) -> dict[str, Any]:
    """Return the status without conditions; keys that are None are removed by the merge patch."""
    conf = facts.conf
    failed = list(listed)
    recent = failures.recent(failed, now=now)
    return {
        "revision": facts.applied or None,
        "primaryNetwork": {"name": conf.primary.name, "file": conf.primary.file} if conf else None,
        "confHash": conf.digest if conf else None,
        "confFile": conf.file if conf else None,
        "distribution": facts.distribution or None,
        "rivals": list(facts.rivals[:_MOST_RIVALS]),
        "multus": _multus(facts.multus),
        "runtime": _runtime(facts.loaded.said, facts.cni_version),
        **_surveyed(facts.surveyed),
        "networks": attached(sandboxes),
        "failedAdds": sum(failure.verb == "ADD" for failure in recent),
        "failures": [dataclasses.asdict(each) for each in failures.by_network(recent)[:_MOST_NETWORKS]],
        "podsWithoutNetworks": _lacking(facts.lacking),
        "lastErrors": [_reported(failure) for failure in failed[-_MOST_ERRORS:]],
    }


def _multus(found: multus.Found) -> dict[str, Any] | None:
    return {"confs": list(found.confs), "sandboxes": found.sandboxes} if found != multus.Found() else None


def _ageing(listed: Iterable[failures.Failure], *, now: datetime.datetime) -> float | None:
    """Return after how many seconds fewer failures are recent ones; None where none is."""
    recent = failures.recent(listed, now=now)
    if not recent:
        return None
    oldest = min(failure.moment for failure in recent)
    return max((oldest + failures.RECENT - now).total_seconds(), _AGEING_SECONDS)


def attached(sandboxes: Sandboxes) -> list[dict[str, Any]]:
    """Return for each NAD how often it is attached."""
    counts = collections.Counter(network for sandbox in sandboxes for network in sandbox.networks)
    listed = []
    for network, count in sorted(counts.items()):
        namespace, _, name = network.partition("/")
        listed.append({"namespace": namespace, "name": name, "attachments": count})
    return listed


def _surveyed(found: survey.Found) -> dict[str, Any]:
    return {
        "binaries": [
            {
                "name": each.program.name,
                "sha256": each.program.sha256,
                "version": each.program.version,
                "owner": each.owner,
            }
            for each in found.binaries
        ],
        "linkTypes": None if found.link_types is None else list(found.link_types),
        "absentInterfaces": [{"name": each.interface, "networks": list(each.networks)} for each in found.absent],
    }


def conditions(
    before: list[dict[str, Any]], facts: Facts, *, generation: int | None, now: datetime.datetime
) -> list[dict[str, Any]]:
    """Return the conditions; a transition time moves only when the status does.

    `Ready`: pods get their networks. `Degraded`: a person should know something. `RuntimeLoaded`: whether the container
    runtime says that it runs us; Unknown where it does not tell.
    `Drained`, where that is asked for: whether we have left the node.
    """
    problems = list(facts.problems)
    if not problems and facts.applied != facts.revision:
        problems.append(("Applying", f"The revision {facts.revision} is being applied"))
    ready: tuple[metav1.Status, str, str] = (
        "True",
        "AsWanted",
        "Binary, conf, cache and statuses are as they should be",
    )
    if problems:
        ready = ("False", problems[0][0], " ".join(_sentence(message) for _, message in problems))
    degraded: tuple[metav1.Status, str, str] = ("False", "AsExpected", "Nothing is wrong")
    troubles = [*problems, *facts.warnings]
    if troubles:
        degraded = ("True", troubles[0][0], " ".join(_sentence(message) for _, message in troubles))
    told = [("Ready", ready), ("Degraded", degraded), ("RuntimeLoaded", _verdict(facts.loaded))]
    if facts.drained is not None:
        told.append(("Drained", _verdict(facts.drained)))
    return [
        metav1.updated(
            before, type=kind, status=status, reason=reason, message=message, generation=generation, now=now
        ).to_wire()
        for kind, (status, reason, message) in told
    ]


def _lacking(pods: tuple[Lacking, ...]) -> dict[str, Any] | None:
    if not pods:
        return None
    listed = [
        {"namespace": each.namespace, "name": each.name, "uid": each.uid, "cause": str(each.cause)}
        for each in pods[:_MOST_PODS]
    ]
    return {"count": len(pods), "pods": listed}


def _verdict(verdict: Verdict) -> tuple[metav1.Status, str, str]:
    return verdict.status, verdict.reason, _sentence(verdict.message)


def _runtime(said: cri.Status | None, cni_version: str) -> dict[str, Any] | None:
    if said is None:
        return None
    networks = None if said.networks is None else [network.name for network in said.networks]
    return {
        "name": said.runtime,
        "version": said.version,
        "networks": networks,
        "cniVersion": cni_version or None,
    }


def _agrees(found: dict[str, Any], status: dict[str, Any]) -> bool:
    """Say whether a merge patch of `status` would change nothing; None in it stands for absent."""
    return all(
        _agrees(found.get(key) or {}, value) if isinstance(value, dict) else found.get(key) == value
        for key, value in status.items()
    )


def _reported(failure: failures.Failure) -> dict[str, str]:
    where = ", ".join(f"{what} {name}" for what, name in (("pod", failure.pod), ("network", failure.network)) if name)
    message = (
        failure.message if where and where in failure.message else ": ".join(filter(None, (where, failure.message)))
    )
    return {"time": failure.time, "reason": f"{failure.verb.title()}Failed", "message": message[:_MOST_MESSAGE]}


def _sentence(message: str) -> str:
    text = message[:1].upper() + message[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
