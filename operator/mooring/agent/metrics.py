"""Owns the names of the agent's metrics, what they mean, and their text for Prometheus; refuses to measure anything.

`python -m mooring.agent.metrics` writes the reference page, so that it never differs from what is served.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prometheus_client import core, exposition, process_collector, registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mooring.agent.histograms import Histogram

CONTENT_TYPE = exposition.CONTENT_TYPE_PLAIN_0_0_4
DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
_POD = ("namespace", "pod", "interface", "network_name")


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric: its full name, kind, meaning and labels."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    text: str
    labels: tuple[str, ...] = ()


def _traffic(direction: str, unit: str, text: str) -> Family:
    return Family(f"mooring_agent_pod_network_{direction}_{unit}_total", "counter", text, _POD)


BUILD = Family("mooring_agent_build_info", "gauge", "1, with the version of the agent.", ("version",))
READY = Family("mooring_agent_ready", "gauge", "1 where the node is as it should be, else 0.")
RUNTIME_LOADED = Family(
    "mooring_agent_runtime_loaded", "gauge", "1 where the runtime says that it runs us, else 0; absent where unknown."
)
RIVALS = Family("mooring_agent_rivals", "gauge", "Files that the runtime would load before ours by its usual name.")
ATTACHMENTS = Family(
    "mooring_agent_attachments", "gauge", "Attachments of this node's pods to networks that NADs define.", ("network",)
)
FAILURES = Family(
    "mooring_agent_call_failures_total",
    "counter",
    "Calls of the runtime that failed, by CNI verb, network (empty before it came to one) and CNI error code.",
    ("verb", "network", "code"),
)
LACKING = Family(
    "mooring_agent_pods_without_networks",
    "gauge",
    "Pods that run without the networks they ask for, by the reason of their condition.",
    ("cause",),
)
STATUS_DELAY = Family(
    "mooring_agent_status_delay_seconds",
    "histogram",
    "Time from the end of the last ADD of a sandbox until its pod carried the network-status.",
)
CACHE_AGE = Family(
    "mooring_agent_cache_age_seconds",
    "gauge",
    "Time since the API server last said all that it had to say of networks; absent until it did.",
)
CACHED = Family("mooring_agent_cached_networks", "gauge", "NADs that are known on this node.")
CACHE_REPAIRS = Family(
    "mooring_agent_cache_repairs_total", "counter", "Files of the cache that somebody changed, and that were put right."
)
GARBAGE_SANDBOXES = Family("mooring_agent_garbage_sandboxes_total", "counter", "Sandboxes that were gone and undone.")
GARBAGE_LEASES = Family("mooring_agent_garbage_leases_total", "counter", "Addresses of such sandboxes, released.")
GARBAGE_FAILURES = Family("mooring_agent_garbage_failures_total", "counter", "DELs of such sandboxes that failed.")
GARBAGE_WAITING = Family(
    "mooring_agent_garbage_waiting", "gauge", "Journals of sandboxes that the runtime does not list."
)
PASSES = Family(
    "mooring_agent_reconcile_duration_seconds", "histogram", "How long passes of a reconciler took.", ("reconciler",)
)
PASS_FAILURES = Family(
    "mooring_agent_reconcile_failures_total", "counter", "Passes of a reconciler that failed.", ("reconciler",)
)
OVERDUE = Family(
    "mooring_agent_reconcile_overdue_seconds",
    "gauge",
    "For how long the pass that runs now has been over its deadline; 0 where it is not.",
    ("reconciler",),
)
UNREAD = Family(
    "mooring_agent_pod_networks_unread", "gauge", "Sandboxes with further networks whose counters could not be read."
)
NAME_INFO = Family(
    "pod_network_name_info",
    "gauge",
    "0 for each interface of a pod that has further networks: what joins other metrics of the interface to a network.",
    ("pod", "namespace", "interface", "network_name"),
)
TRAFFIC: Mapping[str, Family] = {
    "receive_bytes": _traffic("receive", "bytes", "Bytes that a pod received through an interface."),
    "receive_packets": _traffic("receive", "packets", "Packets that a pod received through an interface."),
    "receive_dropped": _traffic("receive", "dropped_packets", "Packets that were dropped on their way in."),
    "transmit_bytes": _traffic("transmit", "bytes", "Bytes that a pod sent through an interface."),
    "transmit_packets": _traffic("transmit", "packets", "Packets that a pod sent through an interface."),
    "transmit_dropped": _traffic("transmit", "dropped_packets", "Packets that were dropped on their way out."),
}
FAMILIES = (
    *(BUILD, READY, RUNTIME_LOADED, RIVALS, ATTACHMENTS, FAILURES, LACKING, STATUS_DELAY, CACHE_AGE, CACHED),
    *(CACHE_REPAIRS, GARBAGE_SANDBOXES, GARBAGE_LEASES, GARBAGE_FAILURES, GARBAGE_WAITING),
    *(PASSES, PASS_FAILURES, OVERDUE, UNREAD, NAME_INFO, *TRAFFIC.values()),
)

Labels = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Numbers:
    """What was measured, at one moment: values and histograms by the labels of their family."""

    values: Mapping[Family, Mapping[Labels, float]]
    histograms: Mapping[Family, Mapping[Labels, tuple[Sequence[tuple[str, float]], float]]] = dataclasses.field(
        default_factory=dict
    )
    """Buckets and sum."""


def snapshot(histogram: Histogram) -> tuple[Sequence[tuple[str, float]], float]:
    """Return buckets and sum as they are now."""
    return histogram.buckets(), histogram.sum


def text(numbers: Numbers) -> bytes:
    """Return what Prometheus reads, with the numbers of this process besides."""
    return exposition.generate_latest(_Collected(numbers))


class _Collected(registry.Collector):
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[core.Metric]:
        for family, values in self._numbers.values.items():
            made: core.CounterMetricFamily | core.GaugeMetricFamily
            kind = core.CounterMetricFamily if family.kind == "counter" else core.GaugeMetricFamily
            made = kind(family.name, family.text, labels=family.labels)
            for labels, value in sorted(values.items()):
                made.add_metric(labels, value)
            yield made
        for family, found in self._numbers.histograms.items():
            histogram = core.HistogramMetricFamily(family.name, family.text, labels=family.labels)
            for labels, (buckets, total) in sorted(found.items()):
                histogram.add_metric(labels, buckets, total)
            yield histogram
        yield from process_collector.ProcessCollector(registry=None).collect()


def reference() -> str:
    """Return the page on metrics."""
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.text} |"
        for each in FAMILIES
    ]
    return _PAGE.format(rows="\n".join(rows))


_PAGE = """<!-- Generated by `make generate` from operator/mooring/agent/metrics.py; edit that instead. -->

