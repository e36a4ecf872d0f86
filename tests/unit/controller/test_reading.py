"""What NodeStates and the DaemonSet say, and what is missing in them."""

from __future__ import annotations

from typing import Any

from mooring.controller import reading
from mooring.installing import nodestates
from mooring.installing.rollouts import Node

NODE: dict[str, Any] = {"metadata": {"name": "n1", "uid": "7", "labels": {}}}


def state(**status: Any) -> dict[str, Any]:
    made = nodestates.desired(NODE, revision="r1")
    made["status"] = status
    return made


def ready(status: str, message: str = "") -> dict[str, Any]:
    return {"type": "Ready", "status": status, "reason": "Why", "message": message}


def test_a_node_without_a_nodestate_has_nothing() -> None:
    assert reading.nodes(["n1"], {}) == [Node("n1")]


def test_a_node_whose_agent_has_not_spoken_yet_is_told_something_and_has_nothing() -> None:
    made = state()
    del made["status"]
    assert reading.nodes(["n1"], {"n1": made}) == [Node("n1", assigned="r1")]


def test_a_node_is_ready_by_its_condition() -> None:
    states = {"n1": state(revision="r0", conditions=[ready("True")])}
    assert reading.nodes(["n1"], states) == [Node("n1", assigned="r1", applied="r0", ready=True)]
    states = {"n1": state(revision="r1", conditions=[ready("Unknown")])}
    assert reading.nodes(["n1"], states) == [Node("n1", assigned="r1", applied="r1", ready=False)]


def test_trouble_is_what_agents_of_selected_nodes_say() -> None:
    states = {
        "n1": state(conditions=[ready("False", "disk full")]),
        "n2": state(conditions=[ready("False")]),
        "n3": state(conditions=[ready("Unknown", "starting")]),
        "elsewhere": state(conditions=[ready("False", "not ours to tell")]),
    }
    assert reading.trouble(["n1", "n2", "n3", "n4"], states) == {"n1": "disk full", "n2": "Why"}


def test_a_revision_is_in_use_where_a_node_has_it_or_is_to_have_it() -> None:
    assert reading.revisions_in_use({"n1": state(revision="r0"), "n2": state()}) == {"r0", "r1"}


def test_agents_that_nobody_counted_are_none() -> None:
    assert reading.agents_ready(None) == 0
    assert reading.agents_ready({"status": {}}) == 0
    assert reading.agents_ready({"status": {"numberReady": 3}}) == 3


def test_a_nodestate_differs_by_spec_owner_or_our_labels_and_not_by_what_others_add() -> None:
    desired = nodestates.desired(NODE, revision="r1")
    found = nodestates.desired(NODE, revision="r1")
    found["metadata"]["labels"]["theirs"] = "yes"
    assert not reading.differs(found, desired)
    assert reading.differs(found, nodestates.desired(NODE, revision="r2"))
    reborn = {"metadata": {**NODE["metadata"], "uid": "8"}}
    assert reading.differs(found, nodestates.desired(reborn, revision="r1"))
    del found["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    assert reading.differs(found, desired)


def test_ours_is_what_carries_our_label() -> None:
    assert reading.is_ours(state())
    assert not reading.is_ours({"metadata": {"name": "n1"}})


def test_nodes_are_drained_whose_state_says_so() -> None:
    states: dict[str, dict[str, Any]] = {"a": {"spec": {"drain": True}}, "b": {"spec": {"drain": False}}, "c": {}}
    assert reading.draining(states) == {"a"}
