"""`make bench-scale`: what the operator costs in a cluster of very many nodes.

Owns the order of what happens, and the rows. For each number of nodes a cluster of its own: all is made, installed,
left alone, changed. Refuses to fail because of a number.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import datetime
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import agents, audits, budgets, crowd, facts, tables
from bench.__main__ import RESULTS, keep
from bench.audits import Audit
from testbed import binaries, failures, machine, progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

Row = dict[str, Any]
SIZES = (100, 500, 1000)
SOAK = 5
SPEC: Row = {
    "plugin": {"logLevel": "error"},
    "rollout": {"maxUnavailable": "10%", "canary": {"nodes": 1, "soakSeconds": SOAK}},
}
_SETTLE_SECONDS = 20.0


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--nodes", type=_numbers, default=list(SIZES), help="numbers of nodes (100,500,1000)")
    parser.add_argument("--networks", type=int, default=1000, help="NADs (1000)")
    parser.add_argument("--attachments", type=int, default=5000, help="interfaces in AttachmentSlices (5000)")
    parser.add_argument("--idle", type=float, default=150, help="seconds for which nothing changes (150)")
    parser.add_argument("--note", default="", help="a remark for the results")
    parser.add_argument("--no-file", action="store_true", help="keep no file in bench/results")
    return parser.parse_args(words)


def _numbers(text: str) -> list[int]:
    return sorted({int(word) for word in text.split(",")})


@dataclasses.dataclass(slots=True)
class Stretch:
    """What happened while a block ran: requests of both operators, and what each replica used."""

    what: str
    seconds: float = 0.0
    requests: dict[str, int] = dataclasses.field(default_factory=dict)
    cpu: dict[str, float] = dataclasses.field(default_factory=dict)
    memory: dict[str, Row] = dataclasses.field(default_factory=dict)

    def row(self) -> Row:
        """Return it for the file of results: memory in MiB, at the end and at most until then."""
        rate = sum(self.requests.values()) / self.seconds if self.seconds else 0.0
        return {
            "what": self.what,
            "seconds": round(self.seconds, 2),
            "requestsPerSecond": round(rate, 2),
            "requests": self.requests,
            "cpuSeconds": {name: round(value, 2) for name, value in self.cpu.items()},
            "memoryMiB": self.memory,
        }


class Measuring:
    """One crowd and its stretches."""

    def __init__(self, place: crowd.Crowd) -> None:
        self._place = place
        self.stretches: list[Stretch] = []

    @contextlib.asynccontextmanager
    async def stretch(self, what: str) -> AsyncIterator[Stretch]:
        """Measure a block."""
        progress.say(what)
        audit, began, done = Audit(self._place.plane.audit_log), time.monotonic(), Stretch(what)
        try:
            before = {name: _cpu(pids) for name, pids in (await self._place.processes()).items()}
        except failures.Failure:
            before = {}
        yield done
        done.seconds = time.monotonic() - began
        processes = await self._place.processes()
        done.cpu = {name: _cpu(pids) - before.get(name, 0.0) for name, pids in processes.items()}
        done.memory = {name: _memory(pids) for name, pids in processes.items()}
        done.requests = audits.counted(audit.lines(), user=crowd.USER)
        self.stretches.append(done)


async def measured(folder: Path, chosen: argparse.Namespace, nodes: int) -> Row:
    """Measure one number of nodes."""
    async with crowd.gathered(folder, nodes=nodes, networks=chosen.networks) as place, asyncio.TaskGroup() as group:
        progress.say(f"{nodes} nodes, {chosen.networks} networks, {chosen.attachments} attachments")
        await place.make()
        playing = group.create_task(place.agents().run())
        measuring = Measuring(place)
        place.start_operators()
        await crowd.until(lambda: _leads(place), what="a leader")
        async with measuring.stretch("the first roll-out"):
            await place.install(SPEC)
        async with measuring.stretch("attachments, until every network has its report"):
            await place.attach(chosen.attachments)
            await place.reported(min(chosen.networks, chosen.attachments))
        await asyncio.sleep(_SETTLE_SECONDS)
        async with measuring.stretch("idle") as idle:
            await asyncio.sleep(chosen.idle)
        async with measuring.stretch("a change of the spec, until all nodes have it"):
            await place.change({"plugin": {"logLevel": "debug"}})
        await asyncio.sleep(_SETTLE_SECONDS)
        async with measuring.stretch("after it"):
            await asyncio.sleep(_SETTLE_SECONDS)
        playing.cancel()
    return rows(nodes, measuring.stretches, idle)


async def _leads(place: crowd.Crowd) -> bool:
    with contextlib.suppress(Exception):
        return bool(await place.processes())
    return False


def rows(nodes: int, stretches: Sequence[Stretch], idle: Stretch) -> Row:
    """Return what was measured with so many nodes."""
    most = {name: max(each.memory[name]["most"] for each in stretches) for name in ("leader", "standby")}
    written, listed = audits.writes(idle.requests), audits.lists(idle.requests)
    return {
        "nodes": nodes,
        "stretches": [each.row() for each in stretches],
        "memory": [
            {"replica": name, "mostMiB": value, "verdict": budgets.OPERATOR_MEMORY.verdict(value)}
            for name, value in most.items()
        ],
        "idleWrites": {"requests": written, "verdict": budgets.OPERATOR_WRITES.verdict(sum(written.values()))},
        "idleLists": {"requests": listed, "verdict": budgets.OPERATOR_LISTS.verdict(sum(listed.values()))},
    }


def _cpu(pids: tuple[int, ...]) -> float:
    return sum(agents.used(Path(f"/proc/{pid}/stat").read_text()) for pid in pids)


def _memory(pids: tuple[int, ...]) -> Row:
    """Return the memory of a container in MiB: the pages of all its processes, those that they share twice."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    taken = [agents.parsed(text) for text in texts]
    return {
        "resident": round(sum(each.resident for each in taken) / 1024, 1),
        "own": round(sum(each.own for each in taken) / 1024, 1),
        "most": round(sum(agents.highest(text) for text in texts) / 1024, 1),
    }


