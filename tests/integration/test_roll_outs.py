"""Roll-outs, idleness and leadership against a real API server; the test plays agents and kubelets."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import daemonsets
from mooring.kube import resources
from tests.integration.conftest import IMAGE, SYSTEM, eventually, free_port, make_pod
from tests.integration.installing import LABELS, NODES, Watching, conditions, daemon_set, report, settle, told

if TYPE_CHECKING:
    from pathlib import Path

    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane
    from tests.integration.conftest import Installed

pytestmark = pytest.mark.usefixtures("operator")
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


async def change(client: Client, **spec: Any) -> None:
    await client.patch(resources.INSTALLATIONS, "default", {"spec": spec})


async def rollout(client: Client) -> dict[str, Any]:
    found = await client.get(resources.INSTALLATIONS, "default")
    return dict((found.get("status") or {}).get("rollout") or {})


def writes(plane: ControlPlane, user: str) -> list[str]:
    """Return what a user wrote, but for the Lease, from the audit log."""
    found = []
    for entry in map(json.loads, plane.audit_log.read_text().splitlines()):
        about = entry.get("objectRef", {})
        if entry["user"].get("username") == user and entry["verb"] in WRITES and about.get("resource") != "leases":
            found.append(f"{entry['requestReceivedTimestamp']} {entry['verb']} {entry['requestURI']}")
    return found


OPERATOR = f"system:serviceaccount:{SYSTEM}:mooring-operator"


class TestARevisionThatDoesNotWork:
    async def test_stops_at_the_canary_with_node_and_reason_and_the_fixed_one_goes_on(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await settle(client, watching)
        good = await told(client, NODES[0])
        rules = {"canary": {"nodes": 1, "soakSeconds": 1}, "progressDeadlineSeconds": 2}
        await change(client, defaultNetwork="no-such.conf", rollout=rules)

        async def halted(client: Client) -> dict[str, Any] | None:
            if await told(client, NODES[0]) != good:
                await report(client, NODES[0], ready=False, message="no-such.conf is not there")
            found = (await conditions(client)).get("Degraded", {})
            return found if found.get("reason") == "RolloutHalted" else None

        found = await watching.until(halted, what="the halt")
        assert f"on {NODES[0]}, it is not ready within 2 s of the change: no-such.conf is not there" in found["message"]
        assert f"spec.rollout.rollbackTo: {good}" in found["message"]
        assert await told(client, NODES[1]) == good
        events = await client.list(resources.EVENTS, namespace="default")
        noted = [each["note"] for each in events["items"] if each["reason"] == "RolloutHalted"]
        assert any(NODES[0] in note for note in noted)

        await change(client, defaultNetwork="auto", plugin={"logLevel": "debug"})
        await settle(client, watching)
        assert await told(client, NODES[0]) == await told(client, NODES[1]) != good
        assert "halted" not in await rollout(client)
        assert (await conditions(client))["Degraded"]["status"] == "False"

    async def test_is_left_by_rolling_back_to_a_revision_that_is_kept(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await settle(client, watching)
        good = await told(client, NODES[0])
        await change(client, defaultNetwork="no-such.conf")

        async def moved(client: Client) -> bool:
            return await told(client, NODES[0]) != good

        await watching.until(moved, what="the canary's move")
        await change(client, rollout={"rollbackTo": good})

        async def back(client: Client) -> bool:
            return {await told(client, node) for node in NODES} == {good}

        await watching.until(back, what="the good revision everywhere")
        assert (await daemon_set(client))["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE

    async def test_to_go_back_to_one_that_is_gone_is_told_and_changes_nothing(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await settle(client, watching)
        good = await told(client, NODES[0])
        await change(client, rollout={"rollbackTo": "mooring-revision-0000000000"})

        async def degraded(client: Client) -> bool:
            return bool((await conditions(client))["Degraded"]["reason"] == "RevisionUnknown")

        await watching.until(degraded, what="the condition")
        assert {await told(client, node) for node in NODES} == {good}


class TestANode:
    async def test_that_is_held_keeps_what_it_has(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await settle(client, watching)
        old = await told(client, NODES[0])
        await client.patch(resources.NODES, NODES[0], {"metadata": {"annotations": {"mooring.dev/hold": "true"}}})
        await change(client, plugin={"logLevel": "debug"}, rollout={"canary": {"soakSeconds": 0}})

        async def other_moved(client: Client) -> bool:
            await report(client, NODES[1], ready=True)
            return await told(client, NODES[1]) != old and (await rollout(client))["stage"] == "Complete"

        await watching.until(other_moved, what="the other node's move")
        assert await told(client, NODES[0]) == old

    async def test_that_starts_with_the_taint_loses_it_when_it_has_proven_ready_and_keeps_others(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        taints = [
            {"key": "mooring.dev/agent-not-ready", "effect": "NoSchedule"},
            {"key": "somebody.else/taint", "effect": "NoSchedule"},
        ]
        await client.patch(resources.NODES, NODES[0], {"spec": {"taints": taints}})
        await watching.until(lambda client: told(client, NODES[0]), what="a revision")
        await report(client, NODES[0], ready=False, message="not yet")
        node = await client.get(resources.NODES, NODES[0])
        assert "mooring.dev/agent-not-ready" in [taint["key"] for taint in node["spec"]["taints"]]
        await report(client, NODES[0], ready=True)

        async def lifted(client: Client) -> bool:
            node = await client.get(resources.NODES, NODES[0])
            keys = [taint["key"] for taint in node["spec"].get("taints") or []]
            return "mooring.dev/agent-not-ready" not in keys and "somebody.else/taint" in keys

        await watching.until(lifted, what="the end of the taint")


class TestAnIdleOperator:
    async def test_writes_nothing_however_often_it_looks(
        self, client: Client, plane: ControlPlane, watching: Watching, installation: dict[str, Any]
    ) -> None:
        await settle(client, watching)

        async def quiet(client: Client) -> list[str] | None:
            before = writes(plane, OPERATOR)
            await asyncio.sleep(3)
            return before if writes(plane, OPERATOR) == before else None

        before = await watching.until(quiet, what="three seconds without a write")
        # Each of these wakes it, and none is a reason to write.
        for number in range(5):
            patch = {"metadata": {"labels": {"somebody": f"else-{number}"}}}
            await client.patch(resources.NODES, NODES[0], patch)
            await client.patch(resources.DAEMON_SETS, daemonsets.NAME, patch, namespace=SYSTEM)
            await asyncio.sleep(1)
        assert writes(plane, OPERATOR) == before
        found = await daemon_set(client)
        assert found["metadata"]["labels"]["somebody"] == "else-4", "what others add stays"

    async def test_removes_a_daemonset_of_ours_that_is_not_wanted_any_more(
        self, client: Client, watching: Watching, installation: dict[str, Any]
    ) -> None:
        found = await watching.until(daemon_set, what="the DaemonSet")
        former = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "mooring-former", "namespace": SYSTEM, "labels": found["metadata"]["labels"]},
            "spec": {
                "selector": {"matchLabels": {"former": "true"}},
                "template": {
                    "metadata": {"labels": {"former": "true"}},
                    "spec": {
                        "nodeSelector": {"nowhere": "true"},
                        "containers": [{"name": "c", "image": "i"}],
                    },
                },
            },
        }
        await client.create(resources.DAEMON_SETS, former, namespace=SYSTEM)

        async def gone(client: Client) -> bool:
            names = [item["metadata"]["name"] for item in (await client.list(resources.DAEMON_SETS))["items"]]
            return names == [daemonsets.NAME]

        await watching.until(gone, what="the end of the former DaemonSet", seconds=10)


async def test_a_leader_that_wakes_up_after_its_term_writes_nothing(
    client: Client,
    plane: ControlPlane,
    installed: Installed,
    watching: Watching,
    installation: dict[str, Any],
    tmp_path: Path,
) -> None:
    """A process that is stopped in the middle of its writes, for longer than its Lease lasts."""
    user = "operator-that-sleeps"
    for kind in ("clusterrolebinding", "rolebinding"):
        subject = [{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": user}}]
        space = ["-n", SYSTEM] if kind == "rolebinding" else []
        plane.kubectl("patch", kind, "mooring-operator", *space, "--type=json", "-p", json.dumps(subject))
    make_pod(plane, "sleeper", "registry.example/mooring:sleeper")
    sleeper = installed.start_operator(
        tmp_path, pod="sleeper", webhook_port=free_port(), kubeconfig=plane.kubeconfig_for(user)
    )
    many = [f"sleepy-{number:03}" for number in range(150)]
    try:
        await eventually(lambda: sleeper.readiness()[0] == 200, what="readiness of the sleeper")
        for name in many:
            await client.create(
                resources.NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": LABELS}}
            )
        term = {"spec": {"holderIdentity": "sleeper", "leaseDurationSeconds": 15}}
        # One write of the Lease may cross the other's renewal.
        await eventually(lambda: "sleeper leads" in _leading(plane, installed, term, sleeper.log), what="its term")
        await change(client, nodeSelector={"mooring.dev/test": "operator"}, plugin={"logLevel": "debug"})
        await eventually(lambda: len(writes(plane, user)) > 5, what="its first writes")
        sleeper.signal_operator(signal.SIGSTOP)
        asleep = len(writes(plane, user))

        async def taken(client: Client) -> bool:
            lease = await client.get(resources.LEASES, "mooring-operator", namespace=SYSTEM)
            return bool(lease["spec"]["holderIdentity"] not in ("", "sleeper"))

        await watching.until(taken, what="another leader", seconds=40)
        asleep = max(asleep, len(writes(plane, user)))
        await change(client, plugin={"logLevel": "verbose"})
        sleeper.signal_operator(signal.SIGCONT)
        await eventually(lambda: "does not lead any more" in sleeper.log.read_text(), what="that it sees it")
        await eventually(lambda: sleeper.readiness()[0] == 200, what="that it goes on to observe and to serve")
        assert writes(plane, user)[asleep:] == []
        assert sleeper.end() == 0
        assert "Traceback" not in sleeper.log.read_text()
    finally:
        sleeper.process.kill()
        sleeper.process.wait()
        for name in many:
            await client.delete(resources.NODES, name)


def _leading(plane: ControlPlane, installed: Installed, term: dict[str, Any], log: Path) -> str:
    text = log.read_text()
    if "leads" not in text:
        plane.kubectl("patch", "lease", "mooring-operator", "-n", SYSTEM, "--type=merge", "-p", json.dumps(term))
    return text
