"""Owns what the agent's parts know in numbers, at the moment when somebody asks; refuses to keep a number of its own.

What is in memory is taken in the event loop, what the kernel counts is read in a thread. Two questions at the same
moment are one.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import importlib.metadata
import json
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import health, tallies
from mooring.metrics import agent as metrics
from mooring.metrics import families
from mooring.node import traffic

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping, Sequence

    from mooring.agent.cache import Cache
    from mooring.agent.conf import Conf
    from mooring.agent.garbage import Garbage
    from mooring.agent.inventory import Inventory
    from mooring.agent.loops import Reconciler
    from mooring.agent.missing import Missing
    from mooring.agent.runtime import Runtime
    from mooring.agent.sandboxes import Sandbox, Sandboxes
    from mooring.kube.informers import Informer
    from mooring.metrics.histograms import Histogram
    from mooring.node.namespaces import Namespaces

_LOG = logging.getLogger(__name__)
# As long an answer is good enough for whoever asks next.
_SAME_SECONDS = 1.0
_MOST_INTERFACES = 1000
_MOST_NETWORKS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Sources:
    """The parts of an agent that know numbers."""

    reconcilers: Sequence[Reconciler]
    ready: Callable[[], bool]
    runtime: Runtime
    conf: Conf
    sandboxes: Sandboxes
    inventory: Inventory
    missing: Missing
    status_delay: Histogram
    cache: Cache
    networks: Informer
    garbage: Garbage
    boottime: Callable[[], float]
    """The clock of the informer's last contact."""
    enter: Callable[[], contextlib.AbstractContextManager[Namespaces]]
    """Holds the runtime's namespaces; raises `OSError`. It blocks."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attached:
    """A sandbox with further networks: where its counters are, and its interfaces by name."""

    netns: str
    pod: tuple[str, str]
    """Namespace and name."""
    networks: Mapping[str, str]
    """The network of each interface."""


class Page:
    """The page `/metrics`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._asking = asyncio.Lock()
        self._said: tuple[float, health.Answer] | None = None

    async def answer(self) -> health.Answer:
        """Return what Prometheus reads."""
        clock = asyncio.get_running_loop().time
        async with self._asking:
            if self._said is None or clock() - self._said[0] >= _SAME_SECONDS:
                known, attached = known_numbers(self._sources), attachments(self._sources.sandboxes)
                text = await asyncio.to_thread(_text, known, attached, self._sources)
                self._said = clock(), health.Answer(200, text, families.CONTENT_TYPE)
            return self._said[1]


def _text(known: families.Numbers, attached: Sequence[Attached], sources: Sources) -> bytes:
    values = {**known.values, **traffic_numbers(attached, _counters(attached, sources))}
    return families.text(families.Numbers(values, known.histograms))


def known_numbers(sources: Sources) -> families.Numbers:
    """Return what is in memory. Call it in the event loop."""
    one: tuple[str, ...] = ()
    counts = sources.garbage.counts
    loaded = {"True": 1.0, "False": 0.0}.get(sources.runtime.verdict.status)
    contact = sources.networks.last_contact
    values: dict[families.Family, Mapping[tuple[str, ...], float]] = {
        metrics.BUILD: {(importlib.metadata.version("mooring"),): 1},
        metrics.READY: {one: float(sources.ready())},
        metrics.RUNTIME_LOADED: {} if loaded is None else {one: loaded},
        metrics.RIVALS: {one: len(sources.conf.rivals)},
        metrics.ATTACHMENTS: _by_network(sources.sandboxes),
        metrics.FAILURES: dict(sources.inventory.tally.counts.items()),
        metrics.LACKING: {(cause,): count for cause, count in sources.missing.by_cause.items()},
        metrics.CACHE_AGE: {} if contact is None else {one: max(sources.boottime() - contact, 0.0)},
        metrics.CACHED: {one: len(sources.networks.store)},
        metrics.CACHE_REPAIRS: {one: sources.cache.repaired},
        metrics.GARBAGE_SANDBOXES: {one: counts.sandboxes},
        metrics.GARBAGE_LEASES: {one: counts.leases},
        metrics.GARBAGE_FAILURES: {one: counts.failures},
        metrics.GARBAGE_WAITING: {one: counts.waiting},
        metrics.PASS_FAILURES: {(each.name,): each.failures for each in sources.reconcilers},
        metrics.OVERDUE: {(each.name,): each.overdue for each in sources.reconcilers},
    }
    return families.Numbers(
        values=values,
        histograms={
            metrics.STATUS_DELAY: {one: families.snapshot(sources.status_delay)},
            metrics.PASSES: {(each.name,): families.snapshot(each.durations) for each in sources.reconcilers},
        },
    )


def _by_network(sandboxes: Sandboxes) -> dict[tuple[str, ...], float]:
    counts = collections.Counter(network for sandbox in sandboxes for network in sandbox.networks)
    first = counts.most_common(_MOST_NETWORKS)
    found: dict[tuple[str, ...], float] = {(network,): count for network, count in first}
    if rest := counts.total() - sum(count for _, count in first):
        found[(tallies.OTHERS,)] = rest
    return found


def attachments(sandboxes: Sandboxes) -> list[Attached]:
    """Return the sandboxes with further networks, the newest one of each pod, and of too many the newest."""
    newest: dict[str, Sandbox] = {}
    for sandbox in sandboxes:
        if sandbox.held and (sandbox.pod not in newest or newest[sandbox.pod].time < sandbox.time):
            newest[sandbox.pod] = sandbox
    found, interfaces = [], 0
    for sandbox in sorted(newest.values(), key=lambda each: each.time, reverse=True):
        interfaces += len(sandbox.held)
        if interfaces > _MOST_INTERFACES:
            break
        namespace, _, name = sandbox.pod.partition("/")
        entries: list[dict[str, Any]] = [json.loads(entry) for entry in sandbox.held]
        networks = {str(entry["interface"]): str(entry["network"]) for entry in entries}
        found.append(Attached(sandbox.netns, (namespace, name), networks))
    return found


def _counters(attached: Sequence[Attached], sources: Sources) -> list[dict[str, traffic.Counters] | None]:
    if not attached:
        return []
    try:
        with sources.enter() as inside:
            return traffic.read([inside.seen(each.netns) for each in attached])
    except OSError as error:
        _LOG.debug("the networks of pods cannot be entered: %s", error)
        return [None] * len(attached)


def traffic_numbers(
    attached: Sequence[Attached], counters: Sequence[dict[str, traffic.Counters] | None]
) -> dict[families.Family, Mapping[tuple[str, ...], float]]:
    """Return the metrics of interfaces; `counters` are those of each of `attached`."""
    info: dict[tuple[str, ...], float] = {}
    moved: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in metrics.TRAFFIC}
    for each, counted in zip(attached, counters, strict=True):
        namespace, pod = each.pod
        for interface, network in each.networks.items():
            info[pod, namespace, interface, network] = 0
            if counted is None or interface not in counted:
                continue
            for name, value in dataclasses.asdict(counted[interface]).items():
                moved[name][namespace, pod, interface, network] = value
    found: dict[families.Family, Mapping[tuple[str, ...], float]] = {
        metrics.UNREAD: {(): sum(counted is None for counted in counters)},
        metrics.NAME_INFO: info,
    }
    return found | {metrics.TRAFFIC[name]: values for name, values in moved.items()}