def text(results: Row) -> str:
    """Return the tables of a file of results."""
    shown = []
    for size in results["scale"]:
        for each in size["stretches"]:
            memory, cpu = each["memoryMiB"], each["cpuSeconds"]
            shown.append(
                [
                    f"{size['nodes']} nodes: {each['what']}",
                    f"{each['seconds']:.1f}",
                    f"{each['requestsPerSecond']:.1f}",
                    *(f"{memory[name]['resident']:.0f}" for name in ("leader", "standby")),
                    *(f"{cpu[name]:.1f}" for name in ("leader", "standby")),
                    "",
                ]
            )
    header = ["operator", "s", "requests/s", "leader MiB", "standby MiB", "leader cpu s", "standby cpu s", ""]
    verdicts = []
    for size in results["scale"]:
        verdicts += [
            [f"{size['nodes']} nodes: {each['replica']}, most MiB", f"{each['mostMiB']:.1f}", each["verdict"]]
            for each in size["memory"]
        ]
        for key, what in (("idleWrites", "writes"), ("idleLists", "lists")):
            found = size[key]
            count = sum(found["requests"].values())
            verdicts.append([f"{size['nodes']} nodes: idle, {what}", str(count), found["verdict"]])
    return tables.text(header, shown) + "\n\n" + tables.text(["", "", ""], verdicts)


def main() -> int:
    """Measure, print, keep. Exit status 1 only where something could not be measured."""
    chosen = options()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    results: Row = {"version": 1, "date": now, "note": chosen.note, "command": _command(chosen)}
    # The end of this process must not leave others behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        machine.require_root("the benchmark")
        with tempfile.TemporaryDirectory(prefix="mooring-scale-", dir="/var/tmp") as name:
            folder = Path(name)
            results["facts"] = facts.gathered(folder) | _versions()
            results["scale"] = []
            for nodes in chosen.nodes:
                row = asyncio.run(measured(folder / str(nodes), chosen, nodes))
                results["scale"].append(row)
                print(text({"scale": [row]}), flush=True)  # what comes may still fail
    except failures.Failure as failure:
        print(f"could not measure: {failure}", file=sys.stderr)
        return 1
    if not chosen.no_file:
        print(f"\nkept in {keep(results).relative_to(RESULTS.parent.parent)}")
    return 0


def _versions() -> dict[str, str]:
    folder = Path(binaries.__file__).parent
    return {
        part.module: binaries.pinned_version((folder / part.module / "go.mod").read_text(), part.pinned)
        for part in (binaries.KUBERNETES, binaries.KWOK)
    }


def _command(chosen: argparse.Namespace) -> str:
    """Return the numbers of this run as options."""
    sizes = ",".join(map(str, chosen.nodes))
    words = [f"--nodes={sizes}", f"--networks={chosen.networks}", f"--attachments={chosen.attachments}"]
    return " ".join([*words, f"--idle={chosen.idle:g}"])


if __name__ == "__main__":
    sys.exit(main())
