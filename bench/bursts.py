"""Many pods at once on one node, as after a node's start: wall time and memory. Owns how memory is counted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from bench import attaching, processes
from testbed import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.contenders import Contender
    from bench.node import Node, Pod
    from bench.processes import Took


@dataclasses.dataclass(slots=True)
class Memory:
    """The most that the programs a contender was started as took, in KiB.

    `largest`: one process, all its pages. `together`: all at the same time, pages of their own only.
    A meta-plugin's delegates are not in it: they are the same for all.
    """

    largest: int = 0
    together: int = 0

    def look(self, pids: Sequence[int]) -> None:
        """Take what these processes use now. One that has ended in between does not count."""
        together = 0
        for pid in pids:
            peak, own = pages(_status(pid))
            self.largest = max(self.largest, peak)
            together += own
        self.together = max(self.together, together)


def pages(status: str) -> tuple[int, int]:
    """Return peak of all pages and present own pages (KiB) from /proc/<pid>/status; zeros where it has none."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return _kibibytes(fields.get("VmHWM")), _kibibytes(fields.get("RssAnon"))


def _kibibytes(field: str | None) -> int:
    return int(field.split()[0]) if field else 0


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Burst:
    """Bursts of one contender: what each took, by verb, and the memory of a further one."""

    taken: dict[str, list[Took]]
    memory: dict[str, Memory]


def measured(
    place: Node,
    contestants: Sequence[Contender],
    *,
    count: int,
    rounds: int,
    pod: Callable[[str, Path], Pod] = attaching.anyone,
) -> dict[str, Burst]:
    """Attach a pod in each namespace of the node at once, then detach all, contenders in turn.

    The first round warms up. Memory is looked at in a round of its own at the end: looking takes
    time. Raises Failure where a call fails.
    """
    size = len(place.namespaces)
    progress.say(f"{size} pods at once, {count} extra: {rounds} rounds")
    bursts = {
        each.label: Burst({verb: [] for verb in attaching.VERBS}, {verb: Memory() for verb in attaching.VERBS})
        for each in contestants
    }
    for turn in range(rounds + 2):
        watching = turn == rounds + 1
        for each in contestants:
            each.prepare()
            burst = bursts[each.label]
            pods = [pod(f"burst-{number}", netns) for number, netns in enumerate(place.namespaces)]
            for verb, steps in (("ADD", each.add), ("DEL", each.delete)):
                watch = burst.memory[verb].look if watching else None
                took = processes.all_at_once([steps(one, count) for one in pods], watch=watch)
                if turn > 0 and not watching:
                    burst.taken[verb].append(took)
    return bursts
