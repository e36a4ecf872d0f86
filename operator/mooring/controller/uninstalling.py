"""The uninstall: owns that every node gets back what it had, and that nothing we made stays in the cluster.

First all agents take themselves off their nodes, while everything that they need stays. Then go the agents' pods, and
only after them their NodeStates, slices and revisions: an agent without its NodeState would not know that it is to
leave. Nodes that are away keep what they need, and are finished when they return, also without an Installation.
Refuses to touch networks and their CRD.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
from typing import TYPE_CHECKING, Any

from mooring.controller import nodes, reading
from mooring.installing import daemonsets, nodestates, removals
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mooring.controller.fencing import Writer
    from mooring.controller.nodes import States
    from mooring.controller.observing import View
    from mooring.installing.installations import InstallationSpec
    from mooring.installing.removals import Leaving, Removal
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

_SLICES = "app.kubernetes.io/managed-by=mooring-agent"
_NODE = "mooring.dev/node"
# For an Installation that cannot be read.
_PATIENCE = 600
# Until the next look while something is waited for.
_SOON = 2.0
_EVERY = 120.0


class Uninstaller:
    """Brings the nodes back."""

    def __init__(
        self,
        client: Client,
        writer: Writer,
        view: View,
        states: States,
        *,
        namespace: str,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._client = client
        self._writer = writer
        self._view = view
        self._states = states
        self._namespace = namespace
        self._now = now

    async def begin(self, installation: dict[str, Any], spec: InstallationSpec | None) -> Removal:
        """Ask all nodes to come clean, and return where they stand.

        Raises:
            errors.ApiError: something could not be written.
        """
        # What brings plugin sets to the nodes would bring them again.
        for item in self._view.deliveries.values():
            with contextlib.suppress(errors.NotFound):
                await self._writer.delete(resources.DAEMON_SETS, item["metadata"]["name"], namespace=self._namespace)
        await self._disown()
        await nodes.everything(self._drain(name, state) for name, state in self._states.ours().items())
        begun = datetime.datetime.fromisoformat(installation["metadata"]["deletionTimestamp"])
        patience = spec.rollout.progress_deadline_seconds if spec else _PATIENCE
        waited = self._now() - begun >= datetime.timedelta(seconds=patience)
        return removals.decide(self._leaving(), waited=waited)

    async def end(self, removal: Removal) -> str:
        """Remove what is in the cluster once no node is waited for; return what is waited for then, "" at the end.

        Raises:
            errors.ApiError: something could not be written.
        """
        ending = await self._clear(removal)
        if not ending:
            _LOG.info("Uninstalled: %s", removal.sentence)
        return ending

    async def finish(self) -> float:
        """Without an Installation: clear up behind nodes that were away; return the seconds until the next look.

        Raises:
            errors.ApiError: something could not be written.
        """
        ours = self._states.ours()
        for name, state in ours.items():
            # Somebody took the Installation away by force: its agents are gone, and it asks nothing of its nodes.
            if not (state.get("spec") or {}).get("drain"):
                await self._states.remove(name)
        left = [each for each in self._leaving() if ours[each.name].get("spec", {}).get("drain")]
        found = self._view.daemon_sets.store.get(self._daemon_set)
        if not left and (found is None or removals.LEAVING not in (found["metadata"].get("labels") or {})):
            return _EVERY
        # Here nobody is waited for: who is not clean is left to itself until it is.
        clean = tuple(each.name for each in left if each.clean)
        others = tuple(each.name for each in left if not each.clean)
        ending = await self._clear(removals.Removal(clean, {}, others))
        return _SOON if ending else _EVERY

    @property
    def _daemon_set(self) -> str:
        return f"{self._namespace}/{daemonsets.NAME}"

    def _leaving(self) -> list[Leaving]:
        ours = self._states.ours()
        selected = {name: self._view.nodes.store.get(name) or {"metadata": {"name": name}} for name in ours}
        seen = reading.nodes(selected, ours, self._view.agents, now=self._now())
        return [removals.leaving(node.name, ours[node.name], away=node.away) for node in seen]

    async def _disown(self) -> None:
        """Keep the garbage collector from revisions that agents still read (`kubectl delete --cascade=foreground`)."""
        for item in list(self._view.revisions.store.values()):
            if item["metadata"].get("ownerReferences"):
                with contextlib.suppress(errors.NotFound):
                    await self._writer.patch(
                        resources.CONFIG_MAPS,
                        item["metadata"]["name"],
                        {"metadata": {"ownerReferences": None}},
                        namespace=self._namespace,
                    )

    async def _drain(self, name: str, state: Mapping[str, Any]) -> None:
        if (state.get("spec") or {}).get("drain") or name not in self._view.nodes.store:
            return
        told = nodestates.told(state.get("spec") or {})
        await self._states.ensure(nodestates.desired(self._view.nodes.store[name], told, drain=True))

    async def _clear(self, removal: Removal) -> str:
        """Remove what clean nodes do not need any more; return what is waited for, "" where all is gone."""
        found = self._view.daemon_sets.store.get(self._daemon_set)
        with contextlib.suppress(errors.NotFound):
            if found is not None and not removal.left:
                await self._writer.delete(
                    resources.DAEMON_SETS, daemonsets.NAME, namespace=self._namespace, propagation="Background"
                )
            elif found is not None and _differs(found, removals.narrowed(removal.left)):
                patch = removals.narrowed(removal.left)
                await self._writer.patch(resources.DAEMON_SETS, daemonsets.NAME, patch, namespace=self._namespace)
        staying = sorted(set(self._view.agents) - set(removal.left))
        if staying or (found is not None and not removal.left):
            return f"Waiting for the agents' pods to end: {', '.join(staying) or daemonsets.NAME}."
        await self._remove_slices(removal.left)
        kept = set()
        for name, state in self._states.ours().items():
            if name in removal.left:
                kept |= {(state.get("spec") or {}).get("revision"), (state.get("status") or {}).get("revision")}
            else:
                await self._states.remove(name)
        for item in list(self._view.revisions.store.values()):
            if item["metadata"]["name"] not in kept:
                with contextlib.suppress(errors.NotFound):
                    await self._writer.delete(
                        resources.CONFIG_MAPS, item["metadata"]["name"], namespace=self._namespace
                    )
        return ""

    async def _remove_slices(self, left: Iterable[str]) -> None:
        keep = set(left)
        for item in (await self._client.list(resources.ATTACHMENT_SLICES, label_selector=_SLICES))["items"]:
            if item.get("nodeName") not in keep:
                with contextlib.suppress(errors.NotFound):
                    await self._writer.delete(resources.ATTACHMENT_SLICES, item["metadata"]["name"])


def _differs(found: Mapping[str, Any], patch: dict[str, Any]) -> bool:
    there = found["spec"]["template"]["spec"].get("affinity")
    return bool(
        there != patch["spec"]["template"]["spec"]["affinity"]
        or removals.LEAVING not in (found["metadata"].get("labels") or {})
    )
