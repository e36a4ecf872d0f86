"""Medians and differences of repeated measurements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import samples

durations = st.floats(min_value=0.001, max_value=1000)


def test_a_disturbed_round_does_not_move_the_median() -> None:
    summary = samples.Summary.of([3.0, 1.0, 500.0, 2.0, 2.5])
    assert (summary.median, summary.least, summary.most, summary.count) == (2.5, 1.0, 500.0, 5)


def test_half_of_the_measurements_are_between_the_quartiles() -> None:
    summary = samples.Summary.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (summary.lower, summary.median, summary.upper) == (2.0, 3.0, 4.0)


def test_one_measurement_is_all_there_is() -> None:
    assert samples.Summary.of([7.0]) == samples.Summary(7.0, 7.0, 7.0, 7.0, 7.0, 1)


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        samples.Summary.of([])


@given(st.lists(st.tuples(durations, durations), min_size=1))
def test_what_slows_both_of_a_round_is_not_in_their_difference(rounds: list[tuple[float, float]]) -> None:
    quiet = samples.above([value for value, _ in rounds], [base for _, base in rounds])
    slowed = samples.above([value + 7 for value, _ in rounds], [base + 7 for _, base in rounds])
    assert slowed == pytest.approx(quiet, abs=1e-6)


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        samples.above([1.0, 2.0], [1.0])


def test_the_least_difference_compares_the_undisturbed_rounds() -> None:
    assert samples.least_above([9.0, 5.0, 7.0], [2.0, 4.0, 100.0]) == 3.0


def test_a_ratio_is_of_medians() -> None:
    assert samples.ratio([3.0, 2.0, 400.0], [1.0, 2.0, 2.0]) == 1.5


def test_a_ratio_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="compared with 0"):
        samples.ratio([1.0], [0.0])
