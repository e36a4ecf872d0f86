"""Who takes our place is named, and who keeps taking it meets us later each time, but always."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.agent import contests

PATH = "/etc/cni/net.d/00-multus.conf"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, f"Another program removed {PATH}; it was put back."),
        (b"{", f"Another program changed {PATH}; it was put back."),
        (b"[]", f"Another program changed {PATH}; it was put back."),
        (
            json.dumps({"name": "cilium", "type": "cilium-cni"}).encode(),
            f"Another program changed {PATH}, which held the network cilium of cilium-cni then; it was put back.",
        ),
        (
            json.dumps({"name": "x", "plugins": [{"type": "calico"}, {"type": "portmap"}]}).encode(),
            f"Another program changed {PATH}, which held the network x of calico then; it was put back.",
        ),
    ],
)
def test_what_was_done_is_told_with_whose_hand_it_shows(found: bytes | None, said: str) -> None:
    contest = contests.Contest(PATH, clock=Clock())
    assert contest.lost({}, found=found) == 0
    assert contest.reported == said


def test_a_rename_tells_the_new_name() -> None:
    contest = contests.Contest(PATH, clock=Clock())
    contest.seen({"00-multus.conf": 7, "10-x.conf": 8})
    contest.lost({"00-multus.conf.cilium_bak": 7, "10-x.conf": 8}, found=None)
    assert "renamed /etc/cni/net.d/00-multus.conf to 00-multus.conf.cilium_bak" in contest.reported
    assert "Set cni.exclusive=false in Cilium." in contest.reported


def test_files_that_came_with_it_show_whose_installer_it_was() -> None:
    contest = contests.Contest(PATH, clock=Clock())
    contest.seen({"00-multus.conf": 7, "10-x.conf": 8, "20-y.conf": 9})
    contest.lost({"05-cilium.conflist": 10, "10-x.conf": 8, "20-y.conf": 11, ".half": 12}, found=None)
    assert contest.reported == (
        f"Another program removed {PATH}; it was put back. In the folder since then: 05-cilium.conflist, 20-y.conf."
    )


def test_who_leaves_it_alone_for_half_a_minute_is_met_at_once_again() -> None:
    clock = Clock()
    contest = contests.Contest(PATH, clock=clock)
    for _ in range(5):
        assert contest.lost({}, found=None) == 0
    assert contest.lost({}, found=None) > 0
    clock.now += 2
    assert contest.lost({}, found=None) == 0
    clock.now += 30
    assert contest.lost({}, found=None) == 0


@given(every=st.floats(0.001, 5), seconds=st.integers(10, 1000))
def test_it_is_always_put_back_and_ever_less_often_in_a_fight(every: float, seconds: int) -> None:
    clock = Clock()
    contest = contests.Contest(PATH, clock=clock)
    repairs: list[float] = []
    end, lost = clock.now + seconds, 0
    while clock.now < end and lost < 5000:
        lost += 1
        while (wait := contest.lost({}, found=None)) > 0:
            assert wait <= 15
            clock.now += wait
        repairs.append(clock.now)
        clock.now += every
    gaps = [later - earlier - every for earlier, later in itertools.pairwise(repairs)]
    assert all(gap <= 15 + 1e-6 for gap in gaps)
    assert all(gap < 1e-6 for gap in gaps[:4])
    assert all(gap >= 7.5 - 1e-6 for gap in gaps[9:])
    assert contest.reported
