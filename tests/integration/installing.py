"""An Installation on two nodes whose agents and kubelets are played by the test; owns what they would say."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import daemonsets
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mooring.kube.client import Client

SYSTEM = "mooring-system"
NODES = ("operator-n1", "operator-n2")
LABELS = {"kubernetes.io/os": "linux", "mooring.dev/test": "operator"}
AGENTS = "app.kubernetes.io/component=agent"
OURS = "app.kubernetes.io/managed-by=mooring-operator"


class Watching:
    """Asks the API server until it says what is expected."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def until(self, question: Any, *, what: str, seconds: float = 30) -> Any:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            # A kind that has just been defined anew is told so, too (429).
            with contextlib.suppress(errors.NotFound, errors.TooManyRequests):
                found = await question(self._client)
                if found:
                    return found
            assert asyncio.get_running_loop().time() < deadline, f"not seen: {what}"
            await asyncio.sleep(0.05)


@pytest.fixture
def watching(client: Client) -> Watching:
    """Asks until it is so."""
    return Watching(client)


@pytest.fixture
async def nodes(client: Client) -> AsyncIterator[tuple[str, ...]]:
    """Two nodes, and their agents' last words gone at the end."""
    for name in NODES:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": LABELS | {"pool": name}}}
        await client.create(resources.NODES, node)
        await beat(client, name)
    yield NODES
    for name in NODES:
        await client.delete(resources.NODES, name)


@pytest.fixture
async def installation(client: Client, watching: Watching, nodes: tuple[str, ...]) -> AsyncIterator[dict[str, Any]]:
    """The Installation of the examples; gone at the end, with all that was made for it."""
    body = {
        "apiVersion": "mooring.dev/v1alpha1",
        "kind": "Installation",
        "metadata": {"name": "default"},
        # Other tests may have left nodes.
        "spec": {"nodeSelector": {"mooring.dev/test": "operator"}},
    }
    yield await client.create(resources.INSTALLATIONS, body)
    with contextlib.suppress(errors.NotFound):
        await client.delete(resources.INSTALLATIONS, "default")

    async def gone(client: Client) -> bool:
        await drained(client)
        sets = await client.list(resources.DAEMON_SETS, namespace=SYSTEM)
        states = await client.list(resources.NODE_STATES, label_selector=OURS)
        installations = await client.list(resources.INSTALLATIONS)
        return not sets["items"] and not states["items"] and not installations["items"]

    await watching.until(gone, what="the end of what was made for the Installation")


async def drained(client: Client, *names: str) -> None:
    """Say what the agents of drained nodes would say, and end their pods as kubelets would."""
    for state in (await client.list(resources.NODE_STATES, label_selector=OURS))["items"]:
        if state["spec"].get("drain") and (not names or state["metadata"]["name"] in names):
            condition = {
                "type": "Drained",
                "status": "True",
                "reason": "Drained",
                "message": "nothing of ours is left",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": state["metadata"]["generation"],
            }
            status = {"status": {"conditions": [condition]}}
            with contextlib.suppress(errors.NotFound):
                await client.patch(resources.NODE_STATES, state["metadata"]["name"], status, subresource="status")
    for pod in (await client.list(resources.PODS, namespace=SYSTEM, label_selector=AGENTS))["items"]:
        if pod["metadata"].get("deletionTimestamp"):
            path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}"
            with contextlib.suppress(errors.NotFound):
                await client._call("DELETE", path, body={"gracePeriodSeconds": 0})


async def told(client: Client, node: str) -> str | None:
    """Return the revision that a node was told."""
    with contextlib.suppress(errors.NotFound):
        return str((await client.get(resources.NODE_STATES, node))["spec"].get("revision") or "") or None
    return None


async def settle(client: Client, watching: Watching) -> None:
    """Let all agents apply what they are told, one after the other as they are, until the roll-out is complete."""

    async def complete(client: Client) -> bool:
        for node in NODES:
            if await told(client, node):
                await report(client, node, ready=True)
        status = (await client.get(resources.INSTALLATIONS, "default")).get("status") or {}
        return bool((status.get("rollout") or {}).get("stage") == "Complete")

    await watching.until(complete, what="the end of the roll-out")


async def daemon_set(client: Client) -> dict[str, Any]:
    return await client.get(resources.DAEMON_SETS, daemonsets.NAME, namespace=SYSTEM)


async def conditions(client: Client) -> dict[str, Any]:
    found = await client.get(resources.INSTALLATIONS, "default")
    return {each["type"]: each for each in (found.get("status") or {}).get("conditions") or []}


async def beat(client: Client, node: str) -> None:
    """Say what a kubelet says every few seconds; a Node that nobody vouches for is taken for away after a minute.

    The minute counts from the first Node of that name: one that is deleted and made anew at once goes on where it was.
    """
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is ready"}
    times = {"lastHeartbeatTime": now, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    await client.patch(resources.NODES, node, {"status": {"conditions": [condition | times]}}, subresource="status")


async def report(client: Client, node: str, *, ready: bool, message: str = "", revision: str | None = None) -> None:
    """Say what the agent of a node would say, and its kubelet."""
    await beat(client, node)
    state = await client.get(resources.NODE_STATES, node)
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "Applied" if ready else "ConfNotWritten",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        "revision": revision or state["spec"]["revision"],
        "observedGeneration": state["metadata"]["generation"],
        "conditions": [condition],
    }
    await client.patch(resources.NODE_STATES, node, {"status": status}, subresource="status")


async def agents_answer(client: Client, count: int) -> bool:
    """Say what the kubelets would say, once the controller of DaemonSets has made the agents' pods."""
    selector = "app.kubernetes.io/component=agent"
    pods = (await client.list(resources.PODS, namespace=SYSTEM, label_selector=selector))["items"]
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    for pod in pods:
        await client.patch(
            resources.PODS, pod["metadata"]["name"], {"status": status}, namespace=SYSTEM, subresource="status"
        )
    return len(pods) == count
