"""VERSION: what starting a plugin costs, nothing else. Owns the comparison with the reference `bridge`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bench import contenders, processes
from testbed import progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.processes import Took

REFERENCE = "bridge"


def measured(programs: Mapping[str, Path], *, rounds: int, warm_up: int) -> dict[str, list[Took]]:
    """Ask each program for its versions, one after another in every round. Raises Failure where one fails."""
    progress.say(f"VERSION: {rounds} rounds of {', '.join(programs)}")
    environment = {"PATH": os.environ["PATH"], "CNI_COMMAND": "VERSION", "CNI_PATH": "/"}
    taken: dict[str, list[Took]] = {label: [] for label in programs}
    for turn in range(warm_up + rounds):
        for label, program in programs.items():
            finished = processes.run(processes.Command(program, b'{"cniVersion":"1.0.0"}', environment))
            contenders.succeeded(label, finished)
            if turn >= warm_up:
                taken[label].append(processes.Took(finished.wall, finished.cpu))
    return taken
