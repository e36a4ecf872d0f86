"""The roll-out of a revision: owns which nodes get it now, which keep what they have, and when it halts by itself.

Pure: `decide` makes of the nodes as observed, what was persisted, the spec and the time a new answer, and what must be
persisted before that answer is acted upon. An operator that restarts anywhere, or another one, goes on from there.

A node's phase, about the revision that it was told (the first line that fits):

| phase | it is so when | it ends by |
|---|---|---|
| held | its Node has the annotation `mooring.dev/hold` | taking that off: whatever it is then |
| away | kubelet silent, no agent's pod, or no word for too long | its return: moving, proving, current or failing |
| unknown | it was told no revision yet | being told one: moving |
| failing | not good in time, more failed ADDs than before, or broken without a change | good again: current |
| moving | told a revision that it has not applied | applied: proving; late: failing |
| proving | applied and not good yet; or a canary, watched | good, and watched: current; late: failing |
| current | it has what it was told, is Ready, and no more Degraded than before | a new revision: moving |

The roll-out's stages:

| stage | who may change | what follows |
|---|---|---|
| Canaries | the canaries, chosen once; one that is away too long, or is held, is replaced | good for the soak: Rest |
| Rest | everybody, at most `maxUnavailable` on their way at a time | all that are there are good: Complete |
| Complete | who comes late; new nodes join this revision, the last good one | another revision is wanted: Canaries |

It halts in the first two when a node that was changed does worse than before, until the spec changes, or that node is
held. Refuses to move a node because it is broken anyway: it takes its turn, after those that lose least by waiting.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
from typing import TYPE_CHECKING, Literal

from mooring.installing import conditions
from mooring.installing.installations import CanaryNode, Halt, RolloutStatus
from mooring.installing.standings import Before, Node, Told

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

Phase = Literal["current", "moving", "proving", "failing", "away", "held", "unknown"]
NOT_READY = "NotReadyInTime"
MORE_FAILED_ADDS = "MoreFailedAdds"
# Agents count the failed ADDs of ten minutes, and tell of it a minute later at most.
_AGEING = datetime.timedelta(minutes=12)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the Installation says of the roll-out. `generation` is its own: another one lifts a halt."""

    max_unavailable: int | str = "10%"
    canaries: int = 1
    soak: datetime.timedelta = datetime.timedelta(seconds=60)
    deadline: datetime.timedelta = datetime.timedelta(seconds=600)
    paused: bool = False
    generation: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What each node is to be told, what must be persisted before, and how each node stands."""

    told: Mapping[str, Told]
    status: RolloutStatus
    phases: Mapping[str, Phase]


def limit(max_unavailable: int | str, *, total: int) -> int:
    """Return a number of nodes from a number, or from a percentage such as `10%` of `total`, rounded up.

    Raises:
        ValueError: neither of the two.
    """
    if isinstance(max_unavailable, str) and max_unavailable.endswith("%") and max_unavailable[:-1].isdecimal():
        share = int(max_unavailable[:-1]) * total
        return -(-share // 100)
    if isinstance(max_unavailable, int) and max_unavailable >= 0:
        return max_unavailable
    raise ValueError(f"{max_unavailable!r} is neither a number nor a percentage")


def decide(
    nodes: Iterable[Node],
    before: RolloutStatus | None,
    *,
    target: str,
    settings: Settings,
    now: datetime.datetime,
    kept: Collection[str] | None = None,
) -> Decision:
    """Return what follows from what is seen.

    Args:
        nodes: the selected nodes.
        before: what was persisted the last time; None or without a revision where nothing was, or it was lost.
        target: the revision that is wanted.
        settings: what the Installation says.
        now: the time, with a zone.
        kept: the revisions that there still is a document of; None for all.
    """
    known = sorted(nodes, key=lambda node: node.name)
    plan = _Plan(known, _begun(known, before, target, now), settings, now)
    plan.lift()
    plan.choose_canaries()
    plan.judge()
    plan.advance()
    told = plan.assign(kept)
    return Decision(told, plan.status, {node.name: plan.phase(node) for node in known})


def _begun(nodes: Sequence[Node], before: RolloutStatus | None, target: str, now: datetime.datetime) -> RolloutStatus:
    """Return the status of this target: what was persisted, or a new beginning."""
    good = before.last_good if before else None
    if before is None or not before.stage:
        # Persisted by nobody, or by a version that knew no last good one: what most nodes work with.
        working = collections.Counter(node.assigned for node in nodes if node.good and not node.away)
        common = [name for name, count in working.most_common() if name != target or count == len(nodes)]
        good = common[0] if common else None
    elif before.revision == target:
        return before
    stage: Literal["Canaries", "Complete"] = "Complete" if target == good else "Canaries"
    return RolloutStatus(revision=target, stage=stage, last_good=good, since=_stamp(now))


class _Plan:
    """One decision on its way: the status changes from step to step, the nodes do not."""

    def __init__(
        self, nodes: Sequence[Node], status: RolloutStatus, settings: Settings, now: datetime.datetime
    ) -> None:
        self.nodes = nodes
        self.status = status
        self._settings = settings
        self._now = now
        self._by_name = {node.name: node for node in nodes}

    @property
    def _target(self) -> str:
        return self.status.revision

    @property
    def _good(self) -> str:
        return self.status.last_good or ""

    def lift(self) -> None:
        """End a halt: the spec changed, its node is held, or it has come up late with the first revision of all."""
        halt = self.status.halted
        if halt is None:
            return
        node = self._by_name.get(halt.node)
        recovered = not self._good and halt.reason == NOT_READY and node is not None and node.settled(self._target)
        if halt.generation != self._settings.generation or recovered or (node is not None and node.held):
            self._update(halted=None, canaries_since=None, since=_stamp(self._now))

    def choose_canaries(self) -> None:
        """Keep the canaries as they are, but for those that are gone, held, or away for too long; fill up once."""
        if self.status.stage != "Canaries":
            return
        kept = []
        for canary in self.status.canaries:
            node = self._by_name.get(canary.node)
            if node is None or node.held:
                continue
            since = (canary.away_since or _stamp(self._now)) if node.away else None
            if since is None or self._now - _moment(since) < self._settings.deadline:
                kept.append(CanaryNode(node=canary.node, away_since=since))
        if not self.status.halted and not self._settings.paused:
            names = {canary.node for canary in kept}
            others = [node for node in self.nodes if node.name not in names and not node.held and not node.away]
            others.sort(key=self._canary_order)
            missing = max(0, self._settings.canaries - len(kept))
            kept += [CanaryNode(node=node.name) for node in others[:missing]]
        self._update(canaries=kept)

    def _canary_order(self, node: Node) -> tuple[bool, bool, bool, str]:
        off = self._is_off(node)
        # Who has it already is one; who left the last good revision is disturbed already; else who works.
        return node.assigned != self._target, not off, node.good if off else not node.good, node.name

    def _is_off(self, node: Node) -> bool:
        """Whether the node was told a revision that never was good, and is not the one that is wanted."""
        return node.assigned not in ("", self._good, self._target)

    def judge(self) -> None:
        """Halt where a node that was changed does worse than before."""
        if self.status.stage == "Complete" or self.status.halted:
            return
        for node in self.nodes:
            found = self._evidence(node)
            if found:
                reason, message = found
                halt = Halt(
                    node=node.name,
                    reason=reason,
                    message=message,
                    generation=self._settings.generation,
                    since=_stamp(self._now),
                )
                self._update(halted=halt, canaries_since=None)
                return

    def _evidence(self, node: Node) -> tuple[str, str] | None:
        if node.assigned != self._target or node.held or node.away:
            return None
        if not (self._is_canary(node) or not self._good or node.told.worked_with):
            return None  # it did not work before either
        if self._fails_more(node) and not self._ageing(node):
            count = node.told.before.failed_adds if node.told.before else 0
            return MORE_FAILED_ADDS, (
                f"{node.failed_adds} ADDs failed in the last ten minutes, {count} before the change"
            )
        if not node.good and (self._late(node) or self._unsteady(node)):
            seconds = round(self._settings.deadline.total_seconds())
            return (
                NOT_READY,
                f"it is not ready within {seconds} s of the change: {node.why or 'its agent says nothing'}",
            )
        return None

    def _fails_more(self, node: Node) -> bool:
        before = node.told.before
        # Of a network that fails all the time the count goes up and down a little.
        return (
            before is not None
            and node.applied == node.assigned
            and node.failed_adds > before.failed_adds + before.failed_adds // 2
        )

    def _ageing(self, node: Node) -> bool:
        """Whether its failed ADDs may be those of before a halt, or of the bad revision that it left."""
        marks = [node.told.at if node.told.before and node.told.before.recovering else None]
        began = self._began()
        marks.append(began if began and node.told.at and node.told.at < began else None)
        return any(mark is not None and self._now - mark < _AGEING for mark in marks)

    def _proven(self, node: Node) -> bool:
        return node.settled(self._target) and not self._fails_more(node)

    def _late(self, node: Node) -> bool:
        marks = [node.told.at, node.since, node.back_since, self._began() if node.assigned == self._target else None]
        return self._now - max((mark for mark in marks if mark), default=self._now) >= self._settings.deadline

    def _unsteady(self, node: Node) -> bool:
        """Whether a canary has had all the time that it may take, whatever it said in between."""
        if self.status.stage != "Canaries" or not self._is_canary(node):
            return False
        marks = [node.told.at, node.back_since, self._began()]
        spent = self._now - max((mark for mark in marks if mark), default=self._now)
        return spent >= self._settings.deadline + self._settings.soak

    def _began(self) -> datetime.datetime | None:
        return _moment(self.status.since) if self.status.since and self.status.stage != "Complete" else None

    def _is_canary(self, node: Node) -> bool:
        return any(canary.node == node.name for canary in self.status.canaries)

    def phase(self, node: Node) -> Phase:  # one line for each row of the table
        """Return where the node stands."""
        if node.held:
            return "held"
        if node.away:
            return "away"
        if not node.assigned:
            return "unknown"
        if node.good:
            if self._evidence(node) and self.status.stage != "Complete":
                return "failing"
            return "proving" if self.status.stage == "Canaries" and node.assigned == self._target else "current"
        if self._late(node) or (node.applied == node.assigned == self._good and not node.starting):
            return "failing"
        return "proving" if node.applied == node.assigned and node.heard else "moving"

    def advance(self) -> None:
        """Go on to the next stage where this one is over."""
        if self.status.halted:
            return
        if self.status.stage == "Canaries" and self._soaked():
            self._update(stage="Rest")
        if self.status.stage == "Rest" and not self._settings.paused and self._complete():
            self._update(stage="Complete", last_good=self._target, canaries=[], canaries_since=None)

    def _soaked(self) -> bool:
        if not self._settings.canaries:
            return True
        canaries = [self._by_name[canary.node] for canary in self.status.canaries]
        if not canaries or not all(self._proven(node) and not node.away for node in canaries):
            self._update(canaries_since=None)
            return False
        since = self.status.canaries_since or _stamp(self._now, up=True)
        self._update(canaries_since=since)
        # Of the first revision of all there is nothing to compare with: no pod uses us yet.
        return not self._good or self._now - _moment(since) >= self._settings.soak

    def _complete(self) -> bool:
        counted = [node for node in self.nodes if not node.held and not node.away]
        good = [node for node in counted if self._proven(node)]
        return bool(good) and all(self._proven(node) or self._hopeless(node) for node in counted)

    def _hopeless(self, node: Node) -> bool:
        """Whether it did not work before the change, and does not after it."""
        return (
            node.assigned == self._target
            and bool(self._good)
            and not node.told.worked_with
            and self._late(node)
            and not self._is_canary(node)
        )

    def assign(self, kept: Collection[str] | None) -> dict[str, Told]:
        """Return what each node is to be told."""
        answer = {node.name: node.told for node in self.nodes}
        good = self._good if kept is None or self._good in kept else ""
        for node in self.nodes:
            if not node.held and not node.assigned and good:
                answer[node.name] = Told(good, self._now)
        if self._settings.paused or self.status.halted:
            return answer
        waiting = [node for node in self.nodes if self._waits(node) and not (good and not node.assigned)]
        if self.status.stage == "Canaries":
            waiting = [node for node in waiting if self._is_canary(node)]
        budget = self._budget()
        for node in sorted(waiting, key=self._order):
            on_its_way = self._on_its_way(node)
            if not on_its_way and budget <= 0:
                continue
            budget -= not on_its_way
            answer[node.name] = Told(self._target, self._now, self._how_it_does(node))
        return answer

    def _waits(self, node: Node) -> bool:
        return node.assigned != self._target and not node.held and not node.away

    def _order(self, node: Node) -> tuple[bool, bool, str]:
        return not self._is_off(node), bool(node.assigned) and not node.good, node.name

    def _how_it_does(self, node: Node) -> Before:
        if self._is_off(node) and node.told.before:
            # Whatever it left did to it: what it is compared with is how it did before that.
            return dataclasses.replace(node.told.before, recovering=True)
        if node.good:
            return Before(node.applied, node.failed_adds, node.degraded)
        return Before("", node.failed_adds)

    def _budget(self) -> int:
        """Return how many more may be on their way; those that are broken use up room, but never all of it."""
        most = limit(self._settings.max_unavailable, total=len(self.nodes))
        moving = sum(1 for node in self.nodes if self._on_its_way(node))
        broken = sum(1 for node in self.nodes if self.phase(node) == "failing" and not self._on_its_way(node))
        return max(1, most - broken) - moving

    def _on_its_way(self, node: Node) -> bool:
        if node.good or self._late(node) or self.phase(node) not in ("moving", "proving", "failing"):
            return False
        # One that joins works with nothing yet: nobody depends on it.
        return not (self._good and node.assigned == self._good and node.told.before is None)

    def _update(self, **changes: object) -> None:
        self.status = self.status.model_copy(update=changes)


def _stamp(moment: datetime.datetime, *, up: bool = False) -> str:
    """Return whole seconds; rounded up where something must last at least so long from then."""
    return conditions.rfc3339(moment + datetime.timedelta(microseconds=999_999) if up else moment)


def _moment(stamp: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(stamp)
