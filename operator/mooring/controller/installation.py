"""The Installation: owns that revision, DaemonSet and NodeStates are what it says, and that its status says so.

One pass compares everything and repairs what differs; what fails is told in the conditions and tried again. Refuses
to take anything off a node: without an Installation the nodes go on with what they have.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pydantic

from mooring.controller import keys, reading
from mooring.installing import daemonsets, nodestates, revisions, rollouts, summaries
from mooring.installing.installations import API_VERSION, InstallationSpec
from mooring.installing.summaries import Problem
from mooring.kube import errors, resources

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Coroutine, Iterable

    from mooring.controller.image import Image
    from mooring.controller.observing import View
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

# What was changed behind our back without a word to the watches is found this often, in seconds.
_EVERY = 120.0
_PARALLEL = 8


class Reconciler:
    """Makes the cluster what the Installation says.

    `adopt(spec)` is called with what the Installation says, None where there is none, at each pass.
    """

    def __init__(
        self,
        client: Client,
        view: View,
        *,
        namespace: str,
        image: Image,
        adopt: Callable[[InstallationSpec | None], None],
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._client = client
        self._view = view
        self._namespace = namespace
        self._image = image
        self._adopt = adopt
        self._now = now

    async def reconcile(self, *, writing: bool) -> float | None:
        """Compare and repair once; return the seconds until the next look.

        Without `writing` (another replica leads) the Installation is only read, for what it says of admission.

        Raises:
            errors.ApiError: something could not be written; the conditions say so where they could be.
        """
        installation = await self._get()
        if installation is None:
            self._adopt(None)
            if writing:
                await self._withdraw()
            return _EVERY
        try:
            spec = InstallationSpec.model_validate(installation.get("spec") or {})
        except pydantic.ValidationError as error:
            if writing:
                await self._tell_invalid(installation, error)
            return _EVERY
        self._adopt(spec)
        if not writing:
            return _EVERY
        problems: list[Problem] = []
        failures: list[errors.ApiError] = []
        revision = await self._apply(installation, spec, problems, failures)
        await self._tell(installation, spec, revision=revision, problems=problems)
        if failures:
            raise failures[0]
        return _EVERY

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

    async def _apply(
        self,
        installation: dict[str, Any],
        spec: InstallationSpec,
        problems: list[Problem],
        failures: list[errors.ApiError],
    ) -> str:
        """Write what differs and return the revision; what fails is noted and does not stop the rest."""

        async def attempt(reason: str, what: str, work: Coroutine[Any, Any, None]) -> None:
            try:
                await work
            except errors.ApiError as error:
                failures.append(error)
                problems.append(Problem(reason, f"{what}: {error.message}."))

        try:
            image = await self._image.get()
        except errors.ApiError as error:
            failures.append(error)
            problems.append(Problem("ImageUnknown", f"The operator cannot read its own pod: {error.message}."))
            return str((installation.get("status") or {}).get("revision") or "")
        owner = _owner(installation)
        content = revisions.document(spec, image=image)
        revision = revisions.name(content)
        config_map = revisions.config_map(content, namespace=self._namespace, owner=owner)
        await attempt("RevisionNotWritten", f"ConfigMap {revision} was not written", self._ensure(config_map))
        daemon_set = daemonsets.daemon_set(spec, namespace=self._namespace, image=image, owner=owner)
        await attempt(
            "DaemonSetNotApplied",
            f"DaemonSet {daemonsets.NAME} was not applied",
            self._apply_daemon_set(daemon_set),
        )
        await attempt("NodeStatesNotApplied", "NodeStates were not applied", self._apply_states(spec, revision))
        await attempt("RevisionsNotPruned", "Old revisions were not removed", self._prune(revision))
        return revision

    async def _apply_daemon_set(self, daemon_set: dict[str, Any]) -> None:
        await self._client.apply(resources.DAEMON_SETS, daemon_set, field_manager=keys.FIELD_MANAGER)

    async def _ensure(self, config_map: dict[str, Any]) -> None:
        name = config_map["metadata"]["name"]
        found = self._view.revisions.store.get(f"{self._namespace}/{name}")
        if found is not None and found.get("data") == config_map["data"] and found.get("immutable") is True:
            return
        if found is not None:
            # The name is the content's checksum: one with other content is nobody's honest work.
            await self._client.delete(resources.CONFIG_MAPS, name, namespace=self._namespace)
        await self._client.apply(resources.CONFIG_MAPS, config_map, field_manager=keys.FIELD_MANAGER)

    async def _apply_states(self, spec: InstallationSpec, revision: str) -> None:
        nodes = self._selected(spec)
        assigned = rollouts.assign(
            reading.nodes(nodes, self._view.node_states.store),
            revision=revision,
            max_unavailable=spec.rollout.max_unavailable,
            paused=spec.rollout.paused,
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

    async def _tell(
        self, installation: dict[str, Any], spec: InstallationSpec, *, revision: str, problems: list[Problem]
    ) -> None:
        picture = self._picture(self._selected(spec), revision=revision, problems=problems)
        await self._write_status(installation, picture)

    def _picture(self, nodes: Iterable[str], *, revision: str, problems: list[Problem]) -> summaries.Picture:
        states = self._view.node_states.store
        names = list(nodes)
        return summaries.Picture(
            revision=revision,
            nodes=reading.nodes(names, states),
            trouble=reading.trouble(names, states),
            agents_ready=reading.agents_ready(self._view.daemon_sets.store.get(f"{self._namespace}/{daemonsets.NAME}")),
            problems=problems,
        )

    async def _tell_invalid(self, installation: dict[str, Any], error: pydantic.ValidationError) -> None:
        wrong = "; ".join(
            f"spec.{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()
        )
        _LOG.warning("The Installation cannot be used: %s", wrong)
        problem = Problem("InvalidSpec", f"{wrong}. The nodes go on with what they have.")
        revision = str((installation.get("status") or {}).get("revision") or "")
        served = [name for name, state in self._view.node_states.store.items() if reading.is_ours(state)]
        await self._write_status(installation, self._picture(served, revision=revision, problems=[problem]))

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
