"""The budgets of the design, and whether a number is within them. Refuses to fail anything."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """The most that something may be, in a unit."""

    most: float
    unit: str

    def verdict(self, value: float, *, middle: tuple[float, float] | None = None) -> str:
        """Say in words whether a value is within the budget.

        `middle` is between what the middle half of the measurements is; where the budget is in
        there, the machine was too noisy for an answer, and the words say so.
        """
        side = "within" if value <= self.most else "above"
        unsure = ", unsure" if middle is not None and middle[0] <= self.most < middle[1] else ""
        return f"{side} budget ({self.most:g} {self.unit}){unsure}"


VERSION = Budget(1.15, "x bridge")
BINARY = Budget(9.0, "MB")
CALLS = Budget(0, "API calls")
FETCHES = Budget(1, "GET")
MEMORY = Budget(64, "MiB")
AGENT_MEMORY = Budget(72, "MiB")
AGENT_CPU = Budget(0.5, "% of a core")
OPERATOR_MEMORY = Budget(150, "MiB")
OPERATOR_WRITES = Budget(0, "writes")
OPERATOR_LISTS = Budget(0, "lists")
AGENT_WRITES = Budget(0, "writes a minute")

_ADD = {1: Budget(3.0, "ms"), 4: Budget(4.0, "ms")}
_DEL = {1: Budget(3.0, "ms"), 4: Budget(3.5, "ms")}


def overhead(verb: str, networks: int) -> Budget | None:
    """Return the budget of a verb above its delegates with this many extra networks, None where there is none."""
    return (_ADD if verb == "ADD" else _DEL).get(networks)
