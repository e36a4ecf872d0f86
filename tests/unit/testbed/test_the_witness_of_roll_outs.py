"""What the test of killed leaders calls broken is broken, and what it does not is not."""

from __future__ import annotations

from typing import Any

from tests.faults.witness import Version, broken_rules

OLD, NEW = "mooring-revision-old", "mooring-revision-new"


class History:
    """Versions one after the other, a second apart."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.worked: dict[tuple[str, str], float] = {}

    def _add(self, kind: str, name: str, item: dict[str, Any]) -> None:
        number = len(self.versions) + 1
        self.versions.append(Version(number, float(number), kind, name, item))

    def rollout(self, stage: str, *, halted: bool = False) -> None:
        status: dict[str, Any] = {"revision": NEW, "lastGood": OLD, "stage": stage, "canaries": [{"node": "a"}]}
        if halted:
            status["halted"] = {"node": "a"}
        self._add("Installation", "default", {"status": {"rollout": status}})

    def told(self, node: str, revision: str) -> None:
        self._add("NodeState", node, {"metadata": {"generation": 2}, "spec": {"revision": revision}})

    def works(self, node: str, revision: str) -> None:
        self.worked[node, revision] = len(self.versions) + 1.0
        status = {
            "revision": revision,
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        state = {"metadata": {"generation": 2}, "spec": {"revision": revision}, "status": status}
        self._add("NodeState", node, state)

    def wrong(self, *, soak: float = 2, most: int = 1) -> str:
        return "\n".join(broken_rules(self.versions, worked=self.worked, most=most, soak=soak))


def begun() -> History:
    """All three nodes work with the old revision, and the canary with the new one too."""
    history = History()
    history.rollout("Complete")
    for node in ("a", "b", "c"):
        history.works(node, OLD)
    history.rollout("Canaries")
    history.told("a", NEW)
    history.works("a", NEW)
    return history


def test_canary_soak_and_one_after_the_other_breaks_nothing() -> None:
    history = begun()
    history.rollout("Rest")
    history.rollout("Rest")
    for node in ("b", "c"):
        history.told(node, NEW)
        history.works(node, NEW)
    assert history.wrong() == ""


def test_two_on_their_way_where_one_may_be_are_told() -> None:
    history = begun()
    history.rollout("Rest")
    history.rollout("Rest")
    history.told("b", NEW)
    history.told("c", NEW)
    assert "b, c are on their way, 1 may be" in history.wrong()


def test_a_node_that_goes_before_the_soak_is_over_is_told() -> None:
    history = begun()
    history.rollout("Rest")
    history.told("b", NEW)
    assert "canary a said that it works 2.00 s before, and it soaks 2.5 s" in history.wrong(soak=2.5)


def test_a_node_that_is_no_canary_is_told() -> None:
    history = begun()
    history.told("b", NEW)
    assert "b was told mooring-revision-new while only a may have it" in history.wrong()


def test_a_node_that_gets_what_failed_its_canary_is_told() -> None:
    history = begun()
    history.rollout("Canaries", halted=True)
    history.told("a", OLD)
    history.told("a", NEW)
    assert "a was told mooring-revision-new, which had failed its canary" in history.wrong(most=3)


def test_a_node_that_is_told_what_no_status_wanted_is_told() -> None:
    history = begun()
    history.told("b", "mooring-revision-unheard-of")
    assert "before the status said that it is wanted" in history.wrong()
