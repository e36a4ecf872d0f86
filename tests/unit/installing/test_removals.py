"""Which nodes an uninstall waits for."""

from __future__ import annotations

from typing import Any

from mooring.installing import removals
from mooring.installing.removals import Leaving


def state(*, drain: bool = True, revision: str = "r1", condition: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = {"revision": revision, "drain": drain}
    return {"metadata": {"generation": 3}, "spec": spec, "status": {"conditions": [condition] if condition else []}}


def drained(status: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": "Drained", "status": status, "message": "", **more}


def test_a_node_is_clean_when_its_agent_says_so_about_what_is_asked_now() -> None:
    assert removals.leaving("n", state(condition=drained(observedGeneration=3)), away="").clean
    assert not removals.leaving("n", state(condition=drained(observedGeneration=2)), away="").clean
    assert not removals.leaving("n", state(drain=False, condition=drained()), away="").clean
    waits = removals.leaving("n", state(condition=drained("False", message="pod a/b still runs")), away="")
    assert (waits.clean, waits.message) == (False, "pod a/b still runs")


def test_a_node_that_was_never_told_anything_has_nothing_to_remove() -> None:
    assert removals.leaving("n", state(revision=""), away="").clean


def test_nodes_away_are_waited_for_and_then_left() -> None:
    nodes = [Leaving("a", clean=True), Leaving("b", clean=False, away="the Node is not Ready")]
    first = removals.decide(nodes, waited=False)
    assert first.sentence == "1 of 2 nodes are clean. Waiting for b (the Node is not Ready)."
    then = removals.decide(nodes, waited=True)
    assert (then.waiting, then.left) == ({}, ("b",))
    assert then.sentence == "1 of 2 nodes are clean. Away, and clean when they return: b."


def test_a_node_that_is_there_is_never_given_up() -> None:
    stuck = [Leaving("a", clean=False, message="pod x/y still runs")]
    assert removals.decide(stuck, waited=True).waiting == {"a": "pod x/y still runs"}


def test_of_many_only_the_first_are_named() -> None:
    many = [Leaving(f"n{number}", clean=False) for number in range(8)]
    assert removals.decide(many, waited=False).sentence.endswith("and 3 more.")