# Metrics

The agent of each node serves them at `/metrics` on port 9454 of the loopback address, for a person:

    kubectl port-forward -n mooring-system pod/mooring-agent-… 9454
    curl localhost:9454/metrics

A scraper gets them on the node's own address, where the Installation says so ([why it is asked
for](decisions/0074-metrics-on-request.md)); `examples/metrics.yaml` has a PodMonitor that finds them:

```yaml
spec:
  agent:
    metricsPort: 9455
```

Times are in seconds, sizes in bytes. Counters begin at 0 when an agent starts; failed calls from before are not
counted. What is counted by network or by interface has at most 1,000 of them: of more, calls are counted under
`network="(others)"` without a code, and interfaces of the oldest sandboxes are left out.

| name | kind | labels | what |
|---|---|---|---|
{rows}

Beside these there are `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`,
`process_max_fds`, `process_virtual_memory_bytes` and `process_start_time_seconds` of the agent's process.

## Traffic by network

`network_name` is `namespace/name` of a NAD; of the default network the name of its conf. The counters are the kernel's,
read in the pod's network namespace when somebody asks. Bytes per second that pods receive from each network:

    sum by (network_name) (rate(mooring_agent_pod_network_receive_bytes_total[5m]))

`pod_network_name_info` is 0, so that it can be added to metrics that others keep of the same interfaces:

    container_network_receive_bytes_total
      + on(namespace, pod, interface) group_left(network_name) pod_network_name_info
"""


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
