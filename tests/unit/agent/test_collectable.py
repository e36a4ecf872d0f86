"""Which records of sandboxes are garbage."""

from __future__ import annotations

import dataclasses

import hypothesis
from hypothesis import strategies

from mooring.agent.collectable import APART_SECONDS, ENDING_SECONDS, Listing, Listings, Record, Verdict

GONE = "a" * 64
LIVE = frozenset({"f" * 64})


def listings(*times: float, ids: frozenset[str] = LIVE) -> Listings:
    made = Listings()
    for asked in times:
        made.add(Listing(asked=asked, ids=ids))
    return made


def test_a_sandbox_that_two_listings_five_minutes_apart_do_not_have_is_gone() -> None:
    record = Record(GONE, changed=100)
    assert listings(100, 399).verdict(record) is Verdict.WAIT
    assert listings(100, 400).verdict(record) is Verdict.COLLECT


def test_a_listing_from_before_the_record_s_last_change_proves_nothing() -> None:
    record = Record(GONE, changed=101)
    assert listings(100, 400).verdict(record) is Verdict.WAIT
    assert listings(100, 160, 400, 460).verdict(record) is Verdict.COLLECT


def test_where_del_was_begun_one_listing_half_a_minute_later_is_enough() -> None:
    record = Record(GONE, changed=100, ending=True)
    assert listings(129).verdict(record) is Verdict.WAIT
    assert listings(130).verdict(record) is Verdict.COLLECT


def test_a_record_of_an_earlier_boot_waits_for_the_runtime_to_remember_its_sandboxes() -> None:
    record = Record(GONE, changed=None)
    assert listings(10).verdict(record) is Verdict.WAIT
    assert listings(10, 40).verdict(record) is Verdict.COLLECT


def test_without_a_listing_nothing_is_collected() -> None:
    assert Listings().verdict(Record(GONE, changed=None, ending=True)) is Verdict.WAIT


def test_an_empty_listing_takes_the_proof_from_those_before_it() -> None:
    made = listings(100, 400)
    made.add(Listing(asked=460, ids=frozenset()))
    assert made.verdict(Record(GONE, changed=0)) is Verdict.WAIT
    made.add(Listing(asked=520, ids=LIVE))
    assert made.verdict(Record(GONE, changed=0)) is Verdict.WAIT


def test_a_sandbox_that_was_listed_in_between_begins_anew() -> None:
    made = listings(0)
    made.add(Listing(asked=200, ids=frozenset({GONE})))
    made.add(Listing(asked=300, ids=LIVE))
    assert made.verdict(Record(GONE, changed=0)) is Verdict.WAIT


def test_a_month_of_listings_is_as_large_as_ten_minutes_of_them() -> None:
    assert len(listings(*range(0, 600, 30))) >= len(listings(*range(0, 30 * 24 * 3600, 30)))


IDS = strategies.sampled_from(["a", "b", "c", "agent"])
STEPS = strategies.lists(
    strategies.tuples(strategies.floats(1, 400), strategies.frozensets(IDS, max_size=4)), min_size=1, max_size=25
)
RECORDS = strategies.builds(
    Record,
    container=strategies.sampled_from(["a", "b", "c"]),
    changed=strategies.none() | strategies.floats(0, 4000),
    ending=strategies.booleans(),
    locked=strategies.booleans(),
)


@hypothesis.given(STEPS, RECORDS)
def test_nothing_is_collected_without_the_proof_that_it_needs(
    steps: list[tuple[float, frozenset[str]]], record: Record
) -> None:
    made, given, now = Listings(), list[Listing](), 0.0
    for pause, ids in steps:
        now += pause
        given = [*given, Listing(now, ids)] if ids else []
        made.add(Listing(now, ids))
        if made.verdict(record) is not Verdict.COLLECT:
            continue
        assert not record.locked
        assert given, "no runtime was asked"
        latest = given[-1]
        assert record.container not in latest.ids
        short = record.changed is None or record.ending
        since = given[0].asked if record.changed is None else record.changed
        proof = [each for each in given if each.asked >= since]
        first_without = next(
            index for index in range(len(proof)) if not any(record.container in each.ids for each in proof[index:])
        )
        assert (short and latest.asked - since >= ENDING_SECONDS) or (
            latest.asked - proof[first_without].asked >= APART_SECONDS
        )


@hypothesis.given(STEPS, RECORDS)
def test_what_is_gone_is_collected_in_the_end_whatever_was_before(
    steps: list[tuple[float, frozenset[str]]], record: Record
) -> None:
    made, now = Listings(), 0.0
    for pause, ids in steps:
        now += pause
        made.add(Listing(now, ids))
    record = dataclasses.replace(record, locked=False)
    now = max(now, record.changed or 0)
    for _ in range(25):
        now += 30.0
        made.add(Listing(now, frozenset({"agent"})))
    assert made.verdict(record) is Verdict.COLLECT


def test_a_sandbox_that_was_listed_for_a_moment_was_not_gone_before_it() -> None:
    made = listings(0)
    for asked, ids in ((10, frozenset({GONE})), (20, LIVE), (310, LIVE)):
        made.add(Listing(asked=asked, ids=ids))
    assert made.verdict(Record(GONE, changed=0)) is Verdict.WAIT
    made.add(Listing(asked=610, ids=LIVE))
    assert made.verdict(Record(GONE, changed=0)) is Verdict.COLLECT
