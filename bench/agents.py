"""What an agent costs its node: memory, processor time, and writes at the API server.

Owns the numbers and how they are taken: memory and time from /proc, writes from the audit log. Refuses to fail
anything.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.agentnode import USER, AgentNode
from testbed import progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.controlplane import ControlPlane

FEW, MANY, PODS, ROUNDS = 10, 1000, 200, 3
# So long after it is ready it has done all that it does once.
_SETTLE_SECONDS = 30.0
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What a process holds, in KiB: all of it, and what is its own alone."""

    resident: int
    own: int


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """One agent: memory by what there is, and an idle time."""

    memory: dict[str, Memory]
    seconds: float
    """How long it was idle."""
    cpu: float
    """Seconds of a processor that it used meanwhile, its programs included."""
    writes: tuple[str, ...]
    """Verb and path of what it wrote meanwhile."""


def parsed(status: str) -> Memory:
    """Return the memory in the text of `/proc/PID/status`."""
    found = dict(re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB$", status, re.MULTILINE))
    return Memory(int(found.get("VmRSS", 0)), int(found.get("RssAnon", 0)))


def highest(status: str) -> int:
    """Return the most memory that was ever resident, in KiB, from the text of `/proc/PID/status`."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found.group(1)) if found else 0


def used(stat: str) -> float:
    """Return the processor seconds in the text of `/proc/PID/stat`: its own, and of what it waited for."""
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def written(lines: Iterable[str]) -> list[str]:
    """Return verb and path of what the agent wrote, from the lines of an audit log."""
    events = (json.loads(line) for line in lines if line.strip())
    return [
        f"{event['verb']} {event['requestURI'].partition('?')[0]}"
        for event in events
        if event["user"]["username"] == USER and event["verb"] in _WRITES
    ]


def measured(plane: ControlPlane, folder: Path, *, idle_seconds: float) -> Measured:
    """Measure; raises Failure where an agent does not do its work."""
    memory: dict[str, Memory] = {}
    with AgentNode(plane, folder) as node:
        progress.say("the agent with 10 networks")
        node.start()
        node.networks(1, FEW)
        time.sleep(_SETTLE_SECONDS)
        memory[f"idle, {FEW} NADs"] = _memory(node.pid)
        progress.say(f"the agent, idle for {idle_seconds:.0f} s")
        began, cpu, lines = time.monotonic(), _cpu(node.pid), len(node.audited())
        time.sleep(idle_seconds)
        seconds, cpu, writes = time.monotonic() - began, _cpu(node.pid) - cpu, written(node.audited()[lines:])
        progress.say("the agent with 1,000 networks")
        node.networks(FEW + 1, MANY)
        node.stop()
        node.start()
        time.sleep(_SETTLE_SECONDS)
        memory[f"idle, {MANY:,} NADs"] = _memory(node.pid)
        progress.say("the agent while pods come and go")
        for number in range(1, ROUNDS + 1):
            with Peak(node.pid) as peak:
                node.pods_come_and_go(PODS)
            memory[f"while {PODS} pods come and go, {number}. time"] = peak.most
        time.sleep(_SETTLE_SECONDS)
        memory["idle after that"] = _memory(node.pid)
    return Measured(memory, seconds, cpu, tuple(writes))


class Peak:
    """The most memory of a process while this context lasts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = Memory(0, 0)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            now = _memory(self._pid)
            self.most = Memory(max(self.most.resident, now.resident), max(self.most.own, now.own))


def _memory(pid: int) -> Memory:
    return parsed(Path(f"/proc/{pid}/status").read_text())


def _cpu(pid: int) -> float:
    return used(Path(f"/proc/{pid}/stat").read_text())
