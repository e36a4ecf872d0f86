"""kopf carries the Installation's life in the replica that leads, and in no other."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import resources
from testbed import failures
from tests.integration.conftest import SYSTEM, eventually, free_port, make_pod
from tests.integration.installing import Watching, conditions, drained, settle, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane
    from tests.integration.conftest import Installed, OperatorProcess

FINALIZER = "mooring.dev/uninstall"


def requests_of_kopf(plane: ControlPlane, user: str) -> list[str]:
    """Return what the kopf of a user asked the API server for, in order."""
    lines = plane.audit_log.read_text().splitlines()
    entries = (json.loads(line) for line in lines if f'"{user}"' in line and '"kopf/' in line)
    return [f"{each['verb']} {each['requestURI']}" for each in entries]


async def test_a_finalizer_that_somebody_took_away_is_put_back(
    client: Client, operator: OperatorProcess, watching: Watching, installation: dict[str, Any]
) -> None:
    async def held(client: Client) -> bool:
        found = await client.get(resources.INSTALLATIONS, "default")
        return FINALIZER in (found["metadata"].get("finalizers") or [])

    await watching.until(held, what="the finalizer")
    await client.patch(resources.INSTALLATIONS, "default", {"metadata": {"finalizers": None}})
    await watching.until(held, what="the finalizer again")
    await watching.until(lambda client: told(client, "operator-n1"), what="a node that is told")


async def test_a_change_is_named_in_the_log(
    client: Client, operator: OperatorProcess, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    await client.patch(resources.INSTALLATIONS, "default", {"spec": {"plugin": {"logLevel": "debug"}}})

    async def named(_: Client) -> bool:
        return "The Installation changed: spec.plugin" in operator.log.read_text()

    await watching.until(named, what="the field that changed")


async def test_only_the_replica_that_leads_runs_kopf_and_its_end_is_the_end_of_the_term(
    client: Client,
    plane: ControlPlane,
    installed: Installed,
    operator: OperatorProcess,
    watching: Watching,
    installation: dict[str, Any],
    tmp_path: Path,
) -> None:
    await settle(client, watching)
    user = "operator-that-waits"
    for kind in ("clusterrolebinding", "rolebinding"):
        subject = [{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": user}}]
        space = ["-n", SYSTEM] if kind == "rolebinding" else []
        plane.kubectl("patch", kind, "mooring-operator", *space, "--type=json", "-p", json.dumps(subject))
    make_pod(plane, "waiter", "registry.example/mooring:waiter")
    waiter = installed.start_operator(
        tmp_path, pod="waiter", webhook_port=free_port(), kubeconfig=plane.kubeconfig_for(user)
    )
    try:
        await eventually(lambda: waiter.readiness()[0] == 200, what="readiness of the second replica")
        assert requests_of_kopf(plane, user) == []
        operator.signal_operator(signal.SIGSTOP)
        try:
            await eventually(lambda: bool(requests_of_kopf(plane, user)), what="the kopf of the next leader")
        finally:
            operator.signal_operator(signal.SIGCONT)
        await eventually(lambda: "does not lead any more" in operator.log.read_text(), what="that the first sees it")
        assert waiter.end() == 0
        log = waiter.log.read_text()
        assert "Traceback" not in log
        assert "kopf does not carry" not in log
    finally:
        waiter.process.kill()
        waiter.process.wait()

    async def led(client: Client) -> bool:
        lease = await client.get(resources.LEASES, "mooring-operator", namespace=SYSTEM)
        return bool(lease["spec"]["holderIdentity"] not in ("", "waiter"))

    await watching.until(led, what="the first one's next term")


@pytest.fixture
def no_finalizers(plane: ControlPlane) -> Iterator[Callable[[], None]]:
    """A policy, as of somebody who knows better, by which no Installation gets our finalizer; call it to end that."""
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    operations = {"apiGroups": ["mooring.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"]}
    specs: tuple[dict[str, Any], ...] = (
        {
            "matchConstraints": {"resourceRules": [operations | {"resources": ["installations"]}]},
            "validations": [{"expression": f"!('{FINALIZER}' in object.metadata.?finalizers.orValue([]))"}],
        },
        {"policyName": "no-finalizers", "validationActions": ["Deny"]},
    )
    for kind, spec in zip(kinds, specs, strict=True):
        policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "spec": spec}
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(policy | {"metadata": {"name": "no-finalizers"}}))

    def end() -> None:
        for kind in kinds:
            plane.kubectl("delete", kind, "no-finalizers", "--ignore-not-found")

    yield end
    end()


async def test_while_the_finalizer_is_refused_nothing_is_applied_and_the_condition_says_so(
    client: Client,
    plane: ControlPlane,
    operator: OperatorProcess,
    watching: Watching,
    nodes: tuple[str, ...],
    no_finalizers: Callable[[], None],
) -> None:
    body: dict[str, Any] = {
        "apiVersion": resources.INSTALLATIONS.api_version,
        "kind": resources.INSTALLATIONS.kind,
        "metadata": {"name": "default"},
        "spec": {"nodeSelector": {"mooring.dev/test": "operator"}},
    }
    held = body | {"metadata": {"name": "default", "finalizers": [FINALIZER]}}

    def holds() -> bool:
        try:
            plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(held))
        except failures.Failure as failure:
            return "no-finalizers" in str(failure)
        return False

    await eventually(holds, what="the policy")
    await client.create(resources.INSTALLATIONS, body)

    async def said(client: Client) -> bool:
        return bool((await conditions(client)).get("Degraded", {}).get("reason") == "FinalizerNotSet")

    await watching.until(said, what="the condition", seconds=45)
    assert "no-finalizers" in operator.log.read_text(), "and the log says who refuses it"
    assert (await client.list(resources.DAEMON_SETS, namespace=SYSTEM))["items"] == []
    no_finalizers()
    await watching.until(lambda client: told(client, "operator-n1"), what="a node that is told", seconds=45)
    await client.delete(resources.INSTALLATIONS, "default")

    async def gone(client: Client) -> bool:
        await drained(client)
        return not (await client.list(resources.INSTALLATIONS))["items"]

    await watching.until(gone, what="the end of the Installation")
