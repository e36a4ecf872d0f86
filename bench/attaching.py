"""ADD and DEL of one pod at a time, contenders in turn. Owns the order, and the proof that all do the same work."""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING

from bench import networks, node, processes
from testbed import failures, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.contenders import Contender
    from bench.node import Node, Pod
    from bench.processes import Took

VERBS = ("ADD", "DEL")
_GRACE_SECONDS = 0.04
Key = tuple[int, str, str]  # extra networks, contender, verb


def anyone(name: str, netns: Path) -> Pod:
    """Return a pod that no API server knows."""
    return node.Pod(name, str(uuid.uuid4()), netns)


def measured(
    place: Node,
    contestants: Sequence[Contender],
    *,
    counts: Sequence[int],
    rounds: int,
    warm_up: int,
    pod: Callable[[str, Path], Pod] = anyone,
    real: bool = True,
) -> dict[Key, list[Took]]:
    """Attach and detach a pod in every round, for each number of networks and each contender.

    Rounds of all stand side by side, so that what slows the machine slows all. In the rounds for
    warming up, which do not count, it is looked whether the interfaces are there, and gone after.
    `pod` makes a pod of a name for a network namespace. Delegates that are not `real` make no
    interfaces, and none are looked for. Raises Failure where a call fails, or a
    contender does not do what was asked.
    """
    taken: dict[Key, list[Took]] = {
        (count, each.label, verb): [] for count in counts for each in contestants for verb in VERBS
    }
    netns = place.namespaces[0]
    for turn in range(warm_up + rounds):
        warming = turn < warm_up
        if turn % 10 == 0 or turn == warm_up:
            progress.say(f"ADD and DEL: round {turn - warm_up + 1} of {rounds}" if not warming else "warming up")
        for count in counts:
            for each in contestants:
                each.prepare()
                sandbox = pod(f"pod-{count}", netns)
                _out_of_step(real)
                added = processes.one_after_another(each.add(sandbox, count))
                if warming and real:
                    _expect(place, netns, networks.interfaces(count), each.label)
                _out_of_step(real)
                deleted = processes.one_after_another(each.delete(sandbox, count))
                if warming and real:
                    _expect(place, netns, [], each.label)
                if not warming:
                    taken[count, each.label, "ADD"].append(added)
                    taken[count, each.label, "DEL"].append(deleted)
    return taken


def _out_of_step(real: bool) -> None:
    """Let the kernel's clockwork be anywhere when a call starts.

    Removing a link waits for grace periods, which follow each other at their own pace: how long it takes depends on
    when it starts within one, by up to 8 ms. A contender that always starts so many milliseconds after its ADD would
    always meet the same moment.
    """
    if real:
        time.sleep(random.uniform(0, _GRACE_SECONDS))  # noqa: S311 - no secret


def _expect(place: Node, netns: Path, wanted: list[str], label: str) -> None:
    found = place.links(netns)
    if found != wanted:
        raise failures.Failure(f"{label} did not do the same work: the pod has {found or 'no links'}, not {wanted}")
