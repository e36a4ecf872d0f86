"""The three conditions of the Installation."""

from __future__ import annotations

import datetime
from typing import Any

from mooring.installing import summaries
from mooring.installing.rollouts import Node, Soak
from mooring.installing.summaries import Picture, Problem

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
REVISION = "mooring-revision-0123456789"


def good(count: int) -> list[Node]:
    return [Node(f"n{number:03}", REVISION, REVISION, ready=True) for number in range(count)]


def told(nodes: list[Node], **more: Any) -> dict[str, tuple[str, str, str]]:
    picture = Picture(
        revision=REVISION,
        nodes=nodes,
        trouble=more.pop("trouble", {}),
        agents_ready=more.pop("agents_ready", len(nodes)),
        problems=more.pop("problems", ()),
        soak=more.pop("soak", None),
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
    found = told([*good(2), Node("late", REVISION)])
    assert found["Available"] == ("False", "NodesNotReady", "2 of 3 nodes are ready. Waiting for late.")
    assert found["Progressing"][:2] == ("True", "RollingOut")


def test_in_a_large_one_a_tenth_may_be_away() -> None:
    away = [Node(f"away{number}", REVISION, REVISION) for number in range(10)]
    assert told([*good(90), *away])["Available"][0] == "True"
    assert told([*good(89), *away, Node("another", REVISION)])["Available"][0] == "False"


def test_agents_that_do_not_answer_their_probes_are_not_ready_whatever_their_nodestate_says() -> None:
    found = told(good(2), agents_ready=1)
    assert found["Available"][0] == "False"
    assert "kubectl get pods" in found["Available"][2]
    assert found["Progressing"][:2] == ("True", "NodesNotReady")


def test_no_selected_node_is_told_as_such() -> None:
    assert told([])["Available"][:2] == ("False", "NoNodes")


def test_while_nodes_move_they_serve_with_what_they_have() -> None:
    old = [Node(f"n{number}", "older", "older", ready=True) for number in range(2)]
    found = told(old)
    assert found["Available"][0] == "True"
    assert found["Progressing"][0] == "True"


def test_what_agents_say_is_told_with_their_nodes() -> None:
    trouble = {"n2": "no primary network: install one", "n1": "disk full"}
    found = told([Node("n1", REVISION), Node("n2", REVISION)], trouble=trouble)
    assert found["Degraded"] == ("True", "NodesDegraded", "n1: disk full; n2: no primary network: install one")


def test_of_many_only_the_first_are_named() -> None:
    trouble = {f"n{number:02}": "broken" for number in range(40)}
    message = told([Node(name, REVISION) for name in trouble], trouble=trouble)["Degraded"][2]
    assert message.endswith("n04: broken; and 35 more (kubectl get nodestates)")


def test_our_own_problem_comes_first() -> None:
    problem = Problem("DaemonSetNotApplied", "DaemonSet mooring-agent was not applied: quota.")
    found = told(good(1), problems=[problem], trouble={"n000": "broken"})
    assert found["Degraded"][1] == "DaemonSetNotApplied"
    assert found["Degraded"][2].startswith("DaemonSet mooring-agent was not applied: quota. n000")


def test_a_transition_time_moves_only_with_the_status() -> None:
    before = [
        {"type": "Available", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        {"type": "Degraded", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
    ]
    picture = Picture(revision=REVISION, nodes=good(1), trouble={}, agents_ready=1)
    status = summaries.summarise(picture, before=before, generation=7, now=NOW)
    times = {each.type: each.last_transition_time for each in status.conditions}
    assert times == {
        "Available": "2020-01-01T00:00:00Z",
        "Progressing": "2026-03-01T12:00:00Z",
        "Degraded": "2026-03-01T12:00:00Z",
    }
    assert {each.observed_generation for each in status.conditions} == {7}


def test_while_canaries_are_watched_it_is_said_since_when() -> None:
    watched = Soak(REVISION, NOW, over=False)
    found = told([*good(1), Node("old", "older", "older", ready=True)], soak=watched)
    assert found["Progressing"] == (
        "True",
        "WatchingCanaries",
        f"1 of 2 nodes have {REVISION}. The others follow when these are found to work, since 2026-03-01T12:00:00Z.",
    )


def test_what_must_be_remembered_of_a_roll_out_is_in_the_status() -> None:
    picture = Picture(revision=REVISION, nodes=[], trouble={}, agents_ready=0, soak=Soak(REVISION, NOW, over=True))
    status = summaries.summarise(picture, before=[], generation=1, now=NOW).to_wire()
    assert status["rollout"] == {"revision": REVISION, "canariesSince": "2026-03-01T12:00:00Z"}


def test_the_numbers_are_those_of_the_nodes() -> None:
    nodes = [*good(2), Node("old", REVISION, "older", ready=True), Node("new", REVISION)]
    picture = Picture(revision=REVISION, nodes=nodes, trouble={}, agents_ready=4)
    status = summaries.summarise(picture, before=[], generation=1, now=NOW).to_wire()
    assert status["nodes"] == {"desired": 4, "updated": 2, "ready": 3}
    assert status["revision"] == REVISION
