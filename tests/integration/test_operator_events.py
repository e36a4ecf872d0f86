"""What happens to an Installation is told on it, as events that a real API server keeps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import daemonsets
from mooring.kube import resources
from tests.integration.installing import NODES, SYSTEM, Watching, daemon_set, settle, told

if TYPE_CHECKING:
    from mooring.kube.client import Client

pytestmark = pytest.mark.usefixtures("operator")


async def events(client: Client, installation: dict[str, Any], *reasons: str) -> list[dict[str, Any]]:
    """Return what was told of this Installation for these reasons, in the order of time."""
    uid = installation["metadata"]["uid"]
    found = (await client.list(resources.EVENTS, namespace="default"))["items"]
    ours = [each for each in found if each["regarding"].get("uid") == uid and each["reason"] in reasons]
    return sorted(ours, key=lambda each: str(each["eventTime"]))


async def test_a_roll_out_is_told_from_its_beginning_to_its_end_and_so_is_going_back(
    client: Client, watching: Watching, installation: dict[str, Any]
) -> None:
    phases = ("RolloutStarted", "CanariesChosen", "CanariesProven", "RolloutComplete", "RolledBack")
    at_once = {"spec": {"rollout": {"canary": {"soakSeconds": 0}}}}
    await client.patch(resources.INSTALLATIONS, "default", at_once)
    await settle(client, watching)
    first = await told(client, NODES[0])
    assert [each["reason"] for each in await events(client, installation, *phases)] == list(phases[:4])

    await client.patch(resources.INSTALLATIONS, "default", {"spec": {"plugin": {"logLevel": "debug"}}})

    async def second_started(client: Client) -> bool:
        return len(await events(client, installation, "RolloutStarted")) == 2

    await watching.until(second_started, what="the second roll-out")
    await client.patch(resources.INSTALLATIONS, "default", {"spec": {"plugin": {"logLevel": None}}})

    async def back(client: Client) -> list[dict[str, Any]]:
        return await events(client, installation, "RolledBack")

    [event] = await watching.until(back, what="the way back")
    assert first is not None
    assert event["note"].endswith(f"go back to {first}, which all have worked with.")
    assert event["type"] == "Normal"


async def test_what_somebody_edits_or_deletes_is_repaired_and_told(
    client: Client, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    revision = await told(client, NODES[0])
    assert revision is not None
    assert not await events(client, installation, "Repaired")

    async def told_of(client: Client, name: str) -> bool:
        return any(
            f" {name} was edited or deleted" in each["note"] for each in await events(client, installation, "Repaired")
        )

    container = (await daemon_set(client))["spec"]["template"]["spec"]["containers"][0]
    edit = {"spec": {"template": {"spec": {"containers": [container | {"image": "example.com/theirs"}]}}}}
    await client.patch(resources.DAEMON_SETS, daemonsets.NAME, edit, namespace=SYSTEM, field_manager="somebody")
    await watching.until(lambda client: told_of(client, daemonsets.NAME), what="the DaemonSet's repair")
    assert (await daemon_set(client))["spec"]["template"]["spec"]["containers"][0]["image"] == container["image"]

    await client.delete(resources.CONFIG_MAPS, revision, namespace=SYSTEM)
    await watching.until(lambda client: told_of(client, revision), what="the ConfigMap's repair")
    assert (await client.get(resources.CONFIG_MAPS, revision, namespace=SYSTEM))["immutable"] is True


async def test_a_report_of_what_is_wrong_with_a_network_goes_when_it_is_corrected(
    client: Client, watching: Watching
) -> None:
    """By the operator itself, with its own rights."""

    def network(**more: Any) -> dict[str, Any]:
        config = {"cniVersion": "1.0.0", "name": "reported", "type": "bridge", **more}
        return {
            "apiVersion": resources.NADS.api_version,
            "kind": resources.NADS.kind,
            "metadata": {"name": "reported", "namespace": "default"},
            "spec": {"config": json.dumps(config)},
        }

    await watching.until(lambda client: _known(client, network(bridgee="br0")), what="the network")

    async def reported(client: Client) -> bool:
        return bool(await client.get(resources.NETWORK_REPORTS, "reported", namespace="default"))

    await watching.until(reported, what="the report")
    await client.apply(resources.NADS, network(), field_manager="test")

    async def gone(client: Client) -> bool:
        listed = await client.list(resources.NETWORK_REPORTS, namespace="default")
        return "reported" not in [item["metadata"]["name"] for item in listed["items"]]

    await watching.until(gone, what="the end of the report")
    await client.delete(resources.NADS, "reported", namespace="default")


async def _known(client: Client, network: dict[str, Any]) -> dict[str, Any]:
    """Apply a network once its kind is served."""
    return await client.apply(resources.NADS, network, field_manager="test")
