"""Owns the names of the agent's metrics and what they mean; refuses to measure anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.metrics.families import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

_POD = ("namespace", "pod", "interface", "network_name")


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
