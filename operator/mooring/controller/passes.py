"""One pass over the Installation: owns what it found out and what went wrong in it, and who owns what it makes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mooring.controller import reading
from mooring.installing.installations import API_VERSION
from mooring.installing.summaries import Problem
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from mooring.installing import rollouts, standings
    from mooring.installing.installations import InstallationSpec, RolloutStatus


@dataclasses.dataclass(slots=True)
class Pass:
    """What one pass found out and what went wrong in it."""

    installation: dict[str, Any]
    spec: InstallationSpec | None
    revision: str = ""
    nodes: list[standings.Node] = dataclasses.field(default_factory=list)
    decision: rollouts.Decision | None = None
    removing: str = ""
    problems: list[Problem] = dataclasses.field(default_factory=list)
    failures: list[errors.ApiError] = dataclasses.field(default_factory=list)

    def report(self, error: errors.ApiError, reason: str, what: str) -> None:
        """Keep an error, and say in the conditions what it kept from being done."""
        self.failures.append(error)
        if not isinstance(error, errors.Conflict):  # somebody was faster; the next pass sees what they did
            self.problems.append(Problem(reason, f"{what}: {error.message}."))

    @property
    def before(self) -> RolloutStatus | None:
        """What was persisted of the roll-out."""
        return reading.rollout(self.installation)


def owner(installation: dict[str, Any]) -> dict[str, Any]:
    """Return the ownerReference to the Installation."""
    return {
        "apiVersion": API_VERSION,
        "kind": resources.INSTALLATIONS.kind,
        "name": installation["metadata"]["name"],
        "uid": installation["metadata"]["uid"],
        "controller": True,
    }
