"""What the operator sees of the cluster: owns the informers, what is kept of each object, and what a change wakes.

Of nodes and their states only what decisions need is kept, so that thousands of them fit. Refuses to decide
anything: a change adds a key to the queue and nothing more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mooring.controller import keys, reading
from mooring.installing import daemonsets, definitions, deliveries, revisions
from mooring.kube import resources
from mooring.kube.informers import Informer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.kube.client import Client

# What many nodes say within this time is answered once.
_GATHER_SECONDS = 0.5


class View:
    """The objects that the operator follows. `wake(key, after)` is called when something changes."""

    def __init__(self, client: Client, *, namespace: str, wake: Callable[[str, float], None]) -> None:
        self._wake = wake
        self.nodes = Informer(client, resources.NODES, transform=_node, on_change=self._on(keys.INSTALLATION))
        self.node_states = Informer(
            client, resources.NODE_STATES, transform=node_state, on_change=self._on(keys.INSTALLATION)
        )
        self.daemon_sets = Informer(
            client,
            resources.DAEMON_SETS,
            namespace=namespace,
            label_selector=resources.selector(keys.OURS),
            on_change=self._on(keys.INSTALLATION, after=0.0),
        )
        self.revisions = Informer(
            client,
            resources.CONFIG_MAPS,
            namespace=namespace,
            label_selector=resources.selector(revisions.LABELS),
            on_change=self._on(keys.INSTALLATION),
        )
        self.pods = Informer(
            client,
            resources.PODS,
            namespace=namespace,
            label_selector=resources.selector(daemonsets.LABELS),
            transform=_pod,
            on_change=self._on(keys.INSTALLATION),
        )
        self.definitions = Informer(
            client,
            resources.CRDS,
            field_selector=f"metadata.name={definitions.NAME}",
            transform=_name_only,
            on_change=self._on(keys.DEFINITION),
        )

    @property
    def informers(self) -> tuple[Informer, ...]:
        """All of them."""
        return (
            self.nodes,
            self.node_states,
            self.daemon_sets,
            self.revisions,
            self.pods,
            self.definitions,
        )

    @property
    def agents(self) -> dict[str, dict[str, Any]]:
        """The agents' pods by the node that they run on; of two, the one that is not leaving."""
        found: dict[str, dict[str, Any]] = {}
        for pod in self.pods.store.values():
            if pod["node"] and (not pod["leaving"] or pod["node"] not in found):
                found[pod["node"]] = pod
        return found

    @property
    def deliveries(self) -> dict[str, dict[str, Any]]:
        """The DaemonSets that bring plugin sets, by namespace/name."""
        return {key: item for key, item in self.daemon_sets.store.items() if deliveries.is_delivery(item)}

    @property
    def synced(self) -> bool:
        """Whether each has seen everything that was there."""
        return all(informer.synced.is_set() for informer in self.informers)

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers:
                group.create_task(informer.run())

    async def wait_synced(self) -> None:
        """Return when everything that was there has been seen."""
        for informer in self.informers:
            await informer.synced.wait()

    def _on(
        self, key: str, *, after: float = _GATHER_SECONDS
    ) -> Callable[[str, dict[str, Any] | None, dict[str, Any] | None], None]:
        def changed(_: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
            if _without_heartbeat(old) != _without_heartbeat(new):
                self._wake(key, after)

        return changed


def _without_heartbeat(item: dict[str, Any] | None) -> dict[str, Any] | None:
    if item is None or "heartbeatTime" not in (item.get("status") or {}):
        return item
    return {**item, "status": {key: value for key, value in item["status"].items() if key != "heartbeatTime"}}


def _node(item: dict[str, Any]) -> dict[str, Any]:
    metadata, info = item["metadata"], (item.get("status") or {}).get("nodeInfo") or {}
    annotations = metadata.get("annotations") or {}
    return {
        "metadata": {
            "name": metadata["name"],
            "uid": metadata["uid"],
            "labels": metadata.get("labels") or {},
            "annotations": {reading.HOLD: annotations[reading.HOLD]} if reading.HOLD in annotations else {},
        },
        "tainted": any(
            taint.get("key") == reading.STARTUP_TAINT for taint in (item.get("spec") or {}).get("taints") or []
        ),
        "status": {
            "conditions": [_ready(item)],
            "nodeInfo": {name: info.get(name, "") for name in ("kubeletVersion", "containerRuntimeVersion")},
        },
    }


def _ready(item: dict[str, Any]) -> dict[str, Any]:
    """Keep of the conditions what says whether it is ready, without the time of the last heartbeat."""
    for condition in (item.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready":
            return {key: condition.get(key) for key in ("type", "status", "lastTransitionTime")}
    return {}


def _pod(item: dict[str, Any]) -> dict[str, Any]:
    metadata = item["metadata"]
    return {
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "node": _place(item.get("spec") or {}),
        "started": (item.get("status") or {}).get("startTime"),
        "leaving": bool(metadata.get("deletionTimestamp")),
        "ready": _ready(item).get("status") == "True",
    }


def _place(spec: dict[str, Any]) -> str:
    """Return the node of a DaemonSet's pod, also where it waits for the scheduler."""
    rules = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    named = [
        value
        for term in (rules or {}).get("nodeSelectorTerms") or []
        for field in term.get("matchFields") or []
        if field.get("key") == "metadata.name"
        for value in field.get("values") or []
    ]
    return str(spec.get("nodeName") or (named[0] if len(named) == 1 else ""))


def node_state(item: dict[str, Any]) -> dict[str, Any]:
    """Keep of a NodeState what decisions need."""
    metadata, status = item["metadata"], item.get("status") or {}
    kept = ("name", "uid", "generation", "labels", "ownerReferences", "deletionTimestamp")
    said = (
        "revision",
        "observedGeneration",
        "failedAdds",
        "heartbeatTime",
        "conditions",
        "podsWithoutNetworks",
        "multus",
    )
    programs = [str(each.get("name")) for each in status.get("binaries") or []]
    absent = [str(each.get("name")) for each in status.get("absentInterfaces") or []]
    return {
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": item.get("spec") or {},
        "status": {name: status[name] for name in said if name in status},
        "programs": programs,
        "absent": absent,
    }


def _name_only(item: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}}
