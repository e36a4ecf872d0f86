"""What an agent measures is to be had from it, and from nowhere but its node unless an administrator asks for more."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

from tests.integration.agents import NETWORK_STATUS, SYSTEM, Node, eventually

if TYPE_CHECKING:
    from pathlib import Path


def numbers(node: Node) -> dict[str, str]:
    """Return the value of each series, by name and labels as they are written."""
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {series: value for series, _, value in (line.rpartition(" ") for line in lines) if series[:1] != "#"}


def test_a_node_tells_of_attachments_failures_and_how_long_a_status_took(ready: Node) -> None:
    uid = ready.pod("measured")
    ready.attach("measured", uid, "default/storage")
    eventually(lambda: ready.annotations("measured").get(NETWORK_STATUS), what="the status")
    # The first look at the list of failures says what was before us.
    eventually(lambda: ready.status()["networks"], what="the report")
    failure = {"version": 1, "time": "2026-03-01T12:00:00.000001Z", "verb": "ADD", "containerID": "c", "code": 11}
    failure |= {
        "ifName": "eth0",
        "pod": {"namespace": "default", "name": "measured"},
        "network": "default/a",
        "msg": "no",
    }
    with ready.seen("/var/lib/mooring/failures.jsonl").open("a") as file:
        file.write(json.dumps(failure) + "\n")
    failed = 'mooring_agent_call_failures_total{code="11",network="default/a",verb="ADD"}'
    eventually(lambda: numbers(ready).get(failed) == "1.0", what="the failure")
    found = numbers(ready)
    assert found['mooring_agent_attachments{network="default/storage"}'] == "1.0"
    assert found["mooring_agent_ready"] == "1.0"
    assert float(found["mooring_agent_cache_age_seconds"]) < 30
    assert float(found["mooring_agent_status_delay_seconds_count"]) == 0  # that journal does not say when ADD ended
    assert float(found['mooring_agent_reconcile_duration_seconds_count{reconciler="status"}']) > 0


def test_others_get_metrics_alone_where_they_are_asked_for_and_the_log_is_json_where_that_is(
    ready: Node, tmp_path: Path
) -> None:
    assert ready.stop() == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["agent", "--node", ready.name, "--namespace", SYSTEM, "--host-root", str(ready.host_root)]
    arguments += ["--programs", str(ready.programs), "--health-port", str(ready.port), "--log-format", "json"]
    arguments += ["--metrics-host", "127.0.0.1", "--metrics-port", str(port)]
    code = "import sys; from mooring.cli.main import main; sys.exit(main())"
    with (tmp_path / "json.log").open("wb") as log:
        ready.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "KUBECONFIG": str(ready.kubeconfig)},
            stderr=log,
        )
    ready.get_ready()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"mooring_agent_build_info" in answer.read()
    probe = subprocess.run(
        ["curl", "-s", f"http://127.0.0.1:{port}/readyz"], capture_output=True, check=True, text=True
    )
    assert probe.stdout == "there is /metrics\n"
    lines = [json.loads(line) for line in (tmp_path / "json.log").read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    assert any(line["message"] == f"agent of node {ready.name}" for line in lines)
