"""Owns what "Ready" means for a node: what keeps it from that, the most important first; does no work itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mooring.agent.loops import Reconciler

Problem = tuple[str, str]
"""A reason in CamelCase, and a message."""


class Readiness:
    """The verdict over reconcilers and tasks.

    `reconcilers` are those that count, in the order in which their problems matter; `foundation` those among them
    without which a new pod does not get its networks; `dead` the tasks that are not running, and why.
    """

    def __init__(
        self, reconcilers: Sequence[Reconciler], *, foundation: Sequence[Reconciler], dead: Mapping[str, str]
    ) -> None:
        self._reconcilers = reconcilers
        self._foundation = foundation
        self._dead = dead

    def problems(self) -> list[Problem]:
        """Return each thing that keeps the node from being Ready."""
        return [*_problems(self._reconcilers), *(("TaskDied", f"{name}: {why}") for name, why in self._dead.items())]

    def foundation(self) -> Problem | None:
        """Return why a pod that is created now would not get its networks; None where it would."""
        return next(iter(_problems(self._foundation)), None)

    def warnings(self) -> list[Problem]:
        """Return what a person should know although pods get their networks."""
        return [(each.reason, each.health.warning) for each in self._reconcilers if each.health.warning]


def _problems(reconcilers: Sequence[Reconciler]) -> list[Problem]:
    found = []
    for each in reconcilers:
        if each.health.problem:
            found.append((each.reason, each.health.problem))
        elif not each.health.settled:
            found.append(("Starting", f"{each.name} is not settled yet"))
    return found
