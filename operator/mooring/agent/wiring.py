"""Owns which reconcilers run on a node, what wakes whom, and what "ready" means; refuses to do any of their work."""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

from mooring.agent import (
    binaries,
    cache,
    conf,
    credentials,
    garbage,
    health,
    inventory,
    loops,
    missing,
    reporting,
    revisions,
    runtime,
    sandboxes,
    slices,
    status,
    supervising,
    watching,
)
from mooring.kube import events, informers, resources
from mooring.node import clocks, cri, namespaces, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from mooring.kube.client import Client
    from mooring.node import places

_LOG = logging.getLogger(__name__)


class Agent:
    """All reconcilers of one node, wired together."""

    def __init__(self, client: Client, *, node: str, namespace: str, host_root: Path, programs: Path) -> None:
        self._node = node
        self.outdated = asyncio.Event()
        """Set when the node is to have other folders than this agent started with: only a new one follows these."""
        changed = self._changed
        self._places: places.Places | None = None
        self._recorder = events.Recorder(client, controller="mooring-agent", instance=node)
        site = loops.Site(client, node, namespace)
        container_runtime = cri.Runtime(programs / cri.PROGRAM, host_root=host_root)
        self.revisions = revisions.Follower(
            site,
            host_root=host_root,
            on_revision=self._revised,
            on_health=self._ground_changed,
        )
        self.states = informers.Informer(
            client,
            resources.NODE_STATES,
            field_selector=f"metadata.name={node}",
            transform=revisions.keep,
            on_change=self._state_changed,
        )
        self.revisions.follow(self.states)
        self.binaries = binaries.Binaries(
            source=programs,
            revision=lambda: self.revisions.current,
            image=lambda: self.revisions.image,
            applied_before=lambda: self.revisions.applied_before,
            on_applied=self._binary_applied,
            on_health=self._ground_changed,
        )
        self.conf = conf.Conf(
            revision=lambda: self.revisions.current,
            installed=lambda: self.binaries.applied,
            network=self._network,
            on_applied=self._conf_applied,
            on_health=self._ground_changed,
        )
        self.runtime = runtime.Runtime(
            ask=container_runtime.status,
            conf=self._conf_place,
            on_health=self._ground_changed,
        )
        self.credentials = credentials.Credentials(
            site,
            revision=lambda: self.revisions.current,
            now=time.time,
            on_health=changed,
        )
        client.on_moved(self.credentials.wake)
        self.cache = cache.Cache(
            revision=lambda: self.revisions.current,
            boot=clocks.boot_id(),
            boottime=clocks.boottime,
            on_health=changed,
        )
        self.networks = informers.Informer(
            client,
            resources.NADS,
            transform=cache.keep,
            on_change=self._network_changed,
            watch_seconds=cache.WATCH_SECONDS,
            clock=clocks.boottime,
        )
        self.cache.follow(self.networks)
        self.sandboxes = sandboxes.Sandboxes(on_change=self._sandbox_changed)
        self.reporting = reporting.Reporter(self._recorder)
        self.status = status.Status(
            client,
            boot=clocks.boot_id(),
            sandboxes=self.sandboxes,
            report_on_pod=self._report_on_pod,
            on_attached=self.reporting.attached,
            on_health=changed,
        )
        self.pods = informers.Informer(
            client,
            resources.PODS,
            field_selector=f"spec.nodeName={node}",
            transform=status.keep,
            on_change=self._pod_changed,
        )
        self.status.follow(self.pods)
        self.missing = missing.Missing(
            client,
            sandboxes_known=self.sandboxes.scanned.is_set,
            has_sandbox=lambda key, pod: self.status.newest(key, pod) is not None,
            report_on_pod=self._report_on_pod,
            why_in_vain=self.why_in_vain,
            now=lambda: datetime.datetime.now(datetime.UTC),
            on_health=changed,
        )
        self.missing.follow(self.pods)
        self.inventory = inventory.Inventory(
            client,
            node=node,
            states=self.states.store,
            facts=self.facts,
            sandboxes=self.sandboxes,
            folders=lambda: self.revisions.current.places if self.revisions.current else None,
            now=lambda: datetime.datetime.now(datetime.UTC),
            on_health=lambda: None,  # what it fails at cannot be told by writing
        )
        self.slices = slices.Slices(client, node=node, sandboxes=self.sandboxes, on_health=changed)
        self.garbage = garbage.Garbage(
            revision=self._revision_of_known_pods,
            node=garbage.AskedNode(container_runtime, host_root=host_root),
            runner=namespaces.Runner(),
            networks=lambda: [(nad["metadata"]["name"], nad["config"]) for nad in self.networks.store.values()],
            lives=self.status.runs_in,
            clock=functools.partial(records.Clock.now, clocks.boot_id()),
            on_health=changed,
        )
        self._supervisor = supervising.Supervisor(on_change=changed)

    @property
    def reconcilers(self) -> tuple[loops.Reconciler, ...]:
        """All of them, in the order in which their problems matter."""
        return (
            self.revisions,
            self.binaries,
            self.conf,
            self.runtime,
            self.credentials,
            self.cache,
            self.status,
            self.missing,
            self.slices,
            self.garbage,
            self.inventory,
        )

    async def run(self, *, health_port: int) -> None:
        """Run until cancelled."""
        _LOG.info("agent of node %s", self._node)
        tasks: dict[str, Callable[[], Awaitable[None]]] = {each.name: each.run for each in self.reconcilers}
        tasks |= {
            "health": functools.partial(health.serve, port=health_port, unready=self.unready),
            "nodestates": self.states.run,
            "networks": self.networks.run,
            "cached": self.cache.watch,
            "pods": self.pods.run,
            "reporting": self.reporting.run,
            "journals": self._follow_journals,
            "failures": self._follow_failures,
            "confs": self._follow_confs,
            "programs": self._follow_programs,
        }
        await self._supervisor.run(tasks)

    def unready(self) -> list[str]:
        """Return in sentences why this agent is not ready; nothing when it is."""
        reasons = [f"{reason}: {message}" for reason, message in self.problems()]
        facts = self.facts()
        if not reasons and facts.applied != facts.revision:
            reasons.append(f"Applying: revision {facts.revision} is being applied")
        return reasons

    def problems(self) -> list[tuple[str, str]]:
        """Return reason and message of each thing that keeps the node from being Ready."""
        found = self._problems_of(self.reconcilers)
        found.extend(("TaskDied", f"{name}: {why}") for name, why in self._supervisor.dead.items())
        return found

    def _problems_of(self, reconcilers: Iterable[loops.Reconciler]) -> list[tuple[str, str]]:
        found = []
        for each in reconcilers:
            if each is self.inventory:
                continue  # the node is as it should be even while nobody can be told
            if each.health.problem:
                found.append((each.reason, each.health.problem))
            elif not each.health.settled:
                found.append(("Starting", f"{each.name} is not settled yet"))
        return found

    def why_in_vain(self) -> tuple[str, str] | None:
        """Return why a pod that is made anew would not get its networks: reason and message; None where it would."""
        return next(iter(self._problems_of((self.revisions, self.binaries, self.conf, self.runtime))), None)

    def facts(self) -> inventory.Facts:
        """Return what the node's status is made of."""
        current = self.revisions.current
        return inventory.Facts(
            revision=self.revisions.wanted or (current.name if current else ""),
            binary_revision=self.binaries.applied,
            programs=dict(self.binaries.sha256),
            conf=self.conf.applied,
            rivals=self.conf.rivals,
            loaded=self.runtime.verdict,
            problems=tuple(self.problems()),
            warnings=tuple((each.reason, each.health.warning) for each in self.reconcilers if each.health.warning),
        )

    async def _follow_journals(self) -> None:
        await self.sandboxes.follow((await self.revisions.places()).journals)

    async def _follow_failures(self) -> None:
        path = (await self.revisions.places()).failures
        await watching.follow(path.parent, self.inventory.wake, name=path.name)

    async def _follow_confs(self) -> None:
        # The folders in it too: they hold what is chained to the primary network.
        await watching.follow_below((await self.revisions.places()).confs, self.conf.wake, self.runtime.wake)

    async def _follow_programs(self) -> None:
        # Any program: the primary network may wait for one of its own.
        await watching.follow((await self.revisions.places()).binaries, self.binaries.wake, self.conf.wake)

    def _changed(self) -> None:
        self.inventory.wake()

    def _ground_changed(self) -> None:
        """React to what decides whether a pod that is made anew gets its networks."""
        self.missing.wake()
        self._changed()

    def _revised(self, revision: revisions.Revision) -> None:
        _LOG.info("this node is to have revision %s", revision.name)
        if self._places not in (None, revision.places):
            self.outdated.set()
        self._places = revision.places
        for each in self.reconcilers:
            each.wake()

    def _state_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self.revisions.wake()
        self.inventory.wake()

    def _binary_applied(self) -> None:
        self.conf.wake()
        self._changed()

    def _conf_applied(self) -> None:
        self.runtime.wake()
        self._changed()

    def _conf_place(self) -> tuple[str, str] | None:
        current, applied = self.revisions.current, self.conf.applied
        return (current.places.conf_dir, applied.file) if current and applied else None

    def _network_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self.cache.changed(key, old, new)
        current = self.revisions.current
        if current is not None and current.default_network == key:
            self.conf.wake()

    def _network(self, key: str) -> str | None:
        found = self.networks.store.get(key)
        return None if found is None else str(found["config"])

    def _revision_of_known_pods(self) -> revisions.Revision | None:
        # Before the pods and their sandboxes are known nobody can say what lives.
        known = self.pods.synced.is_set() and self.sandboxes.scanned.is_set()
        return self.revisions.current if known else None

    def _pod_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self.status.pod_changed(key, old, new)
        self.missing.pod_changed(key, old, new)

    def _sandbox_changed(self, pod: str) -> None:
        self.status.sandbox_changed(pod)
        self.slices.changed()
        if self.pods.store.get(pod, {}).get("marked"):
            self.missing.wake()
        self._changed()

    async def _report_on_pod(self, pod: dict[str, Any], reason: str, note: str) -> None:
        regarding = {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]}
        await self._recorder.event(regarding, kind="Warning", reason=reason, note=note, action="WriteNetworkStatus")
