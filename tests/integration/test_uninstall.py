"""The uninstall against a real API server; the test plays agents and kubelets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import errors, resources
from testbed import failures
from tests.integration.conftest import SYSTEM
from tests.integration.installing import NODES, OURS, Watching, conditions, daemon_set, drained, settle

if TYPE_CHECKING:
    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")


async def states(client: Client) -> dict[str, dict[str, Any]]:
    listed = await client.list(resources.NODE_STATES, label_selector=OURS)
    return {item["metadata"]["name"]: item["spec"] for item in listed["items"]}


async def gone(client: Client) -> bool:
    with contextlib.suppress(errors.NotFound):
        await client.get(resources.INSTALLATIONS, "default")
        return False
    return True


async def make_slice(client: Client, node: str) -> None:
    body = {
        "apiVersion": resources.ATTACHMENT_SLICES.api_version,
        "kind": resources.ATTACHMENT_SLICES.kind,
        "metadata": {
            "name": f"{node}-1",
            "labels": {"mooring.dev/node": node, "app.kubernetes.io/managed-by": "mooring-agent"},
        },
        "nodeName": node,
        "attachments": [],
    }
    await client.create(resources.ATTACHMENT_SLICES, body)


async def test_waits_for_every_node_tells_which_and_leaves_nothing_but_networks(
    client: Client, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    await make_slice(client, NODES[0])
    await client.delete(resources.INSTALLATIONS, "default")

    async def asked(client: Client) -> bool:
        return {name: spec.get("drain") for name, spec in (await states(client)).items()} == dict.fromkeys(NODES, True)

    await watching.until(asked, what="that both nodes are asked to come clean")

    async def told(client: Client) -> bool:
        await drained(client, NODES[0])
        found = (await conditions(client))["Progressing"]
        return bool(
            found["reason"] == "Uninstalling"
            and found["message"] == f"1 of 2 nodes are clean. Waiting for {NODES[1]} (its agent has not answered yet)."
        )

    await watching.until(told, what="the node that is waited for")
    assert await daemon_set(client), "an agent that is not done needs its pod"
    assert (await states(client)).keys() == set(NODES), "and a clean one its word that it is to leave"

    async def ended(client: Client) -> bool:
        await drained(client)
        return await gone(client)

    await watching.until(ended, what="the end of the Installation")
    assert await states(client) == {}
    for resource in (resources.DAEMON_SETS, resources.CONFIG_MAPS):
        assert (await client.list(resource, namespace=SYSTEM, label_selector=OURS))["items"] == []
    assert (await client.list(resources.ATTACHMENT_SLICES))["items"] == []
    assert await client.get(resources.CRDS, "network-attachment-definitions.k8s.cni.cncf.io")


async def test_a_deletion_in_the_foreground_takes_no_agent_away_before_its_node_is_clean(
    client: Client, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    await client.delete(resources.INSTALLATIONS, "default", propagation="Foreground")

    async def kept(client: Client) -> bool:
        found = await daemon_set(client)
        return "ownerReferences" not in found["metadata"] and not found["metadata"].get("deletionTimestamp")

    await watching.until(kept, what="a DaemonSet that nobody collects")

    async def ended(client: Client) -> bool:
        await drained(client)
        return await gone(client)

    await watching.until(ended, what="the end of the Installation")


async def test_a_node_that_is_away_keeps_what_it_needs_and_is_finished_when_it_returns(
    client: Client, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    await client.patch(resources.INSTALLATIONS, "default", {"spec": {"rollout": {"progressDeadlineSeconds": 3}}})
    off = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}
    await client.patch(resources.NODES, NODES[1], {"status": off}, subresource="status")
    await make_slice(client, NODES[0])
    await make_slice(client, NODES[1])
    await client.delete(resources.INSTALLATIONS, "default")

    async def ended(client: Client) -> bool:
        await drained(client, NODES[0])
        return await gone(client)

    await watching.until(ended, what="an end without the node that is away")
    found = await states(client)
    assert found.keys() == {NODES[1]}
    assert found[NODES[1]]["drain"] is True
    assert await client.get(resources.CONFIG_MAPS, found[NODES[1]]["revision"], namespace=SYSTEM)
    kept = await daemon_set(client)
    assert "ownerReferences" not in kept["metadata"]
    terms = kept["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    assert terms == [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODES[1]]}]}]
    listed = (await client.list(resources.ATTACHMENT_SLICES))["items"]
    assert [item["nodeName"] for item in listed] == [NODES[1]]

    async def nothing_left(client: Client) -> bool:
        await drained(client)
        sets = await client.list(resources.DAEMON_SETS, namespace=SYSTEM)
        slices = await client.list(resources.ATTACHMENT_SLICES)
        return not await states(client) and not sets["items"] and not slices["items"]

    await watching.until(nothing_left, what="the end of what was kept for it")


async def test_installing_again_while_a_node_is_away_serves_all_again(
    client: Client, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    await client.patch(resources.INSTALLATIONS, "default", {"spec": {"rollout": {"progressDeadlineSeconds": 2}}})
    off = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}
    await client.patch(resources.NODES, NODES[1], {"status": off}, subresource="status")
    await client.delete(resources.INSTALLATIONS, "default")

    async def ended(client: Client) -> bool:
        await drained(client, NODES[0])
        return await gone(client)

    await watching.until(ended, what="an end without the node that is away")
    again = {key: installation[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "default"}}
    await client.create(resources.INSTALLATIONS, again)

    async def whole(client: Client) -> bool:
        found = await daemon_set(client)
        drains = [spec.get("drain", False) for spec in (await states(client)).values()]
        return "affinity" not in found["spec"]["template"]["spec"] and drains == [False, False]

    await watching.until(whole, what="a DaemonSet for all nodes, and no drain")


async def test_our_definitions_stay_while_there_is_an_installation(
    client: Client, plane: ControlPlane, installation: dict[str, Any]
) -> None:
    """So `kubectl delete -k` first neither takes the Installation away nor waits for ever."""
    for name in ("installations", "nodestates", "attachmentslices"):
        with pytest.raises(failures.Failure, match="first: kubectl delete installation default"):
            plane.kubectl("delete", "crd", f"{name}.mooring.dev", "--timeout=20s")
    assert await client.get(resources.INSTALLATIONS, "default")


async def test_the_command_tells_how_far_it_is_and_ends_when_the_nodes_are_clean(
    client: Client, plane: ControlPlane, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("mooring"),
        "uninstall",
        "--timeout=60",
        env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    first = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    assert first.startswith("0 of 2 nodes are clean. Waiting for ")

    async def ended(client: Client) -> bool:
        await drained(client)
        return await gone(client)

    await watching.until(ended, what="the end of the Installation")
    said = (await asyncio.wait_for(process.stdout.read(), 30)).decode().splitlines()
    assert await process.wait() == 0
    assert said[-1].startswith("Nothing of Mooring is on the nodes.")
