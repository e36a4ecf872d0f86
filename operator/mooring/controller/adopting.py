"""A Multus that runs in the cluster: owns finding it, taking over its configuration, and keeping it from our nodes.

Its DaemonSets are looked at now and then: they are few, and nothing depends on hearing of them at once. What is written
to them, server-side and in a name of its own, is taken back when nobody asks for the adoption any more. Refuses to
decide anything: that is `mooring.installing.adoptions`; and to touch ConfigMaps, pods or roles of Multus.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from typing import TYPE_CHECKING, Any

import yaml

from mooring.controller import keys, nodes
from mooring.installing import adoptions, imports, multus, nodestates
from mooring.installing.installations import API_VERSION, InstallationSpec, MultusStatus
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from mooring.controller.fencing import Writer
    from mooring.controller.nodes import States
    from mooring.controller.observing import View
    from mooring.controller.passes import Pass
    from mooring.installing.summaries import Problem
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_MOST_NAMED = 5
# For an Installation that cannot be read.
_PATIENCE = 600


class Adopter:
    """Knows the Multus of the cluster, and has its nodes taken over and given back."""

    def __init__(
        self, client: Client, writer: Writer, view: View, states: States, *, now: Callable[[], datetime.datetime]
    ) -> None:
        self._client = client
        self._writer = writer
        self._view = view
        self._states = states
        self._now = now
        self._found: list[adoptions.DaemonSet] | None = None
        self._looked_at: float | None = None
        self._about: tuple[str, int] | None = None
        self._import: imports.Import | None = None

    async def begin(self, done: Pass, spec: InstallationSpec) -> bool:
        """Look, and take over what there is to be taken over; return whether the Installation's spec was changed.

        What fails is a problem of the pass.
        """
        try:
            await self._look(done.installation)
            return await self._take_over(done.installation, spec)
        except errors.ApiError as error:
            done.report(error, "MultusNotTakenOver", "The configuration of Multus was not read or taken over")
            return False

    async def _look(self, installation: dict[str, Any], *, at_once: bool = False) -> None:
        """Find the DaemonSets of Multus, and what their configuration would become.

        Raises:
            errors.ApiError: they cannot be listed; what was known stays known.
        """
        clock, metadata = asyncio.get_running_loop().time(), installation["metadata"]
        # Of another Installation, or another spec, nothing must begin by what was seen before.
        about = (metadata["uid"], metadata["generation"])
        recent = self._looked_at is not None and clock - self._looked_at < _LOOK_SECONDS
        if recent and self._about == about and not at_once:
            return
        found = adoptions.find((await self._client.list(resources.DAEMON_SETS))["items"])
        self._import = None
        if len(found) == 1:
            read = imports.read(found[0], await config_maps(self._client, found[0]))
            defaults, written = InstallationSpec().to_wire(), adoptions.written(installation)
            self._import = imports.besides(read, installation.get("spec") or {}, defaults, written)
        self._found, self._looked_at, self._about = found, clock, about

    async def _take_over(self, installation: dict[str, Any], spec: InstallationSpec) -> bool:
        """Write what its configuration becomes into the Installation's spec, once; return whether that was done now.

        Raises:
            errors.ApiError: it could not be written.
        """
        if spec.adopt != "Multus" or not self._import or self._is_imported(installation):
            return False
        if self._obstacles(installation):
            return False
        metadata, (found,) = installation["metadata"], self._found or []
        body = {
            "apiVersion": API_VERSION,
            "kind": resources.INSTALLATIONS.kind,
            "metadata": {
                "name": keys.INSTALLATION_NAME,
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {adoptions.IMPORTED: found.key},
            },
            "spec": self._import.spec,
        }
        await self._writer.apply(resources.INSTALLATIONS, body, field_manager=adoptions.FIELD_MANAGER)
        _LOG.info("Took over the configuration of %s: %s", found.key, self._import.spec or "nothing but defaults")
        return True

    def refuses(self, done: Pass, spec: InstallationSpec) -> bool:
        """Say whether no node may change now; why, is a problem of the pass."""
        if self._found is None:
            return not self._serves(done)
        if not self._found:
            return False
        if spec.adopt != "Multus":
            done.problems.append(adoptions.contested(self._found, served=self._serves(done)))
            return not self._serves(done)
        obstacles = self._obstacles(done.installation)
        done.problems += obstacles
        return bool(obstacles) or not self._is_imported(done.installation)

    def keeps_from(self, node: str, spec: InstallationSpec) -> bool:
        """Say whether Multus is kept from a node, and stays so."""
        return spec.adopt == "Multus" and multus.ADOPTED in self._labels(node)

    async def switch(self, done: Pass, spec: InstallationSpec) -> None:
        """Keep Multus from the nodes that work with us, or give all back.

        Raises:
            errors.ApiError: something could not be written.
        """
        if spec.adopt != "Multus":
            await self._give_back(unasked=[node.name for node in done.nodes if node.away])
            return
        if self._found is None or self._obstacles(done.installation):
            return
        ready = adoptions.switched(
            done.nodes, {node.name: self._labels(node.name) for node in done.nodes}, revision=done.revision
        )
        begun = self._is_begun()
        if not ready and not begun:
            return
        for each in self._found:
            if not each.excluded or (each.ours and not each.on_delete):
                if begun:
                    done.problems.append(adoptions.undone(each))
                await self._writer.apply(
                    resources.DAEMON_SETS, adoptions.exclusion(each), field_manager=adoptions.FIELD_MANAGER
                )
                _LOG.info("DaemonSet %s stays away from nodes with the label %s", each.key, multus.ADOPTED)
                self._looked_at = None
        await nodes.everything(self._label(name, "multus") for name in ready)

    async def leave(self, installation: dict[str, Any], spec: InstallationSpec | None) -> str:
        """At an uninstall, have Multus back on its nodes before ours goes; return what is waited for, "" at the end.

        Raises:
            errors.ApiError: something could not be read or written.
        """
        ours = {name: state for name, state in self._states.ours().items() if name in self._view.nodes.store}
        began = datetime.datetime.fromisoformat(installation["metadata"]["deletionTimestamp"])
        patience = spec.rollout.progress_deadline_seconds if spec else _PATIENCE
        waited = self._now() - began >= datetime.timedelta(seconds=patience)
        if not self._is_imported(installation) and not self._is_begun():
            return ""  # it was never asked for, and the right to look may not be given
        try:
            await self._look(installation, at_once=True)
        except errors.ApiError as error:
            if not waited:
                raise
            # Without the label the rule in its DaemonSet keeps it from no node.
            _LOG.warning("What is ours in Multus' DaemonSet stays there, the uninstall goes on: %s", error)
            self._found = None
        for name, state in ours.items():
            told = nodestates.told(state.get("spec") or {})
            if (state.get("spec") or {}).get("adopted"):
                await self._states.ensure(nodestates.desired(self._view.nodes.store[name], told))
        waits = await self._give_back(unasked=ours if waited else ())
        if waits or waited or not self._is_imported(installation):
            return waits
        lacking = [
            name
            for name, state in ours.items()
            if not ((state.get("status") or {}).get("multus") or {}).get("confs")
            and (state.get("status") or {}).get("revision")
            and any(self._runs_on(name, each) for each in self._found or [])
        ]
        if lacking:
            return f"Waiting for Multus to write its conf again: {_named(lacking)}."
        late = [each.key for each in self._found or [] if not each.ready]
        return f"Waiting for the pods of Multus: {_named(late)}." if late else ""

    def status(self) -> MultusStatus | None:
        """Return what is known of Multus for the Installation's status; None where there is nothing."""
        adopted = sum(1 for name in self._view.nodes.store if multus.ADOPTED in self._labels(name))
        found = self._found or []
        if not found and not adopted:
            return None
        read = self._import
        return MultusStatus(
            daemon_sets=[each.key for each in found],
            form=found[0].form if found else None,
            nodes=sum(each.nodes for each in found),
            adopted=adopted,
            imports=yaml.safe_dump(read.spec, sort_keys=True) if read and read.spec else None,
            findings=[f"{each.key}: {each.message}"[:1024] for each in read.findings[:50]] if read else [],
        )

    def _obstacles(self, installation: Mapping[str, Any]) -> list[Problem]:
        # What was taken over is the spec's; what becomes of its configuration afterwards is of no interest.
        open_ones = self._import is not None and not self._is_imported(installation)
        return adoptions.obstacles(self._found or [], self._import.findings if self._import and open_ones else ())

    @staticmethod
    def _is_imported(installation: Mapping[str, Any]) -> bool:
        return adoptions.IMPORTED in (installation["metadata"].get("annotations") or {})

    @staticmethod
    def _serves(done: Pass) -> bool:
        return any(node.assigned for node in done.nodes)

    def _is_begun(self) -> bool:
        """Whether a node is adopted, or told to be, or a DaemonSet of Multus is changed."""
        return (
            any(multus.ADOPTED in self._labels(name) for name in self._view.nodes.store)
            or any((state.get("spec") or {}).get("adopted") for state in self._states.all().values())
            or any(each.ours for each in self._found or [])
        )

    def _labels(self, node: str) -> Mapping[str, str]:
        return (self._view.nodes.store.get(node) or {"metadata": {}})["metadata"].get("labels") or {}

    def _runs_on(self, node: str, daemon_set: adoptions.DaemonSet) -> bool:
        wanted = daemon_set.item["spec"]["template"]["spec"].get("nodeSelector") or {}
        return all(self._labels(node).get(key) == value for key, value in wanted.items())

    async def _give_back(self, *, unasked: Container[str] = ()) -> str:
        """Take back what keeps Multus away, once every agent but those that are `unasked` knows that its conf stays."""
        states = self._states.all()
        deaf = [
            name
            for name in self._view.nodes.store
            if multus.ADOPTED in self._labels(name)
            and name in states
            and name not in unasked
            and not _heard(states[name])
        ]
        if deaf:
            return f"Waiting for the agents before Multus comes back: {_named(deaf)}."
        for each in self._found or []:
            if each.ours:
                await self._writer.apply(
                    resources.DAEMON_SETS, adoptions.release(each), field_manager=adoptions.FIELD_MANAGER
                )
                _LOG.info("DaemonSet %s is as it was: it runs on all of its nodes again", each.key)
                self._looked_at = None
        await nodes.everything(
            self._label(name, None) for name in list(self._view.nodes.store) if multus.ADOPTED in self._labels(name)
        )
        return ""

    async def _label(self, node: str, value: str | None) -> None:
        try:
            patch = {"metadata": {"labels": {multus.ADOPTED: value}}}
            await self._writer.patch(resources.NODES, node, patch, field_manager=keys.FIELD_MANAGER)
        except errors.NotFound:
            return  # it went with its node
        _LOG.info("Multus %s node %s", "is kept from" if value else "may run on", node)


async def config_maps(client: Client, daemon_set: adoptions.DaemonSet) -> dict[str, Mapping[str, str] | None]:
    """Return the data of the ConfigMaps that its pods mount; None of one that is not there, or may not be read.

    Raises:
        errors.ApiError: for any other reason.
    """
    found: dict[str, Mapping[str, str] | None] = {}
    for name in imports.config_maps(daemon_set):
        try:
            item = await client.get(resources.CONFIG_MAPS, name, namespace=daemon_set.namespace)
            found[name] = item.get("data") or {}
        except (errors.NotFound, errors.Forbidden):
            found[name] = None
    return found


def _heard(state: Mapping[str, Any]) -> bool:
    if (state.get("spec") or {}).get("adopted"):
        return False
    observed = (state.get("status") or {}).get("observedGeneration")
    return observed is None or observed >= state["metadata"].get("generation", 0)


def _named(names: Iterable[str]) -> str:
    some: Sequence[str] = sorted(names)
    return ", ".join(some[:_MOST_NAMED]) + (f" and {len(some) - _MOST_NAMED} more" if len(some) > _MOST_NAMED else "")
