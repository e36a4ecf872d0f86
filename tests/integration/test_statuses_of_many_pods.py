"""The statuses of a full node are put right quickly, and at one request each; and a gated pod becomes ready by them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import resources
from tests.integration.agents import AGENT, NETWORK_STATUS, eventually

if TYPE_CHECKING:
    from mooring.kube.client import Client
    from tests.integration.agents import Node

PODS = 100
CONDITION = "mooring.dev/NetworksAttached"
ASKS = {"k8s.v1.cni.cncf.io/networks": "storage"}
GATE: dict[str, Any] = {"readinessGates": [{"conditionType": CONDITION}]}

pytestmark = pytest.mark.timeout(180)


def body(node: Node, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
        "spec": {"nodeName": node.name, "containers": [{"name": "c", "image": "i"}], **spec},
    }


def patches(node: Node) -> list[str]:
    """Return the names of the pods that agents patched, in order, by the API server's audit log."""
    entries = (json.loads(line) for line in node.plane.audit_log.read_text().splitlines())
    return [
        entry["objectRef"]["name"]
        for entry in entries
        if entry["verb"] == "patch" and entry["user"].get("username") == AGENT
        if (entry["objectRef"]["resource"], entry["objectRef"].get("subresource")) == ("pods", "status")
    ]


async def of_node(client: Client, node: Node) -> dict[str, dict[str, Any]]:
    found = await client.list(resources.PODS, namespace="default", field_selector=f"spec.nodeName={node.name}")
    return {each["metadata"]["name"]: each for each in found["items"]}


async def until_told(client: Client, node: Node, *, count: int, seconds: float) -> dict[str, str]:
    """Wait until so many pods have their status and condition; return the statuses by name."""
    deadline = time.monotonic() + seconds
    while True:
        found = await of_node(client, node)
        texts = {name: (pod["metadata"].get("annotations") or {}).get(NETWORK_STATUS) for name, pod in found.items()}
        told = {name: text for name, text in texts.items() if text and condition(found[name]) == "True"}
        if len(told) == count:
            return told
        assert time.monotonic() < deadline, f"{len(told)} of {count} pods have their status. {node.unready()}"
        await asyncio.sleep(0.05)


def condition(pod: dict[str, Any]) -> str:
    conditions = pod["status"].get("conditions") or []
    return next((each["status"] for each in conditions if each["type"] == CONDITION), "")


async def test_a_status_that_is_taken_from_a_hundred_pods_at_once_is_back_at_one_request_each(
    ready: Node, client: Client
) -> None:
    names = [f"many-{number}" for number in range(PODS)]
    made = await asyncio.gather(
        *(client.create(resources.PODS, body(ready, name, ASKS), namespace="default") for name in names)
    )
    for pod in made:
        ready.attach(pod["metadata"]["name"], pod["metadata"]["uid"], "default/storage")
    before = await until_told(client, ready, count=PODS, seconds=60)
    assert sorted(patches(ready)[-PODS:]) == sorted(names), "status and condition are one request"
    first = len(patches(ready))

    nothing = {"metadata": {"annotations": {NETWORK_STATUS: None}}}
    began = time.monotonic()
    await asyncio.gather(*(client.patch(resources.PODS, name, nothing, namespace="default") for name in names))
    taken = time.monotonic()
    assert await until_told(client, ready, count=PODS, seconds=60) == before
    print(f"{PODS} statuses: taken in {taken - began:.2f} s, right {time.monotonic() - taken:.2f} s after the last")

    # A last one, so that what would still come has come.
    ready.attach(
        "last", (await client.create(resources.PODS, body(ready, "last"), namespace="default"))["metadata"]["uid"]
    )
    eventually(lambda: NETWORK_STATUS in ready.annotations("last"), what="the status of one more pod")
    eventually(lambda: "last" in patches(ready), what="that request in the audit log")
    assert sorted(patches(ready)[first:]) == sorted([*names, "last"])
    for name in (*names, "last"):
        await client.delete(resources.PODS, name, namespace="default")


async def test_what_the_kubelet_says_of_a_pod_stays_beside_the_condition(ready: Node, client: Client) -> None:
    pod = await client.create(resources.PODS, body(ready, "gated", **GATE), namespace="default")
    others = [{"type": "Initialized", "status": "True"}, {"type": "ContainersReady", "status": "True"}]
    await client.patch(
        resources.PODS, "gated", {"status": {"conditions": others}}, namespace="default", subresource="status"
    )
    ready.attach("gated", pod["metadata"]["uid"])
    await until_told(client, ready, count=1, seconds=30)
    found = (await client.get(resources.PODS, "gated", namespace="default"))["status"]["conditions"]
    assert {each["type"]: (each["status"], each.get("reason")) for each in found} == {
        "Initialized": ("True", None),
        "ContainersReady": ("True", None),
        CONDITION: ("True", "NoneAsked"),
    }
    await client.delete(resources.PODS, "gated", namespace="default")


async def test_a_pod_that_is_stuck_is_told_why_in_one_event(ready: Node, client: Client) -> None:
    pod = await client.create(resources.PODS, body(ready, "stuck", ASKS), namespace="default")
    uid = pod["metadata"]["uid"]
    document = {
        "version": 1,
        "verb": "ADD",
        "containerID": "c",
        "ifName": "eth0",
        "pod": {"namespace": "default", "name": "stuck", "uid": uid},
        "network": "default/storage",
        "reason": "NoNetworkFound",
        "code": 7,
        "msg": "network default/storage: there is no such NetworkAttachmentDefinition",
        "details": "",
        "milliseconds": 3,
    }

    def fail(number: int) -> None:
        with ready.seen("/var/lib/mooring/failures.jsonl").open("a") as file:
            file.write(json.dumps(document | {"time": f"2026-03-01T12:00:00.{number:06}Z"}) + "\n")

    def events() -> list[dict[str, Any]]:
        found = json.loads(ready.plane.kubectl("get", "events.events.k8s.io", "-n", "default", "-o", "json"))["items"]
        return [each for each in found if each["regarding"].get("uid") == uid]

    for number in range(20):
        fail(number)
    [event] = eventually(events, what="the event")
    assert (event["reason"], event["type"]) == ("NoNetworkFound", "Warning")
    assert "default/storage: there is no such" in event["note"]
    eventually(lambda: (events()[0].get("series") or {}).get("count") == 20, seconds=60, what="its count")
    assert len(events()) == 1
    await client.delete(resources.PODS, "stuck", namespace="default")
