"""What the operator knows in numbers, at the moment when somebody asks; refuses to keep a number of its own.

All of it is in memory and taken in the event loop. What is the leader's word is absent where this replica does not
lead: added up over replicas, it would count twice.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import importlib.metadata
from typing import TYPE_CHECKING

from mooring.admission import certificates
from mooring.controller import keys
from mooring.metrics import families
from mooring.metrics import operator as metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mooring.admission.server import Server
    from mooring.admission.tallies import Tally
    from mooring.controller.meters import Meter
    from mooring.controller.queues import Queue
    from mooring.installing import rollouts
    from mooring.installing.installations import InstallationStatus
    from mooring.kube.informers import Informer
    from mooring.kube.leases import Election

_ONE: families.Labels = ()
_MOST_NODES = 1000
# As long an answer is good enough for whoever asks next.
_SAME_SECONDS = 1.0

#: By this name a piece of work is known to Prometheus; others by their own.
RECONCILERS: Mapping[str, str] = {
    keys.INSTALLATION: "installation",
    keys.WEBHOOK: "webhook",
    keys.EVICTIONS: "evictions",
    keys.REPORTS: "reports",
    keys.DEFINITION: "definition",
    keys.UNINSTALL: "uninstall",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Reported:
    """What the leader said last: the Installation's status, and the phase of each node by its name."""

    status: InstallationStatus
    phases: Mapping[str, rollouts.Phase]


@dataclasses.dataclass(frozen=True, slots=True)
class Sources:
    """The parts of an operator that know numbers."""

    queue: Queue
    meter: Meter
    election: Election
    server: Server
    tally: Tally
    informers: Sequence[Informer]
    ready: Callable[[], bool]
    reported: Callable[[], Reported | None]


class Page:
    """The page `/metrics`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._said: tuple[float, bytes] | None = None

    def text(self) -> bytes:
        """Return what Prometheus reads. Call it in the event loop."""
        now = asyncio.get_running_loop().time()
        if self._said is None or now - self._said[0] >= _SAME_SECONDS:
            self._said = now, families.text(numbers(self._sources))
        return self._said[1]


def numbers(sources: Sources) -> families.Numbers:
    """Return everything that is known now."""
    server, meter, election = sources.server, sources.meter, sources.election
    bundle = server.bundle
    ends = certificates.ends(bundle) if bundle is not None else None
    values: dict[families.Family, Mapping[families.Labels, float]] = {
        metrics.BUILD: {(importlib.metadata.version("mooring"),): 1},
        metrics.READY: {_ONE: float(sources.ready())},
        metrics.LEADER: {_ONE: float(election.holds)},
        metrics.TRANSITIONS: {_ONE: election.changes},
        metrics.FAILURES: {(_name(key), kind): count for (key, kind), count in meter.failures.items()},
        metrics.RUNNING: {(_name(key),): seconds for key, seconds in meter.running().items()},
        metrics.QUEUE_DEPTH: {_ONE: sources.queue.depth},
        **_watches(sources.informers),
        **_reported(sources.reported() if election.holds else None),
        metrics.REVIEWS: {(path, verdict): count for (path, verdict), count in server.outcomes.items()},
        metrics.REVIEW_FINDINGS: dict(sources.tally.counts().items()),
        metrics.CERTIFICATE: {} if ends is None else {_ONE: ends.timestamp()},
    }
    return families.Numbers(
        values=values,
        histograms={
            metrics.PASSES: {(_name(key),): families.snapshot(each) for key, each in meter.durations.items()},
            metrics.QUEUE_WAIT: {_ONE: families.snapshot(sources.queue.waits)},
            metrics.REVIEW_SECONDS: {(path,): families.snapshot(each) for path, each in server.durations.items()},
        },
    )


def _name(key: str) -> str:
    return RECONCILERS.get(key, key)


def _watches(informers: Sequence[Informer]) -> dict[families.Family, Mapping[families.Labels, float]]:
    """Return age and number of what is followed; of a kind that several follow, the oldest and all of them."""
    now = asyncio.get_running_loop().time()
    ages: dict[families.Labels, float] = {}
    counts: collections.Counter[families.Labels] = collections.Counter()
    for informer in informers:
        kind = (informer.plural,)
        counts[kind] += len(informer.store)
        if informer.last_contact is not None:
            ages[kind] = max(now - informer.last_contact, ages.get(kind, 0.0))
    return {metrics.WATCH_AGE: ages, metrics.WATCHED: counts}


def _reported(reported: Reported | None) -> dict[families.Family, Mapping[families.Labels, float]]:
    if reported is None:
        return {}
    status, phases = reported.status, reported.phases
    known: dict[families.Labels, float] = {
        (each.type, each.reason): float(each.status == "True") for each in status.conditions
    }
    others = sorted((name, phase) for name, phase in phases.items() if phase != "current")
    found: dict[families.Family, Mapping[families.Labels, float]] = {
        metrics.CONDITION: known,
        metrics.PHASES: {(phase,): count for phase, count in collections.Counter(phases.values()).items()},
        metrics.NODE_PHASE: dict.fromkeys(others[:_MOST_NODES], 1),
    }
    if (counts := status.nodes) is not None:
        found[metrics.NODES_DESIRED] = {_ONE: counts.desired}
        found[metrics.NODES_UPDATED] = {_ONE: counts.updated}
        found[metrics.NODES_READY] = {_ONE: counts.ready}
    if (rollout := status.rollout) is not None:
        found[metrics.ROLLOUT] = {(rollout.revision, rollout.stage or ""): 1}
        if rollout.since:
            found[metrics.ROLLOUT_SINCE] = {_ONE: datetime.datetime.fromisoformat(rollout.since).timestamp()}
        if rollout.halted is not None:
            found[metrics.HALTED] = {(rollout.halted.node, rollout.halted.reason): 1}
    return found
