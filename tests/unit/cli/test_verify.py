"""What `mooring verify` says of nodes."""

from __future__ import annotations

from typing import Any

from mooring.cli import verify


def installation(*, desired: int = 2, seen: int | None = 3) -> dict[str, Any]:
    return {"metadata": {"generation": 3}, "status": {"observedGeneration": seen, "nodes": {"desired": desired}}}


def state(name: str, status: str | None = "True", message: str = "") -> dict[str, Any]:
    told = [] if status is None else [{"type": "Ready", "status": status, "reason": "Why", "message": message}]
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Degraded", "status": "True"}, *told]}}


def test_ready_nodes_are_nothing_to_say() -> None:
    assert verify.unready(installation(), [state("n1"), state("n2")]) == ""


def test_each_node_is_told_with_its_reason() -> None:
    said = verify.unready(installation(desired=3), [state("n2", None), state("n1", "False", "no conf"), state("n3")])
    assert said == "n1: no conf; n2: its agent has not said anything yet"


def test_a_node_without_its_state_is_counted() -> None:
    assert verify.unready(installation(), [state("n1")]) == "1 of 2 nodes have no NodeState yet"


def test_what_the_operator_says_of_another_spec_does_not_count() -> None:
    assert "has not seen the Installation as it is now" in verify.unready(installation(seen=2), [state("n1")])
    assert "has not seen" in verify.unready({"metadata": {"generation": 1}}, [])


def test_no_node_at_all_is_not_ready() -> None:
    assert "no node is selected" in verify.unready(installation(desired=0), [])
