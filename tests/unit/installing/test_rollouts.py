"""Who gets a revision now, and when a roll-out halts by itself."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from mooring.installing import rollouts
from mooring.installing.installations import CanaryNode, Halt, RolloutStatus
from mooring.installing.rollouts import Decision, Settings
from mooring.installing.standings import Before, Node, Told

OLD, NEW, NEXT = "mooring-revision-old", "mooring-revision-new", "mooring-revision-next"
NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
BEGAN = "2026-03-01T11:00:00Z"
LONG_AGO = NOW - datetime.timedelta(hours=3)
MINUTE = datetime.timedelta(minutes=1)


def node(name: str, revision: str = OLD, **more: Any) -> Node:
    """A node that works with what it was told, long ago unless `told` says otherwise."""
    base = Node(name, Told(revision, LONG_AGO, Before("older")), revision, ready=True)
    return dataclasses.replace(base, **more)


def changed(name: str, *, ago: datetime.timedelta = MINUTE, before: Before | None = None, **more: Any) -> Node:
    """A node that was told the new revision, and works with it unless something else is said."""
    told = Told(NEW, NOW - ago, before or Before(OLD))
    return dataclasses.replace(Node(name, told, NEW, ready=True), **more)


def moving(name: str, *, ago: datetime.timedelta = MINUTE) -> Node:
    return changed(name, ago=ago, applied=OLD, ready=False, starting=True)


def broken(name: str, revision: str = OLD) -> Node:
    return node(name, revision, ready=False, why="no such network")


def status(stage: str = "Canaries", *canaries: str, **more: Any) -> RolloutStatus:
    listed = [CanaryNode(node=name) for name in canaries]
    base = {"revision": NEW, "stage": stage, "last_good": OLD, "since": BEGAN, "canaries": listed}
    return RolloutStatus(**{**base, **more})


GOOD = RolloutStatus(revision=OLD, stage="Complete", last_good=OLD, since=BEGAN)


def decide(nodes: list[Node], before: RolloutStatus | None = GOOD, *, target: str = NEW, **more: Any) -> Decision:
    now = more.pop("now", NOW)
    return rollouts.decide(
        nodes, before, target=target, settings=Settings(**{"max_unavailable": 1, "generation": 1, **more}), now=now
    )


def told(decision: Decision, nodes: list[Node]) -> list[str]:
    """Return who is told another revision than before."""
    return sorted(each.name for each in nodes if decision.told[each.name].revision != each.assigned)


def chosen(decision: Decision) -> list[str]:
    return [canary.node for canary in decision.status.canaries]


class TestTheFirstRevision:
    def test_goes_to_a_canary_and_to_nobody_else_until_that_is_ready(self) -> None:
        nodes = [Node("a"), Node("b"), Node("c")]
        first = decide(nodes, None)
        assert told(first, nodes) == ["a"]
        assert first.status.stage == "Canaries"
        waiting = [changed("a", before=Before(), applied="", ready=False), *nodes[1:]]
        assert told(decide(waiting, first.status), waiting) == []

    def test_is_not_soaked_because_no_pod_uses_us_yet(self) -> None:
        first = decide([Node("a"), Node("b")], None).status
        nodes = [changed("a", before=Before()), Node("b")]
        assert told(decide(nodes, first), nodes) == ["b"]

    def test_that_never_comes_up_halts_at_the_canary_and_goes_on_by_itself_when_it_does(self) -> None:
        began = {"since": "2026-03-01T11:30:00Z", "last_good": None}
        nodes = [changed("a", ago=20 * MINUTE, before=Before(), ready=False, why="no cni.conf"), Node("b")]
        halted = decide(nodes, status("Canaries", "a", **began))
        assert halted.status.halted is not None
        assert halted.status.halted.node == "a"
        assert "no cni.conf" in halted.status.halted.message
        assert told(halted, nodes) == []
        nodes = [changed("a", ago=20 * MINUTE, before=Before()), Node("b")]
        assert told(decide(nodes, halted.status), nodes) == ["b"]


class TestCanaries:
    def test_are_chosen_once_and_stay_the_same(self) -> None:
        nodes = [broken("a"), node("b"), node("c")]
        first = decide(nodes)
        assert (chosen(first), told(first, nodes)) == (["b"], ["b"])
        recovered = [node("a"), moving("b"), node("c")]
        second = decide(recovered, first.status)
        assert (chosen(second), told(second, recovered)) == (["b"], [])

    def test_are_watched_for_the_soak_from_when_all_of_them_work(self) -> None:
        nodes = [changed("a"), changed("b"), node("c")]
        watched = decide(nodes, status("Canaries", "a", "b"), canaries=2)
        assert watched.status.canaries_since == "2026-03-01T12:00:00Z"
        assert watched.phases["a"] == "proving"
        assert told(watched, nodes) == []
        almost = NOW + datetime.timedelta(seconds=59)
        assert told(decide(nodes, watched.status, canaries=2, now=almost), nodes) == []
        after = NOW + datetime.timedelta(seconds=60)
        followed = decide(nodes, watched.status, canaries=2, now=after)
        assert (followed.status.stage, told(followed, nodes)) == ("Rest", ["c"])

    def test_are_watched_anew_when_one_fails_meanwhile(self) -> None:
        nodes = [changed("a", ready=False), node("b")]
        assert decide(nodes, status("Canaries", "a", canaries_since=BEGAN)).status.canaries_since is None

    def test_one_that_is_degraded_is_not_good_unless_it_was_before(self) -> None:
        nodes = [changed("a", degraded=True), node("b")]
        assert decide(nodes, status("Canaries", "a")).status.canaries_since is None
        nodes = [changed("a", degraded=True, before=Before(OLD, degraded=True)), node("b")]
        assert decide(nodes, status("Canaries", "a")).status.canaries_since is not None

    def test_one_that_is_away_blocks_until_its_deadline_and_is_replaced_then(self) -> None:
        nodes = [dataclasses.replace(moving("a"), away="the Node is not Ready"), node("b"), node("c")]
        first = decide(nodes, status("Canaries", "a"))
        assert (chosen(first), told(first, nodes)) == (["a"], [])
        later = decide(nodes, first.status, now=NOW + 10 * MINUTE)
        assert (chosen(later), told(later, nodes)) == (["b"], ["b"])
        assert later.status.halted is None

    def test_one_that_is_held_is_replaced_at_once(self) -> None:
        nodes = [node("a", held=True), node("b")]
        found = decide(nodes, status("Canaries", "a"))
        assert (chosen(found), told(found, nodes)) == (["b"], ["b"])

    def test_of_another_revision_are_first_those_that_the_last_one_hit(self) -> None:
        nodes = [node("a"), changed("b", ready=False, why="broken by it"), node("c")]
        found = decide(nodes, status("Canaries", "b"), target=NEXT)
        assert (chosen(found), told(found, nodes)) == (["b"], ["b"])
        assert found.told["b"].before == Before(OLD, recovering=True)

    def test_may_be_none(self) -> None:
        assert told(decide([node("a"), node("b")], canaries=0), [node("a"), node("b")]) == ["a"]

    def test_may_be_more_than_there_are_nodes_and_still_move_one_at_a_time(self) -> None:
        nodes = [node("a"), node("b")]
        found = decide(nodes, canaries=5)
        assert (chosen(found), told(found, nodes)) == (["a", "b"], ["a"])


class TestAHalt:
    def test_comes_when_a_changed_node_is_not_ready_in_time_and_names_it(self) -> None:
        nodes = [changed("a", ago=10 * MINUTE, ready=False, why="mistyped cniBinDir"), node("b")]
        found = decide(nodes, status("Canaries", "a"))
        assert found.status.halted == Halt(
            node="a",
            reason=rollouts.NOT_READY,
            message="it is not ready within 600 s of the change: mistyped cniBinDir",
            generation=1,
            since="2026-03-01T12:00:00Z",
        )
        assert found.phases["a"] == "failing"
        assert told(found, nodes) == []

    def test_counts_a_node_whose_binary_went_in_and_whose_conf_failed(self) -> None:
        """It reports no applied revision at all."""
        half = changed("a", applied="", ready=False)
        nodes = [half, *(node(str(number)) for number in range(9))]
        assert told(decide(nodes, status("Rest", "z")), nodes) == []

    def test_comes_at_once_when_more_adds_fail_than_before(self) -> None:
        nodes = [changed("a", failed_adds=1), node("b")]
        found = decide(nodes, status("Canaries", "a"))
        assert found.status.halted is not None
        assert found.status.halted.reason == rollouts.MORE_FAILED_ADDS
        assert found.status.halted.message == "1 ADDs failed in the last ten minutes, 0 before the change"

    def test_does_not_come_when_as_many_fail_as_before_or_half_as_many_again(self) -> None:
        nodes = [changed("a", failed_adds=60, before=Before(OLD, failed_adds=40)), node("b")]
        assert decide(nodes, status("Canaries", "a")).status.halted is None

    def test_also_comes_after_the_canaries(self) -> None:
        nodes = [changed("a"), changed("b", failed_adds=7), node("c")]
        found = decide(nodes, status("Rest", "a"))
        assert found.status.halted is not None
        assert (found.status.halted.node, told(found, nodes)) == ("b", [])

    def test_does_not_come_of_a_node_that_did_not_work_before_either(self) -> None:
        nodes = [changed("a"), changed("b", ago=11 * MINUTE, ready=False, before=Before()), node("c")]
        found = decide(nodes, status("Rest", "a"))
        assert found.status.halted is None
        assert told(found, nodes) == ["c"]

    def test_stays_though_the_node_recovers_until_the_spec_changes(self) -> None:
        halt = Halt(node="a", reason=rollouts.NOT_READY, message="late", generation=1, since=BEGAN)
        nodes = [changed("a", ago=20 * MINUTE), node("b")]
        stopped = status("Rest", "a", halted=halt)
        assert told(decide(nodes, stopped, generation=1), nodes) == []
        assert told(decide(nodes, stopped, generation=2), nodes) == ["b"]

    def test_goes_on_without_a_node_that_is_held(self) -> None:
        halt = Halt(node="b", reason=rollouts.NOT_READY, message="late", generation=1, since=BEGAN)
        nodes = [changed("a"), changed("b", ready=False, held=True), node("c")]
        assert told(decide(nodes, status("Rest", "a", halted=halt)), nodes) == ["c"]

    def test_that_was_lifted_judges_failed_adds_when_those_of_before_have_aged(self) -> None:
        nodes = [changed("a", ago=20 * MINUTE, failed_adds=9), node("b")]
        resumed = status("Canaries", "a", since="2026-03-01T11:55:00Z")
        found = decide(nodes, resumed)
        assert found.status.halted is None
        assert found.status.canaries_since is None, "and is not good meanwhile"
        assert decide(nodes, resumed, now=NOW + 8 * MINUTE).status.halted is not None

    def test_of_a_canary_that_flaps_comes_when_its_time_is_over(self) -> None:
        flapping = changed("a", ago=11 * MINUTE, ready=False, since=NOW - MINUTE)
        assert decide([flapping, node("b")], status("Canaries", "a")).status.halted is not None


class TestTheRest:
    def test_goes_one_after_the_other(self) -> None:
        nodes = [changed("a"), moving("b"), node("c"), node("d")]
        assert told(decide(nodes, status("Rest", "a")), nodes) == []
        nodes[1] = changed("b")
        assert told(decide(nodes, status("Rest", "a")), nodes) == ["c"]

    def test_nodes_that_are_broken_take_their_turn_after_those_that_work(self) -> None:
        nodes = [changed("a"), broken("b"), broken("c"), node("d"), node("e")]
        assert told(decide(nodes, status("Rest", "a"), max_unavailable=4), nodes) == ["d", "e"]
        nodes = [changed("a"), broken("b"), broken("c"), changed("d")]
        assert told(decide(nodes, status("Rest", "a")), nodes) == ["b"]

    def test_nodes_away_neither_block_nor_are_changed(self) -> None:
        away = [dataclasses.replace(moving("b"), away="off"), node("c", away="off")]
        nodes = [changed("a"), *away, node("d")]
        found = decide(nodes, status("Rest", "a"))
        assert told(found, nodes) == ["d"]
        nodes = [changed("a"), *away, changed("d")]
        found = decide(nodes, status("Rest", "a"))
        assert (found.status.stage, found.status.last_good) == ("Complete", NEW)
        assert [found.phases[name] for name in "abcd"] == ["current", "away", "away", "current"]

    def test_nodes_that_are_held_stay_as_they_are(self) -> None:
        nodes = [changed("a"), node("b", held=True)]
        found = decide(nodes, status("Rest", "a"))
        assert (told(found, nodes), found.status.stage, found.phases["b"]) == ([], "Complete", "held")

    def test_paused_nobody_moves(self) -> None:
        nodes = [changed("a"), node("b"), node("c")]
        assert told(decide(nodes, status("Rest", "a"), paused=True), nodes) == []
        assert told(decide([Node("a")], None, paused=True), [Node("a")]) == []

    def test_who_comes_back_with_an_old_revision_follows_without_canaries(self) -> None:
        nodes = [changed("a"), node("b"), node("c")]
        assert told(decide(nodes, status("Complete", last_good=NEW)), nodes) == ["b"]


class TestANewNode:
    def test_joins_the_last_good_revision_while_a_canary_is_failing(self) -> None:
        nodes = [changed("a", ready=False), node("b"), Node("new")]
        found = decide(nodes, status("Canaries", "a"))
        assert found.told["new"] == Told(OLD, NOW)

    def test_that_does_not_come_up_holds_up_nobody(self) -> None:
        joined = Node("new", Told(OLD, NOW - MINUTE), ready=False)
        nodes = [changed("a"), joined, node("b")]
        assert told(decide(nodes, status("Rest", "a")), nodes) == ["b"]

    def test_waits_where_the_last_good_revision_has_no_document_any_more(self) -> None:
        nodes = [changed("a"), Node("new")]
        found = rollouts.decide(nodes, status("Canaries", "a"), target=NEW, settings=Settings(), now=NOW, kept={NEW})
        assert found.told["new"] == Told()
        assert found.phases["new"] == "unknown"


class TestGoingBack:
    def test_to_the_last_good_revision_needs_no_canaries_and_keeps_to_the_limit(self) -> None:
        nodes = [changed("a", ready=False), changed("b"), node("c")]
        found = decide(nodes, status("Rest", "a"), target=OLD)
        assert found.status.stage == "Complete"
        assert len(told(found, nodes)) == 1


class TestAStatusThatWasLost:
    def test_takes_what_most_nodes_work_with_for_good(self) -> None:
        nodes = [changed("a"), node("b"), node("c")]
        found = decide(nodes, None)
        assert (found.status.last_good, chosen(found)) == (OLD, ["a"])

    def test_of_a_version_before_is_taken_up(self) -> None:
        nodes = [node("a"), node("b")]
        before = RolloutStatus(revision=OLD, canaries_since=BEGAN)
        assert decide(nodes, before, target=OLD).status.last_good == OLD


@pytest.mark.parametrize("wrong", ["", "many", "10", "-1%", "1.5%", -1])
def test_what_is_neither_a_number_nor_a_percentage_is_refused(wrong: int | str) -> None:
    with pytest.raises(ValueError, match="neither"):
        rollouts.limit(wrong, total=10)


def test_a_share_is_rounded_up_so_that_something_happens() -> None:
    assert rollouts.limit("10%", total=9) == 1
    assert rollouts.limit("25%", total=9) == 3
