"""Pauses after failures grow, are spread, and end nowhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.kube.pauses import Pace, Pause

SECONDS = st.floats(min_value=0.01, max_value=60)


@given(first=SECONDS, more=SECONDS, failures=st.integers(min_value=0, max_value=10**6))
def test_a_pause_is_in_the_upper_half_of_what_doubles_and_is_never_longer_than_the_longest(
    first: float, more: float, failures: int
) -> None:
    pause = Pause(first=first, longest=first + more)
    found = pause.after(failures)
    assert first / 2 <= found <= first + more
    if failures > 20:
        assert found >= (first + more) / 2


@given(failures=st.integers(min_value=1, max_value=100), asked=st.floats(min_value=0, max_value=1000))
def test_it_is_at_least_as_long_as_the_other_side_asks_for(failures: int, asked: float) -> None:
    assert Pause().after(failures, asked=asked) >= asked


def test_many_that_fail_at_once_do_not_come_back_at_once() -> None:
    assert len({Pause().after(3) for _ in range(100)}) > 50


@given(
    per_second=st.floats(min_value=0.1, max_value=1000),
    burst=st.integers(min_value=1, max_value=100),
    pauses=st.lists(st.floats(min_value=0, max_value=5), max_size=200),
)
def test_a_pace_lets_a_burst_through_and_then_no_more_than_so_many_a_second(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    pace, now, taken = Pace(per_second=per_second, burst=burst), 0.0, 0
    for pause in pauses:
        now += pause
        wait = pace.take(now)
        taken += wait == 0
        assert taken <= burst + now * per_second + 1e-6
        assert wait == 0 or taken >= burst
        if wait:
            now += wait
            assert pace.take(now) == 0
            taken += 1
