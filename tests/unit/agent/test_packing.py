"""Slices together hold what is wanted, and are written only for what changed."""

from __future__ import annotations

import collections

from hypothesis import example, given
from hypothesis import strategies as st

from mooring.agent import packing

ENTRIES = st.sampled_from([f"e{number:02}" for number in range(40)])
SLICES = st.dictionaries(
    st.integers(1, 9).map(lambda number: f"n-{number}"), st.lists(ENTRIES, max_size=7).map(tuple), max_size=6
)
MOST = 5

Slices = dict[str, tuple[str, ...]]


def written(existing: Slices, plan: packing.Plan) -> Slices:
    """Return the slices after the plan was carried out; new ones under names that none of the others has."""
    after = {name: entries for name, entries in existing.items() if name not in plan.deletes}
    after |= plan.updates
    return after | {f"new-{number}": entries for number, entries in enumerate(plan.creates)}


def count(plan: packing.Plan) -> int:
    return len(plan.deletes) + len(plan.updates) + len(plan.creates)


@given(existing=SLICES, wanted=st.lists(ENTRIES, max_size=40))
@example(existing={"n-1": ()}, wanted=[])
def test_afterwards_each_entry_is_held_as_often_as_it_is_wanted_and_no_slice_is_too_full_or_empty(
    existing: Slices, wanted: list[str]
) -> None:
    plan = packing.plan(existing, wanted, most=MOST)
    after = written(existing, plan)
    held = collections.Counter(entry for entries in after.values() for entry in entries)
    assert held == collections.Counter(wanted)
    assert all(1 <= len(entries) <= MOST for entries in after.values())


@given(existing=SLICES, wanted=st.lists(ENTRIES, max_size=40))
def test_what_was_written_is_not_written_again(existing: Slices, wanted: list[str]) -> None:
    after = written(existing, packing.plan(existing, wanted, most=MOST))
    assert packing.plan(after, reversed(wanted), most=MOST) == packing.Plan()


@given(existing=SLICES, wanted=st.lists(ENTRIES, max_size=40))
def test_an_entry_that_stays_stays_where_it_is(existing: Slices, wanted: list[str]) -> None:
    after = written(existing, packing.plan(existing, wanted, most=MOST))
    if all(len(entries) <= MOST for entries in existing.values()):
        left = collections.Counter(wanted)
        for name in sorted(existing):
            stays = collections.Counter(existing[name]) & left
            left -= stays
            assert stays <= collections.Counter(after.get(name, ()))


@given(before=st.lists(ENTRIES, max_size=40), gone=st.sets(st.integers(0, 39)), new=st.lists(ENTRIES, max_size=20))
def test_the_number_of_writes_is_bounded_by_the_change(before: list[str], gone: set[int], new: list[str]) -> None:
    existing = written({}, packing.plan({}, before, most=MOST))
    kept = [entry for position, entry in enumerate(before) if position not in gone]
    wanted = collections.Counter(kept + new)
    lost = collections.Counter(before) - wanted
    gained = wanted - collections.Counter(before)
    plan = packing.plan(existing, wanted.elements(), most=MOST)
    assert count(plan) <= lost.total() + -(-gained.total() // MOST)
    touched = {name for name, entries in existing.items() if lost & collections.Counter(entries)}
    assert count(plan) <= len(touched) + -(-gained.total() // MOST)


def test_one_more_entry_goes_into_the_smallest_hole() -> None:
    existing = {"a": ("1",), "b": ("2", "3"), "c": ("4", "5", "6")}
    assert packing.plan(existing, list("1234567"), most=3) == packing.Plan(updates={"b": ("2", "3", "7")})


def test_what_does_not_fit_into_one_hole_is_a_new_slice_and_not_many_writes() -> None:
    existing = {"a": ("1", "2"), "b": ("3", "4")}
    assert packing.plan(existing, list("12345678"), most=3) == packing.Plan(
        updates={"a": ("1", "2", "8")}, creates=(("5", "6", "7"),)
    )


def test_a_pod_that_is_replaced_is_one_write() -> None:
    existing = {"a": ("1", "2", "3"), "b": ("4",)}
    assert packing.plan(existing, list("1245"), most=3) == packing.Plan(updates={"a": ("1", "2", "5")})


def test_slices_that_lost_most_of_theirs_are_filled_so_that_others_go() -> None:
    existing = {"a": ("1", "2"), "b": ("3", "4"), "c": ("5",)}
    assert packing.plan(existing, list("189"), most=3) == packing.Plan(
        deletes=("b", "c"), updates={"a": ("1", "8", "9")}
    )
