"""The adoption of a Multus against a real API server; the test plays agents and kubelets."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import errors, resources
from tests.integration.installing import LABELS, NODES, Watching, conditions, report, settle, told
from tests.unit.installing import deployments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")
SPACE, NAME = "kube-system", "kube-multus-ds"
SPEC: dict[str, Any] = {"nodeSelector": {"mooring.dev/test": "operator"}, "rollout": {"canary": {"soakSeconds": 0}}}


@pytest.fixture
async def multus(client: Client) -> AsyncIterator[dict[str, Any]]:
    """The DaemonSet of a thick Multus with its ConfigMap, as somebody else applied them."""
    data = {"daemon-config.json": json.dumps(deployments.THICK | {"namespaceIsolation": True, "metricsPort": 9090})}
    config = {"metadata": {"name": "multus-daemon-config", "namespace": SPACE}, "data": data}
    await client.create(resources.CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap"} | config, namespace=SPACE)
    item = copy.deepcopy(deployments.thick())
    item["metadata"] = {"name": NAME, "namespace": SPACE}
    template = item["spec"]["template"]
    template["metadata"] = {"labels": {"name": "multus"}}
    template["spec"]["containers"][0]["name"] = "kube-multus"
    template["spec"]["nodeSelector"] = {"mooring.dev/test": LABELS["mooring.dev/test"]}
    item["spec"]["selector"] = {"matchLabels": {"name": "multus"}}
    item |= {"apiVersion": "apps/v1", "kind": "DaemonSet"}
    yield await client.create(resources.DAEMON_SETS, item, namespace=SPACE)
    for resource, name in ((resources.DAEMON_SETS, NAME), (resources.CONFIG_MAPS, "multus-daemon-config")):
        with contextlib.suppress(errors.NotFound):
            await client.delete(resource, name, namespace=SPACE)


async def change(client: Client, **spec: Any) -> None:
    await client.patch(resources.INSTALLATIONS, "default", {"spec": spec})


async def found(client: Client) -> dict[str, Any]:
    status = (await client.get(resources.INSTALLATIONS, "default")).get("status") or {}
    return dict(status.get("multus") or {})


async def daemon_set(client: Client) -> dict[str, Any]:
    return await client.get(resources.DAEMON_SETS, NAME, namespace=SPACE)


async def labels(client: Client) -> dict[str, str | None]:
    nodes = {name: await client.get(resources.NODES, name) for name in NODES}
    return {name: node["metadata"]["labels"].get("mooring.dev/adopted") for name, node in nodes.items()}


async def adopted(client: Client) -> dict[str, bool]:
    states = {name: await client.get(resources.NODE_STATES, name) for name in NODES}
    return {name: state["spec"].get("adopted", False) for name, state in states.items()}


async def hear(client: Client) -> None:
    """Say what agents would say that have seen their NodeState."""
    for name in NODES:
        with contextlib.suppress(errors.NotFound):
            if await told(client, name):
                await report(client, name, ready=True)


async def test_while_nobody_says_adopt_no_node_is_told_anything_and_the_status_tells_what_would_be(
    client: Client, watching: Watching, multus: dict[str, Any], installation: dict[str, Any]
) -> None:
    async def refused(client: Client) -> dict[str, Any] | None:
        degraded = (await conditions(client)).get("Degraded", {})
        return degraded if degraded.get("reason") == "MultusRuns" else None

    degraded = await watching.until(refused, what="the refusal")
    assert "DaemonSet kube-system/kube-multus-ds" in degraded["message"]
    status = await found(client)
    assert (status["daemonSets"], status["form"], status["adopted"]) == ([f"{SPACE}/{NAME}"], "Thick", 0)
    assert status["imports"] == "plugin:\n  logLevel: verbose\n  namespaceIsolation: true\n"
    (finding,) = status["findings"]
    assert finding.startswith("metricsPort: 9090 is not carried over")
    assert [await told(client, name) for name in NODES] == [None, None]
    assert (await daemon_set(client))["spec"] == multus["spec"]


async def run_command(plane: ControlPlane, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("mooring"),
        "adopt",
        *arguments,
        env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said.decode()


async def test_the_command_tells_what_would_be_and_then_asks_for_it(
    client: Client, plane: ControlPlane, watching: Watching, multus: dict[str, Any], installation: dict[str, Any]
) -> None:
    status, said = await run_command(plane, "--dry-run")
    assert status == 0
    assert said.splitlines()[1:5] == [
        "The Installation's spec gets:",
        "    plugin:",
        "      logLevel: verbose",
        "      namespaceIsolation: true",
    ]
    assert "metricsPort: 9090 is not carried over" in said
    assert (await client.get(resources.INSTALLATIONS, "default"))["spec"]["adopt"] == "None"

    elsewhere = {"daemon-config.json": json.dumps(deployments.THICK | {"cniDir": "/var/lib/multus"})}
    await client.patch(resources.CONFIG_MAPS, "multus-daemon-config", {"data": elsewhere}, namespace=SPACE)
    status, said = await run_command(plane)
    assert status == 3
    assert "It cannot be adopted: cniDir: it keeps what its pods are attached to in /var/lib/multus" in said

    usual = {"daemon-config.json": json.dumps(deployments.THICK)}
    await client.patch(resources.CONFIG_MAPS, "multus-daemon-config", {"data": usual}, namespace=SPACE)
    assert (await run_command(plane))[0] == 0

    async def begun(client: Client) -> list[str]:
        return [name for name in NODES if await told(client, name)]

    await watching.until(begun, what="the canary")
    await client.delete(resources.DAEMON_SETS, NAME, namespace=SPACE)
    assert await run_command(plane, "--dry-run") == (1, "No DaemonSet of this cluster is Multus'.\n")


async def test_a_default_that_a_manifest_says_stays_and_one_that_the_api_server_filled_in_does_not(
    client: Client, plane: ControlPlane, multus: dict[str, Any], installation: dict[str, Any]
) -> None:
    manifest = {
        "apiVersion": installation["apiVersion"],
        "kind": installation["kind"],
        "metadata": {"name": "default"},
        "spec": {"plugin": {"namespaceIsolation": False}},
    }
    await client.apply(resources.INSTALLATIONS, manifest, field_manager="flux")
    assert (await client.get(resources.INSTALLATIONS, "default"))["spec"]["plugin"]["logLevel"] == "error"
    status, said = await run_command(plane, "--dry-run")
    assert status == 0
    assert said.splitlines()[1:4] == ["The Installation's spec gets:", "    plugin:", "      logLevel: verbose"]
    assert "spec.plugin.namespaceIsolation says false and stays; Multus has true" in said


async def test_it_is_adopted_node_by_node_and_given_back(
    client: Client, watching: Watching, multus: dict[str, Any], installation: dict[str, Any]
) -> None:
    await change(client, adopt="Multus", rollout={"maxUnavailable": 1})

    async def first_told(client: Client) -> list[str]:
        return [name for name in NODES if await told(client, name)]

    (canary,) = await watching.until(first_told, what="the canary")
    spec = (await client.get(resources.INSTALLATIONS, "default"))["spec"]
    assert spec["plugin"]["namespaceIsolation"] is True
    assert spec["plugin"]["logLevel"] == "verbose"
    assert not any((await labels(client)).values())
    assert (await daemon_set(client))["spec"] == multus["spec"]

    await report(client, canary, ready=True)

    async def canary_switched(client: Client) -> bool:
        return (await labels(client))[canary] == "multus"

    await watching.until(canary_switched, what="the label of the canary")
    changed = (await daemon_set(client))["spec"]
    assert changed["updateStrategy"]["type"] == "OnDelete"
    assert "mooring.dev/adopted" in json.dumps(changed["template"]["spec"]["affinity"])
    await settle(client, watching)

    async def all_switched(client: Client) -> bool:
        await hear(client)
        both = set((await labels(client)).values()) == {"multus"} and all((await adopted(client)).values())
        return both and (await found(client)).get("adopted") == 2

    await watching.until(all_switched, what="the labels of both")

    await change(client, adopt="None")

    async def told_first(client: Client) -> bool:
        return not any((await adopted(client)).values())

    await watching.until(told_first, what="the agents being told")
    assert set((await labels(client)).values()) == {"multus"}, "Multus came back before the agents knew"

    async def back(client: Client) -> bool:
        await hear(client)
        return not any((await labels(client)).values()) and (await daemon_set(client))["spec"] == multus["spec"]

    await watching.until(back, what="the DaemonSet as it was")

    async def beside(client: Client) -> bool:
        return bool((await conditions(client))["Degraded"]["reason"] == "MultusRuns")

    await watching.until(beside, what="that both run")
    await client.delete(resources.DAEMON_SETS, NAME, namespace=SPACE)


async def test_an_uninstall_has_multus_back_before_a_node_is_drained(
    client: Client, watching: Watching, multus: dict[str, Any], installation: dict[str, Any]
) -> None:
    await change(client, adopt="Multus")
    await settle(client, watching)

    async def switched(client: Client) -> bool:
        await hear(client)
        return set((await labels(client)).values()) == {"multus"} and all((await adopted(client)).values())

    await watching.until(switched, what="the adoption")
    await client.delete(resources.INSTALLATIONS, "default")

    async def waits(client: Client) -> bool:
        await hear(client)
        message = (await conditions(client)).get("Progressing", {}).get("message", "")
        return f"Waiting for Multus to write its conf again: {', '.join(NODES)}." in message

    await watching.until(waits, what="the wait for Multus")
    assert not any((await labels(client)).values())
    assert (await daemon_set(client))["spec"] == multus["spec"]
    states = [await client.get(resources.NODE_STATES, name) for name in NODES]
    assert not any(state["spec"]["drain"] for state in states)
    for name in NODES:
        told = {"status": {"multus": {"confs": ["00-multus.conf"], "sandboxes": 1}}}
        await client.patch(resources.NODE_STATES, name, told, subresource="status")

    async def draining(client: Client) -> bool:
        pods = await client.list(resources.PODS, namespace=SPACE, label_selector="name=multus")
        for pod in pods["items"]:
            ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
            with contextlib.suppress(errors.NotFound):
                await client.patch(
                    resources.PODS, pod["metadata"]["name"], ready, namespace=SPACE, subresource="status"
                )
        states = [await client.get(resources.NODE_STATES, name) for name in NODES]
        return all(state["spec"]["drain"] for state in states)

    await watching.until(draining, what="the drain of the nodes")
