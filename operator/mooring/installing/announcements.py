"""What the operator tells of the Installation as events: owns their reasons and sentences.

Pure. Each tells of one occasion, named by `once`, so that an operator that restarts does not tell it again.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

    from mooring.installing.installations import RolloutStatus

# A name has up to 253 bytes, a note 1,024; the names of most clusters are far shorter.
_MOST_NAMED = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Announcement:
    """An event: `once` names its occasion, "" for one that may repeat."""

    kind: Literal["Normal", "Warning"]
    reason: str
    note: str
    action: str
    once: str = ""


def of_rollout(before: RolloutStatus | None, after: RolloutStatus) -> list[Announcement]:
    """Return what is new in a roll-out."""
    found = []
    same = before is not None and before.revision == after.revision

    def tell(reason: str, note: str, kind: Literal["Normal", "Warning"] = "Normal") -> None:
        found.append(Announcement(kind, reason, note, "RollOut", f"{reason}/{after.revision}/{after.since}"))

    if before is not None and not same and after.revision == before.last_good:
        tell("RolledBack", f"Nodes with {before.revision} go back to {after.revision}, which all have worked with.")
        return found
    if not same and after.stage == "Canaries":
        instead = f" in place of {before.revision}" if before is not None and before.revision else ""
        tell("RolloutStarted", f"Nodes get {after.revision}{instead}.")
    former = [canary.node for canary in before.canaries] if same and before else []
    chosen = [canary.node for canary in after.canaries]
    if chosen and chosen != former:
        note = f"{', '.join(chosen)} get {after.revision} first."
        reason = "CanariesChosen"
        found.append(Announcement("Normal", reason, note, "RollOut", f"{reason}/{after.since}/{note}"))
    if after.stage == "Rest" and not (same and before and before.stage == "Rest"):
        tell(
            "CanariesProven",
            f"{after.revision} was found to work on {', '.join(chosen) or 'no node'}; the others follow.",
        )
    if after.stage == "Complete" and not (same and before and before.stage == "Complete"):
        tell("RolloutComplete", f"All nodes that are there have {after.revision}.")
    if after.halted and not (same and before and before.halted == after.halted):
        halt = after.halted
        tell("RolloutHalted", f"No further node gets {after.revision}: on {halt.node}, {halt.message}", "Warning")
    if same and before and before.halted and not after.halted:
        tell("RolloutResumed", f"Nodes get {after.revision} again.")
    return found


def abandoned(nodes: Collection[str]) -> Announcement:
    """Return that nodes are served no more, and still have what we put there."""
    some = sorted(nodes)
    # As many as an event's note holds for sure.
    named = ", ".join(some[:_MOST_NAMED]) + (f" and {len(some) - _MOST_NAMED} more" if len(some) > _MOST_NAMED else "")
    note = (
        "Without the labels of spec.nodeSelector, and with the conf, plugin and credentials of Mooring left on them: "
        f"{named}. Nobody repairs or removes these files until the nodes have the labels again."
    )
    return Announcement("Warning", "NodesAbandoned", note, "Abandon")


def of_object(kind: str, name: str, outcome: str) -> list[Announcement]:
    """Return what became of an object of ours, where a person should know: it was `changed`, or `repaired`."""
    match outcome:
        case "changed":
            return [Announcement("Normal", "Applied", f"{kind} {name} was made what the Installation says.", "Apply")]
        case "repaired":
            note = f"{kind} {name} was edited or deleted by somebody, and is again what the Installation says."
            return [Announcement("Normal", "Repaired", note, "Repair")]
    return []
