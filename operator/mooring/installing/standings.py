"""How a node stands in a roll-out: owns what of it a decision knows, and when it is good.

Pure values, made of Node, NodeState and the agent's pod, and serialised in the NodeState. Refuses to decide anything.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Before:
    """How a node did when it was told its revision.

    `revision`: the one that it worked with; "" where it worked with none. `failed_adds`: in ten minutes, before it was
    changed. `recovering`: it left a revision that never was good, whose failures still count for a while.
    """

    revision: str = ""
    failed_adds: int = 0
    degraded: bool = False
    recovering: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a node was told, when, and how it did then.

    "": nothing yet. `before` None: it is new, and joined the last good revision; nobody depends on it.
    """

    revision: str = ""
    at: datetime.datetime | None = None
    before: Before | None = None

    @property
    def worked_with(self) -> str:
        """The revision that the node worked with then; "" for none."""
        return self.before.revision if self.before else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """Where a node stands, as observed.

    `heard`: its agent has seen what it was told last. `starting`: it is not ready because it has only begun. `since`:
    when its Ready condition changed last; `back_since`: when Node or agent came back. `away`: why it is taken to be
    away. `why`: the agent's words.
    """

    name: str
    told: Told = Told()
    applied: str = ""
    ready: bool = False
    degraded: bool = False
    starting: bool = False
    failed_adds: int = 0
    heard: bool = True
    away: str = ""
    held: bool = False
    since: datetime.datetime | None = None
    back_since: datetime.datetime | None = None
    why: str = ""

    @property
    def assigned(self) -> str:
        """The revision that it was told."""
        return self.told.revision

    @property
    def good(self) -> bool:
        """Whether it has what it was told and works with it, no more degraded than before."""
        return (
            bool(self.assigned)
            and self.heard
            and self.applied == self.assigned
            and self.ready
            and (not self.degraded or (self.told.before is not None and self.told.before.degraded))
        )

    def settled(self, revision: str) -> bool:
        """Whether the node has this revision and works with it."""
        return self.assigned == revision and self.good
