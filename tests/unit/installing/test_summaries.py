"""The three conditions of the Installation."""

from __future__ import annotations

import datetime
from typing import Any

from mooring.installing import summaries
from mooring.installing.installations import CanaryNode, Halt, RolloutStatus
from mooring.installing.standings import Before, Node, Told
from mooring.installing.summaries import Picture, Problem

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
REVISION = "mooring-revision-0123456789"


def good(count: int) -> list[Node]:
    return [Node(f"n{number:03}", Told(REVISION), REVISION, ready=True) for number in range(count)]


def broken(name: str, why: str = "") -> Node:
    return Node(name, Told(REVISION), REVISION, why=why)


def told(nodes: list[Node], **more: Any) -> dict[str, tuple[str, str, str]]:
    phases = {each.name: "current" if each.good else "failing" for each in nodes} | more.pop("phases", {})
    picture = Picture(
        revision=REVISION,
        nodes=nodes,
        phases=phases,
        rollout=more.pop("rollout", None),
        agents_ready=more.pop("agents_ready", len(nodes)),
        problems=more.pop("problems", ()),
        paused=more.pop("paused", False),
        removing=more.pop("removing", ""),
    )
    status = summaries.summarise(picture, before=more.pop("before", []), generation=7, now=NOW)
    assert not more
    return {each.type: (each.status, each.reason, each.message) for each in status.conditions}


def test_all_is_well_when_every_node_has_the_revision_and_is_ready() -> None:
    assert told(good(2)) == {
        "Available": ("True", "NodesReady", "2 of 2 nodes are ready."),
        "Progressing": ("False", "Complete", f"All 2 nodes have {REVISION}."),
        "Degraded": ("False", "AsExpected", "Nothing is known to be wrong."),
    }


def test_in_a_small_cluster_every_node_counts() -> None:
    found = told([*good(2), Node("late", Told(REVISION), why="Starting", starting=True)], phases={"late": "moving"})
    assert found["Available"] == ("False", "NodesNotReady", "2 of 3 nodes are ready. Waiting for late.")
    assert found["Progressing"][:2] == ("True", "RollingOut")
    assert found["Degraded"][0] == "False", "a change that is being applied is neither"


def test_in_a_large_one_a_tenth_may_be_away() -> None:
    away = [Node(f"away{number}", Told(REVISION), REVISION, ready=True, away="off") for number in range(10)]
    phases = {each.name: "away" for each in away}
    assert told([*good(90), *away], phases=phases)["Available"][0] == "True"
    found = told([*good(89), *away, broken("another")], phases=phases)
    assert found["Available"][0] == "False"
    assert "away0 (off)" in found["Available"][2] or "another" in found["Available"][2]


def test_agents_that_do_not_answer_their_probes_are_not_ready_whatever_their_nodestate_says() -> None:
    found = told(good(2), agents_ready=1)
    assert found["Available"][0] == "False"
    assert "kubectl get pods" in found["Available"][2]
    assert found["Progressing"][:2] == ("True", "NodesNotReady")


def test_no_selected_node_is_told_as_such() -> None:
    assert told([])["Available"][:2] == ("False", "NoNodes")


def test_while_nodes_move_they_serve_with_what_they_have() -> None:
    moving = Node("n1", Told(REVISION, NOW, Before("older")), why="being applied", starting=True)
    found = told([*good(1), moving], phases={"n1": "moving"}, agents_ready=1)
    assert found["Available"] == ("True", "NodesReady", "2 of 2 nodes are ready.")
    assert found["Progressing"][:2] == ("True", "RollingOut")
    assert found["Degraded"][0] == "False"


def test_a_node_that_joins_does_not_serve_yet() -> None:
    joining = Node("n1", Told(REVISION, NOW), starting=True)
    assert told([*good(1), joining], phases={"n1": "moving"})["Available"][0] == "False"


def test_what_agents_of_failing_nodes_say_is_told_with_their_nodes() -> None:
    found = told([broken("n2", "no primary network: install one"), broken("n1", "disk full")])
    assert found["Degraded"] == ("True", "NodesDegraded", "n1: disk full; n2: no primary network: install one")


