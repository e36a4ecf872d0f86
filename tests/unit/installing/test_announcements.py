"""What a roll-out tells as events."""

from __future__ import annotations

from mooring.installing import announcements
from mooring.installing.installations import CanaryNode, Halt, RolloutStatus

OLD = RolloutStatus(revision="r1", stage="Complete", last_good="r1")
CHOSEN = RolloutStatus(revision="r2", stage="Canaries", last_good="r1", canaries=[CanaryNode(node="a")])
HALT = Halt(node="a", reason="NotReadyInTime", message="it is not ready", generation=1, since="2026-03-01T12:00:00Z")


def told(before: RolloutStatus | None, after: RolloutStatus) -> list[tuple[str, str, str]]:
    return [(each.kind, each.reason, each.note) for each in announcements.of_rollout(before, after)]


def test_each_stage_is_told_once() -> None:
    assert told(OLD, CHOSEN) == [
        ("Normal", "RolloutStarted", "Nodes get r2 in place of r1."),
        ("Normal", "CanariesChosen", "a get r2 first."),
    ]
    rest = CHOSEN.model_copy(update={"stage": "Rest"})
    assert told(CHOSEN, rest) == [("Normal", "CanariesProven", "r2 was found to work on a; the others follow.")]
    done = rest.model_copy(update={"stage": "Complete", "canaries": []})
    assert told(rest, done) == [("Normal", "RolloutComplete", "All nodes that are there have r2.")]
    for status in (CHOSEN, rest, done):
        assert told(status, status) == []


def test_a_halt_is_a_warning_that_names_the_node_and_its_end_is_told() -> None:
    halted = CHOSEN.model_copy(update={"halted": HALT})
    assert told(CHOSEN, halted) == [("Warning", "RolloutHalted", "No further node gets r2: on a, it is not ready")]
    assert told(halted, CHOSEN) == [("Normal", "RolloutResumed", "Nodes get r2 again.")]


def test_the_same_occasion_has_the_same_name_for_every_replica() -> None:
    firsts, seconds = announcements.of_rollout(OLD, CHOSEN), announcements.of_rollout(None, CHOSEN)
    assert [each.once for each in firsts] == [each.once for each in seconds]
    assert len({each.once for each in firsts} - {""}) == 2


def test_the_first_roll_out_of_all_is_told_to_begin() -> None:
    assert told(None, CHOSEN)[0] == ("Normal", "RolloutStarted", "Nodes get r2.")


def test_going_back_is_told_as_such_and_not_as_done() -> None:
    back = RolloutStatus(revision="r1", stage="Complete", last_good="r1")
    for before in (CHOSEN, CHOSEN.model_copy(update={"halted": HALT})):
        assert told(before, back) == [
            ("Normal", "RolledBack", "Nodes with r2 go back to r1, which all have worked with.")
        ]


def test_a_correction_of_what_had_halted_is_a_roll_out_of_its_own() -> None:
    corrected = CHOSEN.model_copy(update={"revision": "r3"})
    reasons = [reason for _, reason, _ in told(CHOSEN.model_copy(update={"halted": HALT}), corrected)]
    assert reasons == ["RolloutStarted", "CanariesChosen"]


def test_an_object_is_told_of_when_it_was_changed_or_repaired_and_else_not() -> None:
    assert announcements.of_object("DaemonSet", "a", "") == announcements.of_object("DaemonSet", "a", "made") == []
    [applied] = announcements.of_object("DaemonSet", "a", "changed")
    [repaired] = announcements.of_object("DaemonSet", "a", "repaired")
    assert (applied.reason, repaired.reason) == ("Applied", "Repaired")
    assert repaired.note == "DaemonSet a was edited or deleted by somebody, and is again what the Installation says."
    assert repaired.once == "", "what somebody does again is told again"


def test_nodes_that_are_abandoned_with_our_files_are_named() -> None:
    told = announcements.abandoned({"b", "a"})
    assert (told.kind, told.reason) == ("Warning", "NodesAbandoned")
    assert "a, b. Nobody" in told.note
    many = announcements.abandoned([f"node-{number:03}" for number in range(500)])
    assert "node-019 and 480 more" in many.note
    assert len(many.note) <= 1024
