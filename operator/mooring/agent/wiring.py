"""Owns how the agent is put together: which reconcilers run on a node, and what each is given.

What wakes whom is the table of `triggers`, what "ready" means is `readiness`. Refuses to do any of their work.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

from mooring.agent import (
    adoption,
    binaries,
    cache,
    conf,
    credentials,
    dhcp,
    drain,
    failing,
    garbage,
    health,
    inventory,
    loops,
    measuring,
    missing,
    paths,
    pluginsets,
    pods,
    presence,
    readiness,
    renewal,
    reporting,
    revisions,
    runtime,
    sandboxes,
    setremoval,
    slices,
    status,
    supervising,
    survey,
    watching,
)
from mooring.agent.triggers import Trigger, Triggers
from mooring.kube import events, informers, resources
from mooring.metrics import histograms
from mooring.node import clocks, cri, leaving, namespaces, places, proof, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)


class Agent:
    """All reconcilers of one node, wired together."""

    def __init__(
        self,
        client: Client,
        *,
        node: str,
        namespace: str,
        host_root: Path,
        programs: Path,
        state_dir: str,
        cached_namespaces: frozenset[str] = frozenset(),
    ) -> None:
        self._node = node
        self.outdated = asyncio.Event()
        """Set when the node is to have other folders than this agent started with: only a new one follows these."""
        self._places: places.Places | None = None
        self._triggers = Triggers()
        on = self._triggers.on
        site = loops.Site(client, node, namespace)
        container_runtime = cri.Runtime(programs / cri.PROGRAM, host_root=host_root)
        self._recorder = events.Recorder(client, controller="mooring-agent", instance=node)
        self.reporting = reporting.Reporter(self._recorder)
        self._status_delay = histograms.Histogram()
        self.sandboxes = sandboxes.Sandboxes(on_change=self._sandbox_changed)
        self._supervisor = supervising.Supervisor(on_change=on(Trigger.HEALTH))

        # What is observed.
        self.states = informers.Informer(
            client,
            resources.NODE_STATES,
            field_selector=f"metadata.name={node}",
            transform=revisions.keep,
            on_change=lambda *_: self._triggers.fire(Trigger.NODE_STATE),
        )
        self.networks = informers.Informer(
            client,
            resources.NADS,
            transform=cache.keep,
            on_change=self._network_changed,
            watch_seconds=cache.WATCH_SECONDS,
            clock=clocks.boottime,
        )
        self.pods = informers.Informer(
            client,
            resources.PODS,
            field_selector=f"spec.nodeName={node}",
            transform=pods.keep,
            on_change=self._pod_changed,
        )

        # What a new pod depends on.
        self.revisions = revisions.Follower(
            site,
            host_root=host_root,
            on_revision=self._revised,
            on_health=on(Trigger.FOUNDATION),
        )
        self.binaries = binaries.Binaries(
            source=programs,
            host_root=host_root,
            state_dir=state_dir,
            prover=proof.Prover(host_root=host_root, delegate=programs / proof.DELEGATE),
            revision=self._revision,
            image=lambda: self.revisions.image,
            applied_before=lambda: self.revisions.applied_before,
            draining=lambda: self.drain.wanted,
            conf_first=lambda revision: self.conf.comes_first(revision),
            on_applied=on(Trigger.BINARY_APPLIED),
            on_health=on(Trigger.FOUNDATION),
        )
        self.pluginsets = pluginsets.PluginSets(
            site,
            revision=self._revision,
            conf_applied=lambda: self.conf.applied.revision if self.conf.applied else "",
            primary=lambda: self.conf.applied.primary.binaries if self.conf.applied else (),
            on_applied=on(Trigger.PLUGIN_SETS_APPLIED),
            on_health=on(Trigger.HEALTH),
        )
        self.conf = conf.Conf(
            revision=self._revision,
            installed=self._installed,
            network=self._network,
            cni_version=lambda: self.runtime.cni_version,
            on_found=lambda folder: self.presence.found(folder),
            adopted=self._adopted,
            on_applied=on(Trigger.CONF_APPLIED),
            on_health=on(Trigger.FOUNDATION),
        )
        self.runtime = runtime.Runtime(
            ask=container_runtime.status,
            conf=self._conf_place,
            on_identified=on(Trigger.RUNTIME_IDENTIFIED),
            on_health=on(Trigger.FOUNDATION),
        )

        # What else a node is to have, and what is said of it.
        self.adoption = adoption.Adoption(
            folders=lambda: self._folders() or places.usual(host_root, state_dir=state_dir),
            adopted=self._adopted,
            applied=lambda: self.conf.applied if self._revision() else None,
            verdict=lambda: self.runtime.verdict,
            on_health=on(Trigger.HEALTH),
        )
        self.paths = paths.Paths(
            site,
            asked=lambda: self.revisions.asked,
            applied=self._applied_places,
            verdict=lambda: self.runtime.verdict,
            on_health=on(Trigger.HEALTH),
        )
        self.credentials = credentials.Credentials(
            site,
            revision=self._revision,
            now=time.time,
            on_health=on(Trigger.HEALTH),
        )
        self.cache = cache.Cache(
            revision=self._revision,
            namespaces=cached_namespaces,
            boot=clocks.boot_id(),
            boottime=clocks.boottime,
            on_health=on(Trigger.HEALTH),
        )
        self.status = status.Status(
            client,
            boot=clocks.boot_id(),
            sandboxes=self.sandboxes,
            report_on_pod=self.reporting.warn,
            on_attached=self._attached,
            now=_now,
            on_health=on(Trigger.HEALTH),
        )
        self.presence = presence.Presence(
            folder=self._state_folder,
            verdict=lambda: self.runtime.verdict,
            now=_now,
            on_health=on(Trigger.HEALTH),
        )
        self.missing = missing.Missing(
            client,
            sandboxes_known=self.sandboxes.scanned.is_set,
            has_sandbox=lambda key, pod: self.status.newest(key, pod) is not None,
            history=lambda: self.presence.history,
            listed=container_runtime.sandboxes,
            report_on_pod=self.reporting.warn,
            why_in_vain=lambda: self.readiness.foundation(),
            now=_now,
            on_health=on(Trigger.HEALTH),
        )
        self.failing = failing.Failing(
            path=lambda: self.revisions.current.places.failures if self.revisions.current else None,
            known=lambda: self.pods.store,
            report=self.reporting.failed,
            on_health=on(Trigger.HEALTH),
        )
        self.slices = slices.Slices(
            client,
            node=node,
            sandboxes=self.sandboxes,
            on_health=on(Trigger.HEALTH),
        )
        asked_node = garbage.AskedNode(container_runtime, host_root=host_root)
        self.dhcpdaemon = dhcp.DhcpDaemon(
            node_name=node,
            host_root=host_root,
            node=asked_node,
            revision=self._revision_of_dhcp,
            renewal=renewal.Renewal(asked_node, namespaces.Runner()),
            on_health=on(Trigger.HEALTH),
        )
        self.garbage = garbage.Garbage(
            revision=self._revision_of_known_pods,
            node=asked_node,
            runner=namespaces.Runner(),
            networks=lambda: [(nad["metadata"]["name"], nad["config"]) for nad in self.networks.store.values()],
            lives=self.status.runs_in,
            clock=functools.partial(records.Clock.now, clocks.boot_id()),
            released=lambda: self.drain.released,
            on_health=on(Trigger.HEALTH),
        )
        self.survey = survey.Survey(
            revision=self._revision,
            networks=self.networks.store,
            enter=asked_node.enter,
            on_health=on(Trigger.HEALTH),
        )
        self.drain = drain.Drain(
            client,
            node=node,
            places=self._folders,
            traces=lambda: leaving.traces(host_root, state_dir=state_dir),
            ask=container_runtime.status,
            primary=self._primary_file,
            writing=lambda: [each.name for each in self._writers if each.reconciling],
            collect=self.garbage.wake,
            undoing=lambda: self.garbage.running,
            why=lambda: self.garbage.health.problem or self.garbage.health.warning,
            withdraw=self._withdraw,
            on_change=on(Trigger.REVISION),
            on_health=on(Trigger.FOUNDATION),
        )
        self.inventory = inventory.Inventory(
            client,
            node=node,
            states=self.states.store,
            facts=self.facts,
            sandboxes=self.sandboxes,
            folders=self._folders,
            now=_now,
            on_health=lambda: None,  # what it fails at cannot be told by writing
        )

        self.revisions.follow(self.states)
        self.drain.follow(self.states)
        self.cache.follow(self.networks)
        self.status.follow(self.pods)
        self.missing.follow(self.pods)
        self._writers: tuple[loops.Reconciler, ...] = (
            self.binaries,
            self.paths,
            self.pluginsets,
            self.dhcpdaemon,
            self.conf,
            self.credentials,
            self.cache,
            self.presence,
        )
        foundation = (self.drain, self.revisions, self.binaries, self.conf, self.runtime)
        # A node is as it should be even while nobody can be told: the inventory does not count.
        counting = (
            *foundation,
            self.adoption,
            self.paths,
            self.pluginsets,
            self.dhcpdaemon,
            self.credentials,
            self.cache,
            self.status,
            self.missing,
            self.presence,
            self.failing,
            self.slices,
            self.garbage,
            self.survey,
        )
        self.reconcilers: tuple[loops.Reconciler, ...] = (*counting, self.inventory)
        self.readiness = readiness.Readiness(counting, foundation=foundation, dead=self._supervisor.dead)
        self._metrics = measuring.Page(
            measuring.Sources(
                reconcilers=self.reconcilers,
                ready=lambda: not self.unready(),
                runtime=self.runtime,
                conf=self.conf,
                sandboxes=self.sandboxes,
                inventory=self.inventory,
                missing=self.missing,
                status_delay=self._status_delay,
                cache=self.cache,
                networks=self.networks,
                garbage=self.garbage,
                boottime=clocks.boottime,
                enter=asked_node.enter,
            )
        )
        self._triggers.connect(self.reconcilers)
        client.on_moved(on(Trigger.SERVER_MOVED))

    async def run(self, *, health_port: int, metrics_address: tuple[str, int] | None = None) -> None:
        """Run until cancelled; `metrics_address` is host and port at which metrics are served to others too."""
        _LOG.info("agent of node %s", self._node)
        metrics = {"/metrics": self._metrics.answer}
        probes = health.probes(stuck=self.stuck, unready=self.unready)
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            **{each.name: each.run for each in self.reconcilers},
            "health": functools.partial(health.serve, port=health_port, pages={**probes, **metrics}),
            "nodestates": self.states.run,
            "networks": self.networks.run,
            "cached": self.cache.watch,
            "pods": self.pods.run,
            "reporting": self.reporting.run,
            "events": self._recorder.run,
            "journals": self._follow_journals,
            "failures": self._follow_failures,
            "confs": self._follow_confs,
            "programs": self._follow_programs,
        }
        if metrics_address is not None:
            host, port = metrics_address
            tasks["metrics"] = functools.partial(health.serve, host=host, port=port, pages=metrics)
        await self._supervisor.run(tasks)

    def stuck(self) -> list[str]:
        """Return in sentences why this process should be ended; nothing while it works."""
        return health.stuck(self.reconcilers, seconds=loops.STUCK_SECONDS)

    def unready(self) -> list[str]:
        """Return in sentences why this agent is not ready; nothing when it is."""
        reasons = [f"{reason}: {message}" for reason, message in self.readiness.problems()]
        facts = self.facts()
        if not reasons and facts.applied != facts.revision:
            reasons.append(f"Applying: revision {facts.revision} is being applied")
        return reasons

    def facts(self) -> inventory.Facts:
        """Return what the node's status is made of."""
        current = self.revisions.current
        return inventory.Facts(
            revision=self.revisions.wanted or (current.name if current else ""),
            binary_revision=self.binaries.applied,
            conf=self.conf.applied,
            distribution=self.paths.distribution,
            rivals=self.conf.rivals,
            multus=self.adoption.found,
            loaded=self.runtime.verdict,
            cni_version=self.runtime.cni_version,
            surveyed=self.survey.found,
            problems=tuple(self.readiness.problems()),
            warnings=tuple(self.readiness.warnings()),
            lacking=self.missing.lacking,
            drained=self.drain.verdict,
        )

    async def _follow_journals(self) -> None:
        await self.drain.staying.wait()
        await self.sandboxes.follow((await self.revisions.places()).journals)

    async def _follow_failures(self) -> None:
        path = (await self.revisions.places()).failures
        await watching.follow(path.parent, self._triggers.on(Trigger.FAILURES), name=path.name)

    async def _follow_confs(self) -> None:
        # The folders in it too: they hold what is chained to the primary network.
        await watching.follow_below((await self.revisions.places()).confs, self._triggers.on(Trigger.CONFS))

    async def _follow_programs(self) -> None:
        await watching.follow((await self.revisions.places()).binaries, self._triggers.on(Trigger.PROGRAMS))

    def _revision(self) -> revisions.Revision | None:
        """Return what the node is to have; nothing while it is drained: whoever writes files there asks this."""
        return None if self.drain.wanted else self.revisions.current

    def _revision_of_dhcp(self) -> revisions.Revision | None:
        """Return the same, and while a drained node still has attached pods what it had: their DELs ask the daemon."""
        return self.revisions.current if self.drain.holding else self._revision()

    def _adopted(self) -> bool:
        state = self.states.store.get(self._node) or {}
        return (state.get("spec") or {}).get("adopted") is True

    def _folders(self) -> places.Places | None:
        return self.revisions.current.places if self.revisions.current else None

    async def _withdraw(self, folders: places.Places) -> list[str]:
        await self.dhcpdaemon.stop(folders)
        return await asyncio.to_thread(setremoval.withdraw, folders)

    def _primary_file(self) -> str:
        if self.conf.applied is not None and self.conf.applied.primary.file:
            return self.conf.applied.primary.file
        status = self.states.store.get(self._node, {}).get("status") or {}
        return str((status.get("primaryNetwork") or {}).get("file") or "")

    def _installed(self) -> str:
        """Return the revision whose plugin is on the node, and its plugin sets, that its networks may need."""
        installed = self.binaries.applied
        return installed if self.pluginsets.applied == installed else ""

    def _revised(self, revision: revisions.Revision) -> None:
        _LOG.info("this node is to have revision %s", revision.name)
        if self._places not in (None, revision.places):
            self.outdated.set()
        self._places = revision.places
        self._triggers.fire(Trigger.REVISION)

    def _state_folder(self) -> Path | None:
        current = self._revision()
        return current.places.seen(current.places.state_dir) if current else None

    def _conf_place(self) -> tuple[places.Places, str] | None:
        current, applied = self.revisions.current, self.conf.applied
        return (current.places, applied.file) if current and applied else None

    def _applied_places(self) -> places.Places | None:
        """Return the node's folders once binary and conf of its revision are in them."""
        current, applied = self._revision(), self.conf.applied
        there = current and applied and current.name == applied.revision == self.binaries.applied
        return current.places if current and there else None

    def _network_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self.cache.changed(key, old, new)
        self._triggers.fire(Trigger.NETWORKS)
        current = self.revisions.current
        if current is not None and current.default_network == key:
            self._triggers.fire(Trigger.PRIMARY_NETWORK)

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

    def _attached(self, pod: dict[str, Any], sandbox: sandboxes.Sandbox) -> None:
        if sandbox.ended:
            ended = datetime.datetime.fromisoformat(sandbox.ended)
            self._status_delay.observe((_now() - ended).total_seconds())
        self.reporting.attached(pod, sandbox)

    def _sandbox_changed(self, pod: str) -> None:
        self.status.sandbox_changed(pod)
        self.slices.changed()
        self._triggers.fire(Trigger.SANDBOX)
        if (self.pods.store.get(pod) or {}).get("mark"):
            self._triggers.fire(Trigger.LACKING_POD)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
