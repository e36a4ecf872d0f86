"""Who gets a revision now."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.installing import rollouts
from mooring.installing.rollouts import Node

OLD, NEW = "mooring-revision-old", "mooring-revision-new"

REVISIONS = st.sampled_from(["", OLD, NEW])
NODES = st.lists(
    st.builds(Node, name=st.text("abcdef", min_size=1, max_size=4), assigned=REVISIONS, applied=REVISIONS, ready=...),
    max_size=30,
    unique_by=lambda node: node.name,
)
LIMITS = st.one_of(st.integers(0, 40), st.integers(0, 100).map(lambda share: f"{share}%"))


def node(name: str, revision: str, *, ready: bool = True) -> Node:
    return Node(name=name, assigned=revision, applied=revision, ready=ready)


def moved(nodes: list[Node], **how: object) -> list[str]:
    settings = {"revision": NEW, "max_unavailable": 1, "paused": False, **how}
    answer = rollouts.assign(nodes, **settings)  # type: ignore[arg-type]
    return sorted(each.name for each in nodes if answer[each.name] == NEW and each.assigned != NEW)


def test_nodes_without_a_revision_get_it_all_at_once() -> None:
    assert moved([Node("a"), Node("b"), Node("c")]) == ["a", "b", "c"]


def test_working_nodes_go_one_after_the_other() -> None:
    nodes = [node("a", OLD), node("b", OLD), node("c", OLD)]
    assert moved(nodes) == ["a"]
    assert moved([Node("a", NEW, OLD, ready=True), *nodes[1:]]) == []
    assert moved([node("a", NEW), *nodes[1:]]) == ["b"]


def test_a_revision_that_breaks_its_first_node_stops_there() -> None:
    assert moved([node("a", NEW, ready=False), node("b", OLD), node("c", OLD)]) == []


def test_a_node_that_is_broken_already_gets_it_at_once_and_counts_as_on_its_way() -> None:
    assert moved([node("a", OLD), node("b", OLD, ready=False), node("c", OLD)]) == ["b"]


def test_a_new_node_that_does_not_come_up_holds_up_nobody() -> None:
    assert moved([Node("new", NEW), node("b", OLD)]) == ["b"]


def test_a_share_is_rounded_up_so_that_something_happens() -> None:
    assert moved([node(str(number), OLD) for number in range(9)], max_unavailable="10%") == ["0"]
    assert len(moved([node(str(number), OLD) for number in range(9)], max_unavailable="25%")) == 3
    assert moved([node("a", OLD), node("b", OLD)], max_unavailable="0%") == ["a"]


def test_paused_nobody_moves_and_a_new_node_gets_what_most_have() -> None:
    nodes = [node("a", OLD), node("b", OLD), node("c", NEW), Node("d")]
    answer = rollouts.assign(nodes, revision="mooring-revision-third", max_unavailable=3, paused=True)
    assert answer == {"a": OLD, "b": OLD, "c": NEW, "d": OLD}


def test_paused_from_the_beginning_the_first_revision_is_given() -> None:
    assert rollouts.assign([Node("a")], revision=NEW, max_unavailable=1, paused=True) == {"a": NEW}


NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def soak(nodes: list[Node], *, since: int | None = None, canaries: int = 1, seconds: int = 60) -> rollouts.Soak:
    begun = None if since is None else NOW - datetime.timedelta(seconds=since)
    return rollouts.soak(nodes, revision=NEW, canaries=canaries, seconds=seconds, since=begun, now=NOW)


class TestCanaries:
    def test_are_watched_from_when_they_work_with_the_revision(self) -> None:
        moving = [Node("a", NEW, OLD, ready=True), node("b", OLD)]
        assert soak(moving) == rollouts.Soak(NEW, None, over=False)
        assert soak([node("a", NEW), node("b", OLD)]) == rollouts.Soak(NEW, NOW, over=False)

    def test_are_followed_when_they_were_watched_long_enough(self) -> None:
        nodes = [node("a", NEW), node("b", OLD)]
        assert not soak(nodes, since=59).over
        assert soak(nodes, since=60).over

    def test_begin_anew_when_one_fails_while_it_is_watched(self) -> None:
        failing = [node("a", NEW, ready=False), node("b", OLD)]
        assert soak(failing, since=30) == rollouts.Soak(NEW, None, over=False)

    def test_stay_watched_enough_while_the_others_follow(self) -> None:
        following = [node("a", NEW), Node("b", NEW, OLD, ready=True), node("c", OLD)]
        assert soak(following, since=600).over

    def test_are_not_needed_where_nobody_works_with_another_revision(self) -> None:
        assert soak([Node("a"), Node("b", NEW)]).over
        assert soak([]).over

    def test_may_be_none(self) -> None:
        assert soak([node("a", OLD)], canaries=0).over

    def test_may_be_more_than_there_are_nodes(self) -> None:
        assert soak([node("a", NEW), node("b", OLD)], canaries=5) == rollouts.Soak(NEW, None, over=False)

    def test_are_the_only_ones_to_change_for_now(self) -> None:
        nodes = [node("a", OLD), node("b", OLD), node("c", OLD)]
        assert moved(nodes, max_unavailable=3, most=2) == ["a", "b"]
        assert moved([node("a", NEW), *nodes[1:]], max_unavailable=3, most=1) == []


@given(st.integers(1, 12), st.integers(0, 4), st.integers(0, 3), LIMITS)
def test_with_canaries_it_comes_to_an_end_and_the_first_are_watched_before_the_others(
    count: int, canaries: int, minutes: int, limit: int | str
) -> None:
    nodes = [node(f"n{number}", OLD) for number in range(count)]
    since, now, widened_at = None, NOW, None
    for _ in range(60):
        state = rollouts.soak(nodes, revision=NEW, canaries=canaries, seconds=60 * minutes, since=since, now=now)
        most = None if state.over else canaries
        answer = rollouts.assign(nodes, revision=NEW, max_unavailable=limit, paused=False, most=most)
        changed = sum(1 for told in answer.values() if told == NEW)
        if changed > canaries and widened_at is None:
            widened_at = now
        nodes = [Node(each.name, answer[each.name], answer[each.name], ready=True) for each in nodes]
        since, now = state.since, now + datetime.timedelta(seconds=20)
    assert all(each.settled(NEW) for each in nodes)
    if widened_at is not None and canaries:
        assert widened_at - NOW >= datetime.timedelta(minutes=minutes)


@pytest.mark.parametrize("wrong", ["", "many", "10", "-1%", "1.5%", -1])
def test_what_is_neither_a_number_nor_a_percentage_is_refused(wrong: int | str) -> None:
    with pytest.raises(ValueError, match="neither"):
        rollouts.limit(wrong, total=10)


@given(NODES, LIMITS, st.booleans())
def test_every_node_has_an_answer_and_none_goes_back(nodes: list[Node], limit: int | str, paused: bool) -> None:
    answer = rollouts.assign(nodes, revision=NEW, max_unavailable=limit, paused=paused)
    assert set(answer) == {each.name for each in nodes}
    for each in nodes:
        assert answer[each.name] in ({each.assigned, NEW} if each.assigned else {OLD, NEW})
        if each.assigned == NEW:
            assert answer[each.name] == NEW


@given(NODES, LIMITS)
def test_of_the_working_nodes_never_more_than_the_limit_are_on_their_way(nodes: list[Node], limit: int | str) -> None:
    allowed = max(1, rollouts.limit(limit, total=len(nodes)))
    answer = rollouts.assign(nodes, revision=NEW, max_unavailable=limit, paused=False)
    started = [each for each in nodes if each.assigned == OLD and each.ready and answer[each.name] == NEW]
    on_their_way = [each for each in nodes if each.assigned == NEW and each.applied and not each.settled(NEW)]
    assert not started or len(started) + len(on_their_way) <= allowed


@given(NODES, LIMITS)
def test_it_comes_to_an_end(nodes: list[Node], limit: int | str) -> None:
    for _ in range(len(nodes) + 1):
        answer = rollouts.assign(nodes, revision=NEW, max_unavailable=limit, paused=False)
        nodes = [Node(each.name, answer[each.name], answer[each.name], ready=True) for each in nodes]
    assert all(each.settled(NEW) for each in nodes)
