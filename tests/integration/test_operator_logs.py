"""The operator's log is lines that help, in JSON where that is asked for, whatever happens to the API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from testbed import controlplane
from tests import rights
from tests.integration import agents
from tests.integration.conftest import IMAGE, POD, Installed, free_port, make_pod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.controlplane import ControlPlane

MINUTE = 60.0
FIELDS = {"time", "level", "logger", "message"}
INSTALLATION = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Installation", "metadata": {"name": "default"}}


@pytest.fixture
def own() -> Iterator[ControlPlane]:
    """A control plane of the test's own, for it goes away."""
    with controlplane.running(controllers=True) as running, rights.kept("integration", running.audit_log):
        yield running


def made(own: ControlPlane) -> bool:
    return "mooring-agent" in own.kubectl("get", "daemonsets", "-n", agents.SYSTEM, "-o", "name")


def certified(own: ControlPlane) -> bool:
    return bool(
        own.kubectl("get", "secret", "mooring-webhook-tls", "-n", agents.SYSTEM, "-o", "jsonpath={.data.tls\\.crt}")
    )


@pytest.mark.timeout(300)
def test_every_line_is_json_that_says_something(own: ControlPlane, tmp_path: Path) -> None:
    own.kubectl("apply", "-k", "manifests/default")
    own.kubectl("delete", "validatingwebhookconfiguration", "mooring")  # nobody answers it here
    make_pod(own, POD, IMAGE)
    running = Installed(own, free_port()).start_operator(tmp_path, arguments=["--log-format=json"])
    try:
        agents.eventually(lambda: running.readiness()[0] == 200, seconds=MINUTE, what="readiness")
        own.kubectl("apply", "-f", "-", stdin=json.dumps(INSTALLATION | {"spec": {}}))
        agents.eventually(lambda: made(own), seconds=MINUTE, what="what the Installation asks for")
        for level in ("debug", "error", "verbose"):
            own.kubectl("apply", "-f", "-", stdin=json.dumps(INSTALLATION | {"spec": {"plugin": {"logLevel": level}}}))
        empty = json.dumps({"data": {"tls.crt": "", "tls.key": ""}})
        own.kubectl("patch", "secret", "mooring-webhook-tls", "-n", agents.SYSTEM, "--type=merge", "-p", empty)
        agents.eventually(lambda: certified(own), seconds=MINUTE, what="a certificate in place of what was no use")
        with own.apiserver_away():
            # After its term, and some attempts of kopf's.
            agents.eventually(lambda: "does not lead" in running.log.read_text(), seconds=MINUTE, what="a lost term")
        own.kubectl("delete", "daemonset", "mooring-agent", "-n", agents.SYSTEM)
        agents.eventually(lambda: made(own), seconds=MINUTE, what="the DaemonSet again")
        own.kubectl("delete", "installation", "default", "--timeout=60s")
        assert running.end() == 0
    finally:
        running.process.kill()
        running.process.wait()
        print(running.log.read_text())
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert {frozenset(line) for line in lines} == {frozenset(FIELDS)}, "no trace, and nothing that libraries add"
    said = [line["message"] for line in lines]
    assert not [text for text in said if text.rstrip().endswith(":") or text.count("\n")]
    assert not [text for text in said if "Request attempt" in text or "ConnectionKey" in text or "TransferEnc" in text]
    worried = [line["message"] for line in lines if line["level"] != "INFO"]
    assert not [text for text in worried if "409 " in text]
    assert len([text for text in said if "Lease mooring-operator was not renewed" in text]) == 1
    assert len([text for text in said if text.startswith("nodes: ") and "no answer" in text]) == 1
