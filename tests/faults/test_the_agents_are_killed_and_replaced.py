"""Agents that are killed, upgraded and rolled back while pods come and go: no pod runs without its networks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube.client import Client
from testbed.kubectl import ask_testbed, eventually
from tests.e2e import objects
from tests.faults.load import Load, ratios
from tests.faults.looks import SYSTEM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from testbed.kubectl import Cluster
    from tests.faults.looks import Node

PODS = 50
OTHER = "0.0.99"
# The conf of the other release says so, as its renderer does everywhere; ours says what the runtime parses.
OTHER_RENDERER, OTHER_CNI = 1, "1.0.0"
KILLS = 2
NETWORKS = {"net1": "first", "net2": "second"}


@pytest.fixture
async def client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
    async with await Client.load() as made:
        yield made


@pytest.fixture
def at_once(cluster: Cluster) -> Iterator[None]:
    """A roll-out that does not watch its first node for a minute, and the usual one afterwards."""

    def soak(seconds: int | None) -> None:
        patch = json.dumps({"spec": {"rollout": {"canary": {"soakSeconds": seconds}}}})
        cluster.kubectl("patch", "installation", "default", "--type=merge", "-p", patch)

    soak(0)
    yield
    soak(None)


class Installed:
    """What is installed on a cluster, and putting another release in its place."""

    def __init__(self, cluster: Cluster, nodes: list[Node]) -> None:
        self.cluster = cluster
        self.nodes = nodes

    def image(self) -> str:
        return str(self._containers("deployment", "mooring-operator")[0]["image"])

    def plugins(self) -> list[str]:
        """Return the hash of the plugin that is on each node."""
        return [node.run("sha256sum", "/opt/cni/bin/mooring").split()[0] for node in self.nodes]

    def confs(self) -> list[dict[str, Any]]:
        """Return the runtime's conf on each node."""
        return [json.loads(node.path("/etc/cni/net.d/00-multus.conf").read_text()) for node in self.nodes]

    def release(self, image: str) -> None:
        """Run another image, and wait until operator, agents and revisions of all nodes are its own."""
        self.cluster.kubectl("set", "image", "deployment/mooring-operator", f"operator={image}", *SYSTEM)
        self.cluster.kubectl("rollout", "status", "deployment/mooring-operator", *SYSTEM, "--timeout=120s")
        eventually(
            lambda: self._containers("daemonset", "mooring-agent")[0]["image"] == image, seconds=60, what="its agents"
        )
        self.cluster.kubectl("rollout", "status", "daemonset/mooring-agent", *SYSTEM, "--timeout=180s")
        eventually(lambda: self._applied(image), seconds=120, what=f"the revision of {image} on each node")
        self.cluster.wait("installation/default", "--for=condition=Available")

    def kill(self) -> None:
        """Kill the agent of each node, and wait until both are back."""
        for node in self.nodes:
            for container in node.containers("mooring-system", self._pod(node), "agent"):
                node.kill(container)
        eventually(self.ready, seconds=120, what="the return of the agents that were killed")

    def ready(self) -> bool:
        return all(node.agent() is not None and node.ready() for node in self.nodes)

    def _pod(self, node: Node) -> str:
        selector = ("-l", "app.kubernetes.io/component=agent", f"--field-selector=spec.nodeName={node.name}")
        items = self.cluster.get("pods", *SYSTEM, *selector)["items"]
        return next(str(each["metadata"]["name"]) for each in items if "deletionTimestamp" not in each["metadata"])

    def _containers(self, kind: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cluster.get(kind, name, *SYSTEM)["spec"]["template"]["spec"]["containers"]
        return found

    def _applied(self, image: str) -> bool:
        for node in self.nodes:
            state = self.cluster.get("nodestate", node.name)
            applied = state.get("status", {}).get("revision", "")
            if not applied or applied != state["spec"]["revision"] or not node.ready():
                return False
            revision = self.cluster.get("configmap", applied, *SYSTEM)["data"]["revision.json"]
            if json.loads(revision)["image"] != image:
                return False
        return True


async def test_every_running_pod_has_every_interface(
    cluster: Cluster, namespace: str, places: list[Node], client: Client, at_once: None
) -> None:
    archive = ask_testbed("image", "--version", OTHER, "--renderer", str(OTHER_RENDERER)).splitlines()[-1]
    ask_testbed("load-image", archive, "--name", cluster.name)
    cluster.apply(
        objects.network(namespace, "first", objects.bridge("first", "10.84.0.0/24")),
        objects.network(namespace, "second", objects.bridge("second", "10.85.0.0/24")),
    )
    for node in places:
        eventually(lambda node=node: node.cached(namespace) == {"first", "second"}, seconds=10, what="the cache")  # type: ignore[misc]
    installed = Installed(cluster, places)
    eventually(installed.ready, seconds=60, what="agents that are Ready")
    before, plugins, confs = installed.image(), installed.plugins(), installed.confs()
    idle, busy = (Load(client, namespace, places, NETWORKS, each) for each in ("idle", "busy"))
    async with idle.followed():
        await idle.run(least=PODS)
    assert idle.lacking == []

    done = asyncio.Event()
    began = time.monotonic()
    async with busy.followed():
        load = asyncio.create_task(busy.run(least=PODS, until=done))
        try:
            for image in (f"mooring.dev/mooring:{OTHER}", before):
                for _ in range(KILLS):
                    await asyncio.to_thread(installed.kill)
                await asyncio.to_thread(installed.release, image)
                if image != before:
                    assert await asyncio.to_thread(installed.plugins) != plugins
                    assert installed.confs() == [conf | {"cniVersion": OTHER_CNI} for conf in confs]
                    assert installed.confs() != confs
        except BaseException:
            load.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await load
            raise
        done.set()
        await load
    print(f"{2 * KILLS} times both agents killed, one upgrade, one way back in {time.monotonic() - began:.0f} s")
    print(f"start of a pod, agents idle -> agents killed and replaced: {ratios(idle.seconds, busy.seconds)}")
    assert busy.lacking == []
    assert installed.image() == before
    assert installed.plugins() == plugins
    assert installed.confs() == confs
    for node in places:
        for network in NETWORKS.values():
            eventually(
                lambda node=node, network=network: not node.leases(network),  # type: ignore[misc]
                seconds=60,
                what=f"no address of {network} left on {node.name}",
            )
        eventually(lambda node=node: not node.journals(namespace), seconds=60, what="no journal left")  # type: ignore[misc]
        eventually(lambda node=node: not node.sliced(namespace), seconds=60, what="no slice left")  # type: ignore[misc]
