"""What the operator sees of the cluster: owns the informers, what is kept of each object, and what a change wakes.

Of nodes and their states only what decisions need is kept, so that thousands of them fit. Refuses to decide
anything: a change adds a key to the queue and nothing more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mooring.controller import keys
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
            client, resources.NODE_STATES, transform=_node_state, on_change=self._on(keys.INSTALLATION)
        )
        self.daemon_sets = Informer(
            client,
            resources.DAEMON_SETS,
            namespace=namespace,
            field_selector=f"metadata.name={daemonsets.NAME}",
            on_change=self._on(keys.INSTALLATION, after=0.0),
        )
        self.deliveries = Informer(
            client,
            resources.DAEMON_SETS,
            namespace=namespace,
            label_selector=",".join(f"{name}={value}" for name, value in sorted(deliveries.LABELS.items())),
            on_change=self._on(keys.INSTALLATION),
        )
        self.revisions = Informer(
            client,
            resources.CONFIG_MAPS,
            namespace=namespace,
            label_selector=",".join(f"{name}={value}" for name, value in sorted(revisions.LABELS.items())),
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
            self.deliveries,
            self.revisions,
            self.definitions,
        )

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
            if old != new:
                self._wake(key, after)

        return changed


def _node(item: dict[str, Any]) -> dict[str, Any]:
    metadata, info = item["metadata"], (item.get("status") or {}).get("nodeInfo") or {}
    return {
        "metadata": {"name": metadata["name"], "uid": metadata["uid"], "labels": metadata.get("labels") or {}},
        "status": {"nodeInfo": {name: info.get(name, "") for name in ("kubeletVersion", "containerRuntimeVersion")}},
    }


def _node_state(item: dict[str, Any]) -> dict[str, Any]:
    metadata, status = item["metadata"], item.get("status") or {}
    kept = ("name", "uid", "labels", "ownerReferences", "deletionTimestamp")
    return {
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": item.get("spec") or {},
        "status": {name: status[name] for name in ("revision", "conditions", "podsWithoutNetworks") if name in status},
    }


def _name_only(item: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}}
