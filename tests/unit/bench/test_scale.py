"""What operators ask of an API server is counted from its audit log, and judged while nothing changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench import agents, audits, crowd, scale

if TYPE_CHECKING:
    from pathlib import Path


def event(verb: str, resource: str, *, user: str = crowd.USER, subresource: str = "") -> bytes:
    about = {"resource": resource, **({"subresource": subresource} if subresource else {})}
    return json.dumps({"user": {"username": user}, "verb": verb, "objectRef": about}).encode() + b"\n"


def test_requests_are_those_of_the_operators_by_verb_and_kind() -> None:
    lines = [
        event("patch", "nodestates"),
        event("patch", "nodestates"),
        event("patch", "installations", subresource="status"),
        event("patch", "nodestates", user="system:node"),
    ]
    assert audits.counted(lines, user=crowd.USER) == {"patch nodestates": 2, "patch installations/status": 1}


def test_only_what_was_logged_since_then_counts_and_no_half_line(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(event("list", "nodes"))
    audit = audits.Audit(log)
    with log.open("ab") as file:
        file.write(event("get", "leases") + b'{"user": ')
    assert audits.counted(audit.lines(), user=crowd.USER) == {"get leases": 1}


def stretch(what: str, requests: dict[str, int], most: float) -> scale.Stretch:
    memory = {"resident": most, "own": most, "most": most}
    return scale.Stretch(what, 10.0, requests, {"leader": 1.0, "standby": 0.0}, {"leader": memory, "standby": memory})


def test_idle_is_without_writes_and_lists_and_the_lease_does_not_count() -> None:
    idle = stretch("idle", {"patch leases": 5, "watch nodes": 1}, 140.0)
    found = scale.rows(100, [idle], idle)
    assert found["idleWrites"] == {"requests": {}, "verdict": "within budget (0 writes)"}
    busy = stretch("idle", {"patch nodestates": 1, "list pods": 2}, 140.0)
    found = scale.rows(100, [busy], busy)
    assert found["idleWrites"] == {"requests": {"patch nodestates": 1}, "verdict": "above budget (0 writes)"}
    assert found["idleLists"] == {"requests": {"list pods": 2}, "verdict": "above budget (0 lists)"}


def test_memory_is_the_most_of_all_stretches_and_the_tables_show_it() -> None:
    first, idle = stretch("the first roll-out", {"patch nodestates": 20}, 151.0), stretch("idle", {}, 140.0)
    found = scale.rows(1000, [first, idle], idle)
    assert found["memory"][0] == {"replica": "leader", "mostMiB": 151.0, "verdict": "above budget (150 MiB)"}
    shown = scale.text({"scale": [found]})
    assert "1000 nodes: the first roll-out" in shown
    assert "above budget (150 MiB)" in shown
    assert found["stretches"][0]["requestsPerSecond"] == 2.0


def test_the_highest_memory_is_read_from_the_kernel() -> None:
    assert agents.highest("VmHWM:\t  154000 kB\nVmRSS:\t   70000 kB\n") == 154000
