"""Owns what wakes whom: a table of what happens on a node, and of the reconcilers whose work it concerns.

A trigger carries nothing: a woken reconciler compares what is with what should be, whatever it was that happened.
Refuses to know how anything is found out, and to wake a reconciler that does not exist.
"""

from __future__ import annotations

import enum
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mooring.agent.loops import Reconciler


class Trigger(enum.Enum):
    """Something that happens on a node; the value says it in words."""

    REVISION = "the node is to have another revision, or none: it is drained"
    NODE_STATE = "the NodeState changed, or is there now"
    PROGRAMS = "a file in the folder of CNI plugins changed"
    CONFS = "a file in the runtime's folder of confs changed"
    FAILURES = "the plugin wrote down a failed call"
    BINARY_APPLIED = "the plugin of a revision is on the node"
    PLUGIN_SETS_APPLIED = "the plugin sets of a revision are on the node"
    CONF_APPLIED = "the conf of a revision is on the node"
    RUNTIME_IDENTIFIED = "another container runtime, or another version of it, answers"
    FOUNDATION = "what a new pod depends on became right, or wrong"
    HEALTH = "a reconciler became right, or wrong"
    SERVER_MOVED = "the API server has another address or CA"
    NETWORKS = "a NetworkAttachmentDefinition came, changed or went"
    PRIMARY_NETWORK = "the NetworkAttachmentDefinition that is the default network changed"
    SANDBOX = "a journal came, changed or went"
    LACKING_POD = "the sandbox of a pod that lacked its networks changed"


ALL = ("*",)

#: Names of reconcilers, by what they are woken by. Changes that carry a key are handed over in `wiring` besides.
WAKES: Mapping[Trigger, tuple[str, ...]] = {
    Trigger.REVISION: ALL,
    Trigger.NODE_STATE: ("revision", "drain", "conf", "adoption", "inventory"),
    # Any program and any conf: the primary network may wait for one of its own.
    Trigger.PROGRAMS: ("binaries", "pluginsets", "conf", "dhcpdaemon", "survey"),
    Trigger.CONFS: ("conf", "adoption", "runtime", "drain"),
    Trigger.FAILURES: ("failing", "inventory"),
    Trigger.BINARY_APPLIED: ("conf", "inventory"),
    Trigger.PLUGIN_SETS_APPLIED: ("conf", "dhcpdaemon", "inventory"),
    # On the way back to an older renderer the plugin waits for the conf, and so do programs that it no longer names.
    Trigger.CONF_APPLIED: ("binaries", "runtime", "inventory", "pluginsets"),
    Trigger.RUNTIME_IDENTIFIED: ("conf",),
    # What the runtime reads decides what of former paths can go.
    Trigger.FOUNDATION: ("missing", "presence", "paths", "adoption", "inventory"),
    Trigger.HEALTH: ("inventory",),
    Trigger.SERVER_MOVED: ("credentials",),
    Trigger.NETWORKS: ("survey",),
    Trigger.PRIMARY_NETWORK: ("conf",),
    Trigger.SANDBOX: ("slices", "drain", "inventory"),
    Trigger.LACKING_POD: ("missing",),
}


class Triggers:
    """Wakes reconcilers by the table, from the moment on when they are connected."""

    def __init__(self) -> None:
        self._woken: dict[Trigger, tuple[Reconciler, ...]] = {}

    def connect(self, reconcilers: Iterable[Reconciler]) -> None:
        """Take the reconcilers; raises `KeyError` where the table names one that is not among them."""
        named = {each.name: each for each in reconcilers}
        for trigger, names in WAKES.items():
            self._woken[trigger] = tuple(named[name] for name in (named if names == ALL else names))

    def fire(self, trigger: Trigger) -> None:
        """Wake those whom it concerns."""
        for each in self._woken.get(trigger, ()):
            each.wake()

    def on(self, trigger: Trigger) -> Callable[[], None]:
        """Return what a source calls when it happens."""
        return functools.partial(self.fire, trigger)
