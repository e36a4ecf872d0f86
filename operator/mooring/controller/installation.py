"""The Installation: owns that revision, DaemonSet and NodeStates are what it says, and that its status says so.

One pass compares everything and repairs what differs; what fails is told in the conditions and tried again. Refuses
to take anything off a node: without an Installation the nodes go on with what they have.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
from typing import TYPE_CHECKING, Any

import pydantic

from mooring.controller import delivering, keys, reading
from mooring.installing import daemonsets, deliveries, nodestates, revisions, rollouts, summaries
from mooring.installing.installations import API_VERSION, InstallationSpec
from mooring.installing.summaries import Problem
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from mooring.controller.image import Image
    from mooring.controller.observing import View
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

# What was changed behind our back without a word to the watches is found this often, in seconds.
_EVERY = 120.0
_PARALLEL = 8


@dataclasses.dataclass(slots=True)
class _Pass:
    """What one pass found out and what went wrong in it."""

    revision: str = ""
    soak: rollouts.Soak | None = None
    problems: list[Problem] = dataclasses.field(default_factory=list)
    failures: list[errors.ApiError] = dataclasses.field(default_factory=list)

    def report(self, error: errors.ApiError, reason: str, what: str) -> None:
        self.failures.append(error)
        self.problems.append(Problem(reason, f"{what}: {error.message}."))


class Reconciler:
    """Makes the cluster what the Installation says; only the leader runs it.

    `further()` returns what is wrong elsewhere in the operator, for the conditions.
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
    ) -> None:
        self._client = client
        self._view = view
        self._namespace = namespace
        self._image = image
        self._further = further
        self._now = now

    async def reconcile(self) -> float | None:
        """Compare and repair once; return the seconds until the next look.

        Raises:
            errors.ApiError: something could not be written; the conditions say so where they could be.
        """
        installation = await self._get()
        if installation is None:
            await self._withdraw()
            return _EVERY
        try:
            spec = InstallationSpec.model_validate(installation.get("spec") or {})
        except pydantic.ValidationError as error:
            await self._report_invalid(installation, error)
            return _EVERY
        done = _Pass()
        await self._apply(installation, spec, done)
        await self._report(installation, self._selected(spec), done)
        if done.failures:
            raise done.failures[0]
        watching = done.soak is not None and not done.soak.over
        return min(_EVERY, max(1.0, spec.rollout.canary.soak_seconds / 10)) if watching else _EVERY

    async def _get(self) -> dict[str, Any] | None:
        try:
            found = await self._client.get(resources.INSTALLATIONS, keys.INSTALLATION_NAME)
        except errors.NotFound:
            return None
        return None if found["metadata"].get("deletionTimestamp") else found

    async def _withdraw(self) -> None:
        """Remove what the Installation does not own: NodeStates belong to their Nodes. The rest goes with it."""
        ours = [name for name, state in self._view.node_states.store.items() if reading.is_ours(state)]
        await self._all(self._remove_state(name) for name in ours)

    async def _apply(self, installation: dict[str, Any], spec: InstallationSpec, done: _Pass) -> None:
        """Write what differs; what fails is reported and does not stop the rest."""
        try:
            image = await self._image.get()
        except errors.ApiError as error:
            done.revision = str((installation.get("status") or {}).get("revision") or "")
            done.report(error, "ImageUnknown", "The operator cannot read its own pod")
            return
        owner = _owner(installation)
        content = revisions.document(spec, image=image)
        done.revision = revisions.name(content)
        nodes = self._selected(spec)
        done.soak = self._soak(installation, spec, nodes, done.revision)
        config_map = revisions.config_map(content, namespace=self._namespace, owner=owner)
        daemon_set = daemonsets.daemon_set(spec, namespace=self._namespace, image=image, owner=owner)
        for work, reason, what in (
            (self._ensure(config_map), "RevisionNotWritten", f"ConfigMap {done.revision} was not written"),
            (
                self._apply_daemon_set(daemon_set),
                "DaemonSetNotApplied",
                f"DaemonSet {daemonsets.NAME} was not applied",
            ),
            (
                self._apply_deliveries(spec, content, nodes, image=image, owner=owner),
                "PluginSetsNotApplied",
                "DaemonSets of plugin sets were not applied",
            ),
            (self._apply_states(spec, nodes, done), "NodeStatesNotApplied", "NodeStates were not applied"),
            (self._prune(done.revision), "RevisionsNotPruned", "Old revisions were not removed"),
        ):
            try:
                await work
            except errors.ApiError as error:
                done.report(error, reason, what)

    def _soak(
        self, installation: dict[str, Any], spec: InstallationSpec, nodes: Iterable[str], revision: str
    ) -> rollouts.Soak:
        before = (installation.get("status") or {}).get("rollout") or {}
        since = before.get("canariesSince") if before.get("revision") == revision else None
        return rollouts.soak(
            reading.nodes(nodes, self._view.node_states.store),
            revision=revision,
            canaries=spec.rollout.canary.nodes,
            seconds=spec.rollout.canary.soak_seconds,
            since=datetime.datetime.fromisoformat(since) if since else None,
            now=self._now(),
        )

    async def _apply_daemon_set(self, daemon_set: dict[str, Any]) -> None:
        await self._client.apply(resources.DAEMON_SETS, daemon_set, field_manager=keys.FIELD_MANAGER)

    async def _apply_deliveries(
        self,
        spec: InstallationSpec,
        content: str,
        nodes: dict[str, dict[str, Any]],
        *,
        image: str,
        owner: dict[str, Any],
    ) -> None:
        """Keep what brings the plugin sets of all revisions in use to the nodes; those of no revision go."""
        others = (
            self._view.revisions.store.get(f"{self._namespace}/{name}") or {}
            for name in sorted(reading.revisions_in_use(self._view.node_states.store))
        )
        desired = deliveries.daemon_sets(
            spec,
            [content, *(str((each.get("data") or {}).get(revisions.KEY)) for each in others)],
            namespace=self._namespace,
            image=image,
            owner=owner,
            mount_images=deliveries.image_volumes(node["status"]["nodeInfo"] for node in nodes.values()),
            draining=reading.draining(self._view.node_states.store),
        )
        await delivering.apply(self._client, self._view.deliveries.store, desired, namespace=self._namespace)

    async def _ensure(self, config_map: dict[str, Any]) -> None:
        name = config_map["metadata"]["name"]
        found = self._view.revisions.store.get(f"{self._namespace}/{name}")
        if found is not None and found.get("data") == config_map["data"] and found.get("immutable") is True:
            return
        if found is not None:
            # The name is the content's checksum: one with other content is nobody's honest work.
            await self._client.delete(resources.CONFIG_MAPS, name, namespace=self._namespace)
        await self._client.apply(resources.CONFIG_MAPS, config_map, field_manager=keys.FIELD_MANAGER)

    async def _apply_states(self, spec: InstallationSpec, nodes: dict[str, dict[str, Any]], done: _Pass) -> None:
        assigned = rollouts.assign(
            reading.nodes(nodes, self._view.node_states.store),
            revision=done.revision,
            max_unavailable=spec.rollout.max_unavailable,
            paused=spec.rollout.paused,
            most=spec.rollout.canary.nodes if done.soak and not done.soak.over else None,
        )
        work: list[Coroutine[Any, Any, None]] = []
        for name, node in nodes.items():
            desired = nodestates.desired(node, revision=assigned[name])
            found = self._view.node_states.store.get(name)
            if found is None or reading.differs(found, desired):
                work.append(self._apply_state(desired))
        for name, state in self._view.node_states.store.items():
            if name not in nodes and reading.is_ours(state):
                work.append(self._remove_state(name))
        await self._all(work)

    async def _apply_state(self, desired: dict[str, Any]) -> None:
        await self._client.apply(resources.NODE_STATES, desired, field_manager=keys.FIELD_MANAGER)

    async def _remove_state(self, name: str) -> None:
        # Where its Node went, it went with it.
        with contextlib.suppress(errors.NotFound):
            await self._client.delete(resources.NODE_STATES, name)

    async def _prune(self, revision: str) -> None:
        found = list(self._view.revisions.store.values())
        found.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True)
        names = [str(item["metadata"]["name"]) for item in found]
        wanted = {revision, *reading.revisions_in_use(self._view.node_states.store)}
        for name in revisions.superfluous(names, wanted=wanted, newest_first=names):
            with contextlib.suppress(errors.NotFound):
                await self._client.delete(resources.CONFIG_MAPS, name, namespace=self._namespace)
            _LOG.info("Removed %s, which no node uses", name)

    async def _report(self, installation: dict[str, Any], nodes: Iterable[str], done: _Pass) -> None:
        states = self._view.node_states.store
        names = list(nodes)
        picture = summaries.Picture(
            revision=done.revision,
            nodes=reading.nodes(names, states),
            trouble=reading.trouble(names, states),
            agents_ready=reading.agents_ready(self._view.daemon_sets.store.get(f"{self._namespace}/{daemonsets.NAME}")),
            problems=[*done.problems, *self._further()],
            soak=done.soak,
        )
        await self._write_status(installation, picture)

    async def _report_invalid(self, installation: dict[str, Any], error: pydantic.ValidationError) -> None:
        wrong = "; ".join(
            f"spec.{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()
        )
        _LOG.warning("The Installation cannot be used: %s", wrong)
        done = _Pass(revision=str((installation.get("status") or {}).get("revision") or ""))
        done.problems.append(Problem("InvalidSpec", f"{wrong}. The nodes go on with what they have."))
        served = [name for name, state in self._view.node_states.store.items() if reading.is_ours(state)]
        await self._report(installation, served, done)

    async def _write_status(self, installation: dict[str, Any], picture: summaries.Picture) -> None:
        before = installation.get("status") or {}
        status = summaries.summarise(
            picture,
            before=before.get("conditions") or [],
            generation=installation["metadata"]["generation"],
            now=self._now(),
        ).to_wire()
        if status == before:
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": resources.INSTALLATIONS.kind,
            "metadata": {"name": keys.INSTALLATION_NAME, "uid": installation["metadata"]["uid"]},
            "status": status,
        }
        await self._client.apply(resources.INSTALLATIONS, body, field_manager=keys.FIELD_MANAGER, subresource="status")

    def _selected(self, spec: InstallationSpec) -> dict[str, dict[str, Any]]:
        return {
            name: node
            for name, node in self._view.nodes.store.items()
            if nodestates.selected(node, node_selector=spec.node_selector)
        }

    async def _all(self, work: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Run everything, a few at a time, to its end; then raise the first error."""
        slots = asyncio.Semaphore(_PARALLEL)

        async def one(each: Coroutine[Any, Any, None]) -> errors.ApiError | None:
            async with slots:
                try:
                    await each
                except errors.ApiError as error:
                    return error
                return None

        for error in await asyncio.gather(*(one(each) for each in work)):
            if error is not None:
                raise error


def _owner(installation: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": resources.INSTALLATIONS.kind,
        "name": installation["metadata"]["name"],
        "uid": installation["metadata"]["uid"],
        "controller": True,
    }
