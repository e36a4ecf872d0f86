"""What an agent costs is read from the kernel and from the API server's audit log."""

from __future__ import annotations

import json
import os

from bench import agentnode, agents, report

STAT = "17 (python (x) y) S 1 17 17 0 -1 4194560 1 2 3 4 {user} {system} {waited_user} {waited_system} 20 0 5 0 99"


def event(user: str, verb: str, uri: str) -> str:
    return json.dumps({"user": {"username": user}, "verb": verb, "requestURI": uri})


def test_processor_time_is_its_own_and_that_of_the_programs_it_waited_for() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    stat = STAT.format(user=tick, system=2 * tick, waited_user=3 * tick, waited_system=4 * tick)
    assert agents.used(stat) == 10


def test_memory_is_all_that_is_resident_and_what_is_its_own() -> None:
    assert agents.parsed("Name:\tx\nVmRSS:\t   70000 kB\nRssAnon:\t 50000 kB\n") == agents.Memory(70000, 50000)
    assert agents.parsed("Name:\tx\nState:\tZ (zombie)\n") == agents.Memory(0, 0)


def test_writes_are_the_agents_own() -> None:
    lines = [
        event(agentnode.USER, "patch", "/apis/mooring.dev/v1alpha1/nodestates/n/status?fieldManager=x"),
        event(agentnode.USER, "watch", "/api/v1/pods"),
        event("admin", "create", "/api/v1/pods"),
        "",
    ]
    assert agents.written(lines) == ["patch /apis/mooring.dev/v1alpha1/nodestates/n/status"]


def rows(*writes: str, seconds: float = 600.0) -> dict[str, dict[str, object]]:
    memory = {"idle, 10 NADs": agents.Memory(80 * 1024, 60 * 1024), "while pods come": agents.Memory(1024, 1)}
    found = agents.Measured(memory, seconds, cpu=1.2, writes=writes)
    return {f"{row['what']} {row['unit']}": row for row in report.agent_rows(found)}


def test_the_five_minute_heartbeat_is_none_of_the_writes_that_count() -> None:
    heartbeat = "patch /apis/mooring.dev/v1alpha1/nodestates/n/status"
    found = rows(heartbeat, heartbeat)
    assert found["idle, writes beside heartbeats a minute"]["value"] == 0
    # More of the same than there can be heartbeats.
    assert rows(*[heartbeat] * 13)["idle, writes beside heartbeats a minute"]["value"] == 1
    assert rows("create /apis/events.k8s.io/v1/events")["idle, writes beside heartbeats a minute"]["value"] == 0.1


def test_idle_memory_and_processor_time_have_budgets() -> None:
    found = rows()
    assert found["idle, 10 NADs MiB"]["verdict"] == "above budget (72 MiB)"
    assert "verdict" not in found["while pods come MiB"]
    assert found["idle % of a core"]["verdict"] == "within budget (0.5 % of a core)"
