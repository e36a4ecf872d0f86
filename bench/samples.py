"""Numbers made of repeated measurements. Owns which: medians, extremes, paired differences.
Refuses means: one disturbed round would speak for all."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """Median, quartiles and extremes of a row of measurements, in the unit of what was measured.

    Half of the measurements are between `lower` and `upper`.
    """

    median: float
    lower: float
    upper: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise at least one value; ValueError where there is none."""
        if not values:
            raise ValueError("nothing was measured")
        lower, median, upper = (
            statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        )
        return cls(median, lower, upper, min(values), max(values), len(values))


def above(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return what each value is above the base of the same round.

    Two measurements of one round stand beside each other in time: what slows the machine for a
    while slows both, and the difference is free of it. ValueError where the rounds differ in number.
    """
    return [value - under for value, under in zip(values, base, strict=True)]


def least_above(values: Sequence[float], base: Sequence[float]) -> float:
    """Return what the least value is above the least base: the difference where nothing disturbed either.

    ValueError where either has no value.
    """
    return Summary.of(values).least - Summary.of(base).least


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return median to median. ValueError where either has no value, or the base is 0."""
    under = Summary.of(base).median
    if under == 0:
        raise ValueError("nothing can be compared with 0")
    return Summary.of(values).median / under