def test_a_node_on_which_pods_get_their_networks_and_something_is_wrong_is_told_too() -> None:
    warned = Node("n1", Told(REVISION), REVISION, ready=True, degraded=True, why="a rival sorts before")
    found = told([warned], phases={"n1": "current"})
    assert found["Available"][0] == "True"
    assert found["Degraded"] == ("True", "NodesWarn", "n1: a rival sorts before")


def test_of_many_only_the_first_are_named() -> None:
    message = told([broken(f"n{number:02}", "broken") for number in range(40)])["Degraded"][2]
    assert message.endswith("n04: broken; and 35 more (kubectl get nodestates)")


def test_our_own_problem_comes_first() -> None:
    problem = Problem("DaemonSetNotApplied", "DaemonSet mooring-agent was not applied: quota.")
    found = told([broken("n000", "broken")], problems=[problem])
    assert found["Degraded"][1] == "DaemonSetNotApplied"
    assert found["Degraded"][2].startswith("DaemonSet mooring-agent was not applied: quota. n000")


def test_a_transition_time_moves_only_with_the_status() -> None:
    before = [
        {"type": "Available", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        {"type": "Degraded", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
    ]
    picture = Picture(revision=REVISION, nodes=good(1), phases={}, rollout=None, agents_ready=1)
    status = summaries.summarise(picture, before=before, generation=7, now=NOW)
    times = {each.type: each.last_transition_time for each in status.conditions}
    assert times == {
        "Available": "2020-01-01T00:00:00Z",
        "Progressing": "2026-03-01T12:00:00Z",
        "Degraded": "2026-03-01T12:00:00Z",
    }
    assert {each.observed_generation for each in status.conditions} == {7}


def rolling(**more: Any) -> RolloutStatus:
    return RolloutStatus(
        **{"revision": REVISION, "stage": "Canaries", "last_good": "older", "canaries": [CanaryNode(node="n0")]} | more
    )


OLD = Node("old", Told("older"), "older", ready=True)


def test_while_canaries_are_watched_it_is_said_which_and_since_when() -> None:
    found = told([*good(1), OLD], rollout=rolling(canaries_since="2026-03-01T12:00:00Z"))
    assert found["Progressing"] == (
        "True",
        "WatchingCanaries",
        f"1 of 2 nodes have {REVISION}. The others follow when n0 is found to work, since 2026-03-01T12:00:00Z.",
    )


def test_a_halt_names_node_and_reason_and_what_can_be_done() -> None:
    halt = Halt(
        node="n0", reason="NotReadyInTime", message="it is not ready", generation=7, since="2026-03-01T12:00:00Z"
    )
    found = told([*good(1), OLD], rollout=rolling(halted=halt))
    sentence = (
        f"No further node gets {REVISION}: on n0, it is not ready. Change the spec; go back by "
        "spec.rollout.rollbackTo: older; or go on without this node: kubectl annotate node n0 mooring.dev/hold=true."
    )
    assert found["Progressing"] == ("False", "RolloutHalted", f"1 of 2 nodes have {REVISION}. {sentence}")
    assert found["Degraded"] == ("True", "RolloutHalted", sentence)


def test_a_pause_is_no_progress() -> None:
    assert told([*good(1), OLD], rollout=rolling(), paused=True)["Progressing"][:2] == ("False", "Paused")


def test_an_uninstall_tells_what_it_waits_for() -> None:
    found = told(good(1), removing="0 of 1 nodes are clean. Waiting for n000 (a pod).")
    assert found["Progressing"] == ("True", "Uninstalling", "0 of 1 nodes are clean. Waiting for n000 (a pod).")
    assert found["Available"][:2] == ("False", "Uninstalling")


def test_the_numbers_are_those_of_the_nodes_and_their_phases() -> None:
    nodes = [*good(2), Node("old", Told(REVISION), "older", ready=True), Node("new", Told(REVISION))]
    phases: Any = {"n000": "current", "n001": "current", "old": "moving", "new": "moving"}
    picture = Picture(revision=REVISION, nodes=nodes, phases=phases, rollout=rolling(), agents_ready=4)
    status = summaries.summarise(picture, before=[], generation=1, now=NOW).to_wire()
    assert status["nodes"] == {"desired": 4, "updated": 2, "ready": 3, "phases": {"current": 2, "moving": 2}}
    assert status["revision"] == REVISION
    assert status["rollout"] == rolling().to_wire(), "what must be remembered is there"
