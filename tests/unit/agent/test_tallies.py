"""Failed calls are counted once each, whatever is cut from the list that they stand on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.agent import tallies
from mooring.node.failures import Failure


def failure(number: int, *, network: str = "default/a", code: int = 7) -> Failure:
    return Failure(f"2026-03-01T12:00:00.{number:06}Z", "ADD", f"default/p{number}", network, code, "no")


def test_what_failed_before_the_agent_started_is_not_counted() -> None:
    tally = tallies.Tally()
    tally.note([failure(1), failure(2)])
    assert tally.counts == {}
    tally.note([failure(1), failure(2), failure(3)])
    assert tally.counts == {("ADD", "default/a", "7"): 1}


def test_the_first_failure_ever_is_counted() -> None:
    tally = tallies.Tally()
    tally.note([])
    tally.note([failure(1)])
    assert tally.counts == {("ADD", "default/a", "7"): 1}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_each_call_is_counted_once_while_the_list_grows_and_is_cut(steps: list[tuple[int, int]]) -> None:
    tally, listed, written = tallies.Tally(), list[Failure](), 0
    tally.note(listed)
    for new, cut in steps:
        del listed[: min(cut, len(listed))]
        for _ in range(new):
            written += 1
            listed.append(failure(written))
        tally.note(listed)
    assert sum(tally.counts.values()) == written


def test_networks_without_end_are_counted_together_from_some_number_on() -> None:
    tally = tallies.Tally()
    tally.note([])
    tally.note([failure(number, network=f"default/n{number}", code=number) for number in range(tallies.MOST + 50)])
    assert len(tally.counts) == tallies.MOST + 1
    assert tally.counts["ADD", tallies.OTHERS, ""] == 50
