"""What NodeStates and the DaemonSet say, and what is missing in them."""

from __future__ import annotations

import datetime
from typing import Any

from mooring.controller import reading
from mooring.installing import nodestates
from mooring.installing.standings import Before, Node, Told

NODE: dict[str, Any] = {"metadata": {"name": "n1", "uid": "7", "labels": {}}}
NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def desired(revision: str = "r1", node: dict[str, Any] = NODE) -> dict[str, Any]:
    return nodestates.desired(node, Told(revision))


def state(**status: Any) -> dict[str, Any]:
    made = desired()
    made["status"] = status
    made["metadata"]["generation"] = 2
    return made


def condition(kind: str, status: str, message: str = "", reason: str = "Why") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def read(state: dict[str, Any] | None = None, *, node: dict[str, Any] = NODE, **more: Any) -> Node:
    pods = more.pop("pods", None)
    [found] = reading.nodes({"n1": node}, {"n1": state} if state else {}, pods, now=NOW, **more)
    return found


def test_a_node_without_a_nodestate_has_nothing() -> None:
    assert read() == Node("n1", starting=True)


def test_a_node_whose_agent_has_not_spoken_yet_is_told_something_and_has_nothing() -> None:
    made = state()
    del made["status"]
    assert read(made) == Node("n1", Told("r1"), starting=True)


def test_a_node_is_ready_by_its_condition_and_degraded_by_another() -> None:
    found = read(state(revision="r1", conditions=[condition("Ready", "True")]))
    assert (found.applied, found.ready, found.degraded, found.good) == ("r1", True, False, True)
    found = read(
        state(revision="r1", conditions=[condition("Ready", "True"), condition("Degraded", "True", "disk full")])
    )
    assert (found.ready, found.degraded, found.good, found.why) == (True, True, False, "disk full")
    found = read(state(revision="r1", conditions=[condition("Ready", "Unknown")]))
    assert (found.ready, found.starting, found.why) == (False, False, "Why")


def test_an_agent_that_has_only_begun_is_no_trouble() -> None:
    assert read(state(conditions=[condition("Ready", "False", reason="Applying")])).starting


def test_a_word_about_an_older_spec_does_not_count() -> None:
    ready = [condition("Ready", "True")]
    assert not read(state(revision="r1", observedGeneration=1, conditions=ready)).good
    assert read(state(revision="r1", observedGeneration=2, conditions=ready)).good


def test_a_node_is_away_when_its_kubelet_its_agents_pod_or_its_agents_word_is() -> None:
    off = {**NODE, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    assert read(state(), node=off).away == "the Node's kubelet is silent"
    assert read(state(), pods={}).away == "no agent's pod runs on it"
    assert read(state(), pods={"n1": {"started": None}}).away == ""
    assert read(None, pods={}).away == "", "before it was told anything there is no pod to miss"
    assert read(state(heartbeatTime="2026-03-01T11:44:00Z")).away == ""
    assert read(state(heartbeatTime="2026-03-01T11:43:59Z")).away == (
        "its agent has said nothing since 2026-03-01T11:43:59Z"
    )


def test_a_node_whose_kubelet_says_that_it_is_not_ready_is_there_and_not_ready() -> None:
    broken = {**NODE, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    found = read(state(revision="r1", conditions=[condition("Ready", "True")]), node=broken)
    assert (found.away, found.ready, found.good) == ("", False, False)
    assert found.why == "its kubelet says that the Node is not Ready (kubectl describe node n1)"
    found = read(state(conditions=[condition("Ready", "False", "no such network")]), node=broken)
    assert found.why == "no such network", "its agent knows more"


def test_its_clock_begins_anew_when_node_or_agent_come_back() -> None:
    back = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T11:00:00Z"}
    found = read(
        state(), node={**NODE, "status": {"conditions": [back]}}, pods={"n1": {"started": "2026-03-01T11:30:00Z"}}
    )
    assert found.back_since == datetime.datetime(2026, 3, 1, 11, 30, tzinfo=datetime.UTC)


def test_a_node_is_held_by_its_annotation() -> None:
    assert read(node={"metadata": {**NODE["metadata"], "annotations": {reading.HOLD: ""}}}).held


def test_what_a_node_was_told_comes_back_from_its_nodestate_as_it_was() -> None:
    told = Told("r1", NOW, Before("r0", failed_adds=3, degraded=True, recovering=True))
    assert nodestates.told(nodestates.desired(NODE, told)["spec"]) == told
    assert nodestates.told({}) == Told()


def test_a_rollout_that_a_later_version_wrote_begins_anew() -> None:
    assert reading.rollout({"status": {"rollout": {"revision": "r1", "later": True}}}) is None
    found = reading.rollout({"status": {"rollout": {"revision": "r1"}}})
    assert found is not None
    assert found.revision == "r1"


def test_a_revision_is_in_use_where_a_node_has_it_or_is_to_have_it() -> None:
    assert reading.revisions_in_use({"n1": state(revision="r0"), "n2": state()}) == {"r0", "r1"}


def test_agents_that_nobody_counted_are_none() -> None:
    assert reading.agents_ready(None) == 0
    assert reading.agents_ready({"status": {}}) == 0
    assert reading.agents_ready({"status": {"numberReady": 3}}) == 3


def test_a_nodestate_differs_by_spec_owner_or_our_labels_and_not_by_what_others_add() -> None:
    wanted, found = desired(), desired()
    found["metadata"]["labels"]["theirs"] = "yes"
    assert not reading.differs(found, wanted)
    assert reading.differs(found, desired("r2"))
    reborn = {"metadata": {**NODE["metadata"], "uid": "8"}}
    assert reading.differs(found, desired(node=reborn))
    del found["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    assert reading.differs(found, wanted)


def test_ours_is_what_carries_our_label() -> None:
    assert reading.is_ours(state())
    assert not reading.is_ours({"metadata": {"name": "n1"}})


def test_nodes_are_drained_whose_state_says_so() -> None:
    states: dict[str, dict[str, Any]] = {"a": {"spec": {"drain": True}}, "b": {"spec": {"drain": False}}, "c": {}}
    assert reading.draining(states) == {"a"}


def test_a_node_is_abandoned_that_is_there_and_served_no_more_and_has_something_of_ours() -> None:
    empty = nodestates.desired(NODE, Told())
    clean = nodestates.desired(NODE, Told("r1"), drain=True)
    clean["status"] = {"conditions": [condition("Drained", "True")]}
    states = {"lost": desired(), "applied": {**empty, "status": {"revision": "r1"}}, "served": desired()}
    states |= {"gone": desired(), "empty": empty, "clean": clean, "theirs": {"metadata": {"name": "theirs"}}}
    there = states.keys() - {"gone"}
    assert reading.abandoned(states, there, served={"served"}) == ["lost", "applied"]
