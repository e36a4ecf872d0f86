"""Why a pod runs without its networks is told as far as it is on record, and never guessed."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.agent import causes
from mooring.agent.causes import Lapse
from mooring.installing import confs, podconditions
from mooring.installing.podconditions import Reason

T0 = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
OURS = b'{"cniVersion":"1.0.0","name":"multus-cni-network","type":"mooring","delegates":[{"name":"p","type":"bridge"}]}'


def at(seconds: float) -> datetime.datetime:
    return T0 + datetime.timedelta(seconds=seconds)


def window(since: float, until: float) -> causes.Window:
    return causes.Window(at(since), at(until))


RIVAL = Lapse(Reason.RIVAL, at(1000), at(1100), "00-calico.conflist sorted before 00-multus.conf")
AWAY = Lapse(Reason.CONF_AWAY, at(2000), at(2100), "00-multus.conf was not on the node")
UNSEEN = Lapse(Reason.UNKNOWN, at(3000), at(3100), "no agent was there")
HISTORY = causes.History(installed=T0, lapses=(RIVAL, AWAY, UNSEEN))


@pytest.mark.parametrize(
    ("started", "reason", "words"),
    [
        (window(-500, -400), Reason.OLDER, "Mooring came to the node at 2026-03-01 12:00:00 UTC"),
        (window(-10, 2), Reason.OLDER, "Mooring came"),
        (window(1050, 1052), Reason.RIVAL, "00-calico.conflist sorted before"),
        (window(990, 1001), Reason.RIVAL, "00-calico.conflist sorted before"),
        (window(2050, 2200), Reason.CONF_AWAY, "was not on the node"),
        (window(3001, 3002), Reason.UNKNOWN, "no agent was there"),
        (window(1050, 2050), Reason.UNKNOWN, "which of these was the cause cannot be known"),
        (window(500, 510), Reason.UNKNOWN, "its journal is not there"),
        (None, Reason.UNKNOWN, "When it was started is not known"),
    ],
)
def test_the_cause_is_the_one_lapse_in_which_the_pod_was_started(
    started: causes.Window | None, reason: Reason, words: str
) -> None:
    cause = causes.judge(started, HISTORY)
    assert cause.reason is reason
    assert words in cause.message
    assert cause.ran == (started == window(500, 510))


def test_without_a_record_nothing_is_known() -> None:
    assert causes.judge(window(0, 1), None).reason is Reason.UNKNOWN


MOMENTS = st.integers(min_value=-5000, max_value=5000)
LAPSES = st.lists(
    st.builds(
        lambda reason, since, length: Lapse(reason, at(since), at(since + length), f"{reason} at {since}"),
        st.sampled_from([Reason.RIVAL, Reason.CONF_AWAY, Reason.NOT_LOADED, Reason.UNKNOWN]),
        MOMENTS,
        st.integers(min_value=0, max_value=500),
    ),
    max_size=120,
)


@given(lapses=LAPSES, installed=st.none() | MOMENTS, since=MOMENTS, length=st.integers(min_value=0, max_value=300))
def test_a_cause_is_named_only_where_no_other_is_possible(
    lapses: list[Lapse], installed: int | None, since: int, length: int
) -> None:
    history = causes.History(at(installed) if installed is not None else None, tuple(lapses))
    cause = causes.judge(window(since, since + length), history)
    possible = {each.reason for each in lapses if each.since <= at(since + length) and at(since) <= each.until}
    if installed is not None and at(since) <= at(installed) + causes.SLACK:
        possible.add(Reason.OLDER)
    if possible & {Reason.RIVAL, Reason.CONF_AWAY}:
        possible.discard(Reason.NOT_LOADED)
    assert cause.reason == (possible.pop() if len(possible) == 1 else Reason.UNKNOWN)


@given(lapses=LAPSES, moment=MOMENTS)
def test_cutting_the_record_turns_what_was_known_into_unknown_and_never_into_another_cause(
    lapses: list[Lapse], moment: int
) -> None:
    kept = causes.bounded(lapses)
    assert len(kept) <= 50
    started = window(moment, moment)
    before, after = (causes.judge(started, causes.History(None, each)) for each in (tuple(lapses), kept))
    assert after.reason in (before.reason, Reason.UNKNOWN)
    assert before.ran or not after.ran


@given(lapses=LAPSES)
def test_the_record_is_read_as_it_was_written(lapses: list[Lapse]) -> None:
    history = causes.History(T0, tuple(lapses))
    assert causes.parse(causes.dump(history)) == history


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2}', '{"version": 1, "installed": "2026-03-01T12:00:00", "lapses": []}']
)
def test_a_record_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(causes.HistoryError):
        causes.parse(text.encode())


@pytest.mark.parametrize(
    ("ours", "names", "reason", "words"),
    [
        ({confs.FILE: OURS}, {confs.FILE, "10-a.conf"}, None, ""),
        ({confs.FILE: OURS}, {confs.FILE, "00-a.conflist"}, Reason.RIVAL, "00-a.conflist sorted before 00-multus.conf"),
        ({confs.FIRST: OURS}, {confs.FIRST, "00-a.conflist"}, None, ""),
        ({}, {"10-a.conf"}, Reason.CONF_AWAY, "00-multus.conf was not on the node"),
        ({confs.FILE: b"{"}, {confs.FILE}, Reason.CONF_AWAY, "was not on the node"),
        ({confs.FILE: OURS}, {confs.FILE, "00-a.txt", ".00-a.conf"}, None, ""),
    ],
)
def test_what_the_runtime_would_load_is_read_from_its_folder(
    ours: dict[str, bytes], names: set[str], reason: Reason | None, words: str
) -> None:
    found = causes.standing(ours, names)
    assert found.reason is reason
    assert words in found.detail


@pytest.mark.parametrize(
    ("started", "created", "expected"),
    [
        (("2026-03-01T12:00:00Z", "2026-03-01T12:00:03Z"), "", (0, 3)),
        (("2026-03-01T12:00:00Z", "2026-03-01T12:30:00Z"), "2026-03-01T12:00:02.123456789Z", (0, 7.123456)),
        (("2026-03-01T12:00:00Z", ""), "2026-03-01T12:30:00Z", (1805 - 240, 1805)),
        (("", ""), "2026-03-01T12:30:00Z", (1805 - 240, 1805)),
        (("", "2026-03-01T12:30:00Z"), "", (1800 - 240, 1800)),
        (("2026-03-01T12:00:00Z", ""), "", None),
        (("nonsense", "2026-03-01"), "x", None),
    ],
)
def test_when_a_sandbox_was_begun(started: tuple[str, str], created: str, expected: tuple[float, float] | None) -> None:
    assert causes.window(started, created) == (window(*expected) if expected else None)


def test_the_message_fits_into_an_event_whatever_the_node_says() -> None:
    cause = causes.judge(window(1, 2), HISTORY)
    assert len(causes.advice(cause, "ä" * 5000).encode()) <= podconditions.MOST_BYTES
