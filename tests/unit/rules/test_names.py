"""Which known name a written one means: by its words first, then by its letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.rules import library, names

HOST_LOCAL = ("subnet", "rangeStart", "rangeEnd", "gateway", "ranges", "routes")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("rangeStop", "rangeEnd"),
        ("range_last", "rangeEnd"),
        ("rangeFirst", "rangeStart"),
        ("range-begin", "rangeStart"),
        ("RangeEnd", "rangeEnd"),
        ("gw", "gateway"),
        ("gatway", "gateway"),
        ("route", "routes"),
        ("colour", None),
    ],
)
def test_words_count_before_letters(written: str, meant: str | None) -> None:
    assert names.nearest(written, HOST_LOCAL) == meant


def test_two_names_of_the_same_words_are_no_answer() -> None:
    assert names.meant("device", ("master", "link")) is None


@pytest.mark.parametrize(("written", "near"), [("macvaln", "macvlan"), ("bridg", "bridge"), ("macvtap9", None)])
def test_a_misspelt_name_differs_by_few_letters(written: str, near: str | None) -> None:
    assert names.misspelt(written, ("macvlan", "bridge")) == near


@pytest.mark.parametrize("name", sorted({*library.types(), *library.UNDESCRIBED}))
def test_a_known_type_is_never_a_misspelt_one(name: str) -> None:
    assert names.misspelt(name, library.names()) is None


@given(st.text(max_size=80), st.lists(st.text(max_size=12), max_size=6))
def test_any_text_has_an_answer_out_of_the_known_ones_or_none(written: str, known: list[str]) -> None:
    for answer in (names.nearest(written, known), names.misspelt(written, known)):
        assert answer is None or answer in known


@given(st.text(max_size=12), st.text(max_size=12))
def test_a_distance_is_the_same_both_ways(one: str, other: str) -> None:
    assert names.distance(one, other) == names.distance(other, one)
    assert (names.distance(one, other) == 0) == (one == other)
