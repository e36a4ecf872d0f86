"""The Installation: owns that revision, DaemonSet and NodeStates are what it says, and that its status says so.

One pass compares everything and repairs what differs; what fails is told in the conditions and tried again. What a
roll-out must remember is persisted before any node is told something. Refuses to take anything off a node: that is
`uninstalling`.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from typing import TYPE_CHECKING, Any

import pydantic

from mooring.controller import (
    adopting,
    fencing,
    framework,
    keys,
    managed,
    measuring,
    nodes,
    passes,
    reading,
    reporting,
    uninstalling,
)
from mooring.controller.passes import Pass
from mooring.installing import (
    announcements,
    daemonsets,
    deliveries,
    nodestates,
    removals,
    revisions,
    rollouts,
    standings,
)
from mooring.installing.installations import InstallationSpec
from mooring.installing.summaries import Problem
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from mooring.controller.image import Image
    from mooring.controller.observing import View
    from mooring.kube.client import Client
    from mooring.kube.events import Recorder

_LOG = logging.getLogger(__name__)

# While a roll-out is under way, deadlines and soaks end without anybody telling.
_UNDER_WAY = 5.0
# Until it is said that the finalizer does not come; it comes within a second.
_PATIENCE = datetime.timedelta(seconds=15)


class Reconciler:
    """Makes the cluster what the Installation says; only the leader runs it.

    `leads()` is asked before each write; `further()` returns what is wrong elsewhere in the operator.
    """

    def __init__(
        self,
        client: Client,
        view: View,
        *,
        namespace: str,
        image: Image,
        further: Callable[[], Iterable[Problem]],
        now: Callable[[], datetime.datetime],
        leads: Callable[[], bool],
        recorder: Recorder,
    ) -> None:
        self._client = client
        self._writer = fencing.Writer(client, leads=leads)
        self._managed = managed.Managed(self._writer)
        self._states = nodes.States(client, self._writer, view)
        self._uninstall = uninstalling.Uninstaller(
            client, self._writer, view, self._states, namespace=namespace, now=now
        )
        self._adopter = adopting.Adopter(client, self._writer, view, self._states, now=now)
        self._view = view
        self._namespace = namespace
        self._image = image
        self._further = further
        self._now = now
        self._said = reporting.Report(self._writer, recorder=recorder, now=now)
        # An uninstall may begin while a pass is under way.
        self._one = asyncio.Lock()
        # Since when the Installation is there without our finalizer.
        self._unheld: datetime.datetime | None = None

    @property
    def reported(self) -> measuring.Reported | None:
        """What was said last of the Installation, None where there is none; for the metrics."""
        return self._said.last

    def begin_term(self) -> None:
        """Say that this replica leads from now on: what others wrote before is read anew."""
        self._states.forget()

    async def reconcile(self) -> float | None:
        """Compare and repair once; return the seconds until the next look.

        Raises:
            errors.ApiError: something could not be written; the conditions say so where they could be.
            fencing.Deposed: another replica leads by now.
        """
        async with self._one:
            await self._states.catch_up()
            installation = await self._get()
            if installation is None:
                self._said.last = None
                return await self._uninstall.finish()
            metadata = installation["metadata"]
            if metadata.get("deletionTimestamp"):
                return _UNDER_WAY  # kopf calls `remove`; what it leaves is finished when the Installation is gone
            if framework.FINALIZER not in (metadata.get("finalizers") or []):
                return await self._wait_for_finalizer(installation)
            self._unheld = None
            return await self._reconcile(installation)

    async def remove(self, uid: str) -> str:
        """Go on with the uninstall; return what is waited for, "" when nothing needs that Installation any more.

        Raises:
            errors.ApiError: something could not be read or written.
            fencing.Deposed: another replica leads by now.
        """
        async with self._one:
            await self._states.catch_up()
            installation = await self._get()
            if installation is None or installation["metadata"]["uid"] != uid:
                return ""
            return await self._remove(installation)

    async def _wait_for_finalizer(self, installation: dict[str, Any]) -> float:
        """Put nothing onto a node while the Installation could go without taking it off again; say so after a while."""
        self._unheld = self._unheld or self._now()
        if self._now() - self._unheld >= _PATIENCE:
            done = Pass(installation, None, revision=str((installation.get("status") or {}).get("revision") or ""))
            told = f"The Installation does not get the finalizer {framework.FINALIZER}, without which it is not applied"
            done.problems.append(Problem("FinalizerNotSet", f"{told}; the log of the operator that leads says why."))
            done.nodes = self._observed(self._states.ours())
            await self._report(done)
        return _UNDER_WAY

    async def _reconcile(self, installation: dict[str, Any]) -> float | None:
        try:
            spec = InstallationSpec.model_validate(installation.get("spec") or {})
        except pydantic.ValidationError as error:
            done = Pass(installation, None, revision=str((installation.get("status") or {}).get("revision") or ""))
            done.problems.append(reporting.invalid(error))
            done.nodes = self._observed(self._states.ours())
            await self._report(done)
            return None
        done = Pass(installation, spec)
        if await self._adopter.begin(done, spec):
            return _UNDER_WAY  # the spec is another one now
        await self._apply(done, spec)
        await self._report(done)
        if done.failures:
            raise done.failures[0]
        rollout = done.decision.status if done.decision else None
        return _UNDER_WAY if rollout and rollout.stage != "Complete" else None

    async def _get(self) -> dict[str, Any] | None:
        try:
            return await self._client.get(resources.INSTALLATIONS, keys.INSTALLATION_NAME)
        except errors.NotFound:
            return None

    async def _remove(self, installation: dict[str, Any]) -> str:
        try:
            spec = InstallationSpec.model_validate(installation.get("spec") or {})
        except pydantic.ValidationError:
            spec = None
        done = Pass(installation, spec, revision=str((installation.get("status") or {}).get("revision") or ""))
        try:
            done.removing = await self._take_away(done, spec)
        except errors.ApiError as error:
            done.removing = f"The uninstall does not go on: {error.message}."
            done.nodes = self._observed(self._states.ours())
            await self._report(done)
            raise
        if done.removing:
            done.nodes = self._observed(self._states.ours())
            await self._report(done)
        return done.removing

    async def _take_away(self, done: Pass, spec: InstallationSpec | None) -> str:
        """Take the next steps of the uninstall; return what is waited for then, "" at its end."""
        installation = done.installation
        waiting = await self._adopter.leave(installation, spec)
        if waiting:
            return waiting
        removal = await self._uninstall.begin(installation, spec)
        ending = ""
        if not removal.waiting:
            ending = await self._uninstall.end(removal)
            if not ending:
                return ""
        elif spec is not None:
            # Without their agents the nodes would stay as they are.
            try:
                await self._apply_daemon_set(spec, done, owner=None)
            except errors.ApiError as error:
                done.report(error, "DaemonSetNotApplied", f"DaemonSet {daemonsets.NAME} was not applied")
        return f"{removal.sentence} {ending}".strip()

    async def _apply(self, done: Pass, spec: InstallationSpec) -> None:
        """Write what differs; what fails is reported and does not stop the rest."""
        done.nodes = self._observed(self._selected(spec))
        try:
            image = await self._image.get()
        except errors.ApiError as error:
            done.revision = str((done.installation.get("status") or {}).get("revision") or "")
            done.report(error, "ImageUnknown", "The operator cannot read its own pod")
            return
        content = revisions.document(spec, image=image)
        done.revision = revisions.name(content)
        owner = passes.owner(done.installation)
        config_map = revisions.config_map(content, namespace=self._namespace, owner=owner)
        known = True
        if spec.rollout.rollback_to and spec.rollout.rollback_to != done.revision:
            done.revision, known = spec.rollout.rollback_to, self._known(spec.rollout.rollback_to)
        if not known:
            done.problems.append(
                Problem(
                    "RevisionUnknown",
                    f"spec.rollout.rollbackTo names {done.revision}, which is not there (kubectl get configmaps -n "
                    f"{self._namespace} -l app.kubernetes.io/component=revision); the nodes go on with what they have.",
                )
            )
        steps: tuple[tuple[Callable[[], Coroutine[Any, Any, None]], str, str], ...] = (
            (
                lambda: self._ensure(config_map, done),
                "RevisionNotWritten",
                f"ConfigMap {done.revision} was not written",
            ),
            (
                lambda: self._apply_daemon_set(spec, done, owner=owner),
                "DaemonSetNotApplied",
                f"DaemonSet {daemonsets.NAME} was not applied",
            ),
            (
                lambda: self._apply_deliveries(spec, done, content, image=image, owner=owner),
                "PluginSetsNotApplied",
                "DaemonSets of plugin sets were not applied",
            ),
            (lambda: self._roll_out(spec, done, known=known), "NodeStatesNotApplied", "NodeStates were not applied"),
            (
                lambda: self._adopter.switch(done, spec),
                "MultusNotKeptAway",
                "Multus was not kept from the nodes that are ours, or not given them back",
            ),
            (
                lambda: self._prune(done, revisions.name(content)),
                "RevisionsNotPruned",
                "What is not wanted was not removed",
            ),
            (
                lambda: self._untaint(done.nodes),
                "NodesNotUntainted",
                "The taint of a node that is ready was not lifted",
            ),
        )
        for work, reason, what in steps:
            try:
                await work()
            except errors.ApiError as error:
                done.report(error, reason, what)

    def _known(self, revision: str) -> bool:
        return f"{self._namespace}/{revision}" in self._view.revisions.store

    def _observed(self, names: Iterable[str]) -> list[standings.Node]:
        selected = {name: self._view.nodes.store.get(name) or {"metadata": {"name": name}} for name in names}
        return reading.nodes(selected, self._states.all(), self._view.agents, now=self._now())

    async def _apply_daemon_set(self, spec: InstallationSpec, done: Pass, *, owner: dict[str, Any] | None) -> None:
        found = self._view.daemon_sets.store.get(f"{self._namespace}/{daemonsets.NAME}")
        if owner is not None and found is not None and removals.LEAVING in (found["metadata"].get("labels") or {}):
            # It was kept for nodes that were away during an uninstall; now it is for all again.
            await self._writer.delete(resources.DAEMON_SETS, daemonsets.NAME, namespace=self._namespace)
            return
        image = await self._image.get()
        stored_revision = self._view.revisions.store.get(f"{self._namespace}/{done.revision}")
        if spec.rollout.rollback_to and stored_revision is not None:
            # An agent installs the program of its own image, in the folders that its pod mounts.
            spec, image = revisions.revert(spec, stored_revision)
        desired = daemonsets.daemon_set(spec, namespace=self._namespace, image=image, owner=owner or {})
        if owner is None:
            desired["metadata"].pop("ownerReferences")
        outcome = await self._managed.ensure(resources.DAEMON_SETS, desired, found)
        for each in announcements.of_object("DaemonSet", daemonsets.NAME, outcome):
            await self._said.announce(done.installation, each)

    async def _apply_deliveries(
        self, spec: InstallationSpec, done: Pass, content: str, *, image: str, owner: dict[str, Any]
    ) -> None:
        """Keep what brings the plugin sets of all revisions in use to the nodes; those of no revision go."""
        others = (
            self._view.revisions.store.get(f"{self._namespace}/{name}") or {}
            for name in sorted({done.revision, *reading.revisions_in_use(self._states.all())})
        )
        desired = deliveries.daemon_sets(
            spec,
            [content, *(str((each.get("data") or {}).get(revisions.KEY)) for each in others)],
            namespace=self._namespace,
            image=image,
            owner=owner,
            mount_images=deliveries.image_volumes(node["status"]["nodeInfo"] for node in self._selected(spec).values()),
            draining=reading.draining(self._view.node_states.store),
        )
        await self._managed.reconcile(resources.DAEMON_SETS, desired.values(), self._view.deliveries)

    async def _ensure(self, config_map: dict[str, Any], done: Pass) -> None:
        name = config_map["metadata"]["name"]
        found = self._view.revisions.store.get(f"{self._namespace}/{name}")
        owned = (
            found is not None and found["metadata"].get("ownerReferences") == config_map["metadata"]["ownerReferences"]
        )
        if found is not None and owned and found.get("data") == config_map["data"] and found.get("immutable") is True:
            return
        forged = found is not None and found.get("data") != config_map["data"]
        if forged:
            # The name is the content's checksum: one with other content is nobody's honest work.
            await self._writer.delete(resources.CONFIG_MAPS, name, namespace=self._namespace)
        outcome = await self._managed.ensure(resources.CONFIG_MAPS, config_map, None if forged else found)
        # Nodes were told of it: it was there, whoever made it.
        there = outcome == "made" and name in reading.revisions_in_use(self._states.all())
        if forged or there or outcome == "repaired":
            for each in announcements.of_object("ConfigMap", name, "repaired"):
                await self._said.announce(done.installation, each)

    async def _roll_out(self, spec: InstallationSpec, done: Pass, *, known: bool) -> None:
        """Decide, persist what must be remembered, and only then tell the nodes."""
        rollout = spec.rollout
        done.decision = rollouts.decide(
            done.nodes,
            done.before,
            target=done.revision,
            settings=rollouts.Settings(
                max_unavailable=rollout.max_unavailable,
                canaries=rollout.canary.nodes,
                soak=datetime.timedelta(seconds=rollout.canary.soak_seconds),
                deadline=datetime.timedelta(seconds=rollout.progress_deadline_seconds),
                paused=self._adopter.refuses(done, spec) or rollout.paused or not known,
                generation=done.installation["metadata"]["generation"],
            ),
            now=self._now(),
            kept=self._documents(done.revision),
        )
        if done.decision.status != done.before:
            for each in announcements.of_rollout(done.before, done.decision.status):
                await self._said.announce(done.installation, each)
            await self._report(done)
        work: list[Coroutine[Any, Any, None]] = []
        there = self._states.all()
        for name, told in done.decision.told.items():
            # Removed while the pass was under way, it would be made anew for nobody.
            if name in self._view.nodes.store:
                adopted = self._adopter.keeps_from(name, spec)
                desired = nodestates.desired(self._view.nodes.store[name], told, adopted=adopted)
                work.append(self._states.ensure(desired))
        # Before their NodeStates go, by which alone it is known that they have something of ours.
        lost = reading.abandoned(there, self._view.nodes.store, served=done.decision.told)
        if lost:
            _LOG.warning("Not selected any more, and not cleaned: %s", ", ".join(sorted(lost)))
            await self._said.announce(done.installation, announcements.abandoned(lost))
        work += [
            self._states.remove(name)
            for name, state in there.items()
            if name not in done.decision.told and reading.is_ours(state)
        ]
        await nodes.everything(work)

    def _documents(self, revision: str) -> set[str]:
        return {revision, *(str(item["metadata"]["name"]) for item in self._view.revisions.store.values())}

    async def _prune(self, done: Pass, newest: str) -> None:
        found = list(self._view.revisions.store.values())
        found.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True)
        names = [str(item["metadata"]["name"]) for item in found]
        wanted = {done.revision, newest, *reading.revisions_in_use(self._states.all())}
        status = done.decision.status if done.decision else done.before
        if status and status.last_good:
            wanted.add(status.last_good)
        gone = set(revisions.superfluous(names, wanted=wanted, newest_first=names))
        await self._managed.prune(resources.CONFIG_MAPS, found, wanted=set(names) - gone)
        # Those of plugin sets went with what is desired of them.
        others = [item for item in self._view.daemon_sets.store.values() if not deliveries.is_delivery(item)]
        await self._managed.prune(resources.DAEMON_SETS, others, wanted=[daemonsets.NAME])

    async def _untaint(self, found: Iterable[standings.Node]) -> None:
        """Lift the startup taint of nodes that have proven Ready."""
        for node in found:
            if node.good and not node.away and self._view.nodes.store.get(node.name, {}).get("tainted"):
                await self._states.untaint(node.name)

    async def _report(self, done: Pass) -> None:
        found = self._view.daemon_sets.store.get(f"{self._namespace}/{daemonsets.NAME}")
        await self._said.report(
            done,
            agents_ready=reading.agents_ready(found),
            further=self._further(),
            multus=self._adopter.status(),
        )

    def _selected(self, spec: InstallationSpec) -> dict[str, dict[str, Any]]:
        return {
            name: node
            for name, node in self._view.nodes.store.items()
            if nodestates.selected(node, node_selector=spec.node_selector)
        }
