"""Tables and verdicts as a person reads them."""

from __future__ import annotations

import pytest

from bench import budgets, tables


def test_columns_line_up() -> None:
    shown = tables.text(["what", "ms", ""], [["a", "1.00", "within"], ["longer", "10.00", ""]])
    assert shown.splitlines() == [
        "what       ms",
        "------  -----  ------",
        "a        1.00  within",
        "longer  10.00",
    ]


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells under 1 headings"):
        tables.text(["one"], [["a", "b"]])


def test_numbers_have_the_unit_of_their_column() -> None:
    assert tables.milliseconds(0.00123) == "1.23"
    assert tables.signed(0.002) == "+2.00"
    assert tables.signed(-0.0005) == "-0.50"
    assert tables.mebibytes(1536) == "1.5"
    assert tables.between(-0.001, 0.0025) == "-1.0 to +2.5"


@pytest.mark.parametrize(
    ("value", "said"), [(3.0, "within budget (3 ms)"), (3.01, "above budget (3 ms)"), (-1, "within budget (3 ms)")]
)
def test_a_budget_says_on_which_side_a_number_is(value: float, said: str) -> None:
    assert budgets.Budget(3.0, "ms").verdict(value) == said


@pytest.mark.parametrize(
    ("value", "middle", "said"),
    [
        (2.0, (1.0, 2.5), "within budget (3 ms)"),
        (2.0, (1.0, 4.0), "within budget (3 ms), unsure"),
        (5.0, (2.0, 9.0), "above budget (3 ms), unsure"),
        (5.0, (4.0, 9.0), "above budget (3 ms)"),
    ],
)
def test_noise_around_a_budget_makes_the_verdict_unsure(value: float, middle: tuple[float, float], said: str) -> None:
    assert budgets.Budget(3.0, "ms").verdict(value, middle=middle) == said


@pytest.mark.parametrize(
    ("verb", "networks", "most"), [("ADD", 1, 3.0), ("ADD", 4, 4.0), ("DEL", 1, 3.0), ("DEL", 4, 3.5)]
)
def test_calls_above_their_delegates_have_budgets(verb: str, networks: int, most: float) -> None:
    assert budgets.overhead(verb, networks) == budgets.Budget(most, "ms")


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_other_numbers_of_networks_have_none(verb: str) -> None:
    assert [budgets.overhead(verb, networks) for networks in (0, 2, 8)] == [None, None, None]
