"""An API server that is away for minutes: pods start from what is on the node, and afterwards everything is right."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from testbed.kubectl import ask_testbed, eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.kubectl import Cluster
    from tests.faults.looks import Interfaces, Node

SECONDS = float(os.environ.get("MOORING_FAULTS_SECONDS_AWAY", "30"))
# For so long the cache counts as what the API server says.
TTL = 30
PODS = 3
# A kubelet that could not tell of a static pod tries again when it looks at that pod anew: every 60 to 90 s.
KUBELET = 100.0


@contextlib.contextmanager
def away(cluster: Cluster) -> Iterator[None]:
    """Give a block in which the API server is away, at its end for `SECONDS` in all."""
    ask_testbed("stop-api-server", "--name", cluster.name)
    began = time.monotonic()
    try:
        yield
        eventually(lambda: time.monotonic() - began >= SECONDS, seconds=SECONDS + 1, what="the end of the outage")
    finally:
        ask_testbed("start-api-server", "--name", cluster.name)
        print(f"the API server was away for {time.monotonic() - began:.0f} s")


def file_of(node: Node, pod: dict[str, Any]) -> Any:
    """Return where the kubelet reads a static pod."""
    return node.path("/etc/kubernetes") / "manifests" / f"{pod['metadata']['name']}.json"


def static(namespace: str, name: str, networks: str) -> dict[str, Any]:
    """Return a pod that is a file on its node."""
    made = objects.pod(namespace, name, networks, "")
    del made["spec"]["nodeName"]
    return made


def whole(interfaces: Interfaces) -> bool:
    return {key: len(value) for key, value in interfaces.items()} == {"eth0": 1, "net1": 1}


def test_cached_pods_start_without_an_api_server_and_all_is_right_when_it_is_back(
    cluster: Cluster, namespace: str, places: list[Node]
) -> None:
    cluster.apply(objects.network(namespace, "kept", objects.bridge("kept", "10.83.0.0/24")))
    pods = {node.name: [f"{node.name}-{number}" for number in range(PODS)] for node in places}
    cluster.apply(*(objects.pod(namespace, name, "kept", node) for node, names in pods.items() for name in names))
    for name in (name for names in pods.values() for name in names):
        cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
    for node in places:
        eventually(lambda node=node: "kept" in node.cached(namespace), seconds=10, what="the network in the cache")  # type: ignore[misc]
    agents = [eventually(node.agent, seconds=30, what=f"the agent of {node.name}") for node in places]

    early, late, brief = (static(namespace, name, "kept") for name in ("early", "late", "brief"))
    with contextlib.ExitStack() as stack:
        for node in places:
            for each in (early, late, brief):
                stack.callback(file_of(node, each).unlink, missing_ok=True)
        with away(cluster):
            seen = starts_without_an_api_server(namespace, places, pods, (early, late, brief))
        assert [node.agent() for node in places] == agents, "no agent was started anew"
        for node in places:
            expected = seen[node.name]

            def statuses(node: Node = node, expected: dict[str, Interfaces] = expected) -> bool:
                return node.statuses(namespace, expected) == expected

            def slices(node: Node = node, expected: dict[str, Interfaces] = expected) -> bool:
                return node.sliced(namespace) == expected

            eventually(statuses, seconds=KUBELET, what=f"the network-status of each pod of {node.name}")
            eventually(slices, seconds=60, what=f"the slices of {node.name}")
            eventually(node.ready, seconds=60, what=f"a NodeState of {node.name} that is Ready")
            assert {each["net1"][0] for each in expected.values()} == node.leases("kept")
            assert {name: node.interfaces(namespace, name) for name in expected} == expected
        cluster.wait("installation/default", "--for=condition=Available")
        assert [node.agent() for node in places] == agents, "no agent was started anew"
    for node in places:
        eventually(
            lambda node=node: sorted(node.sliced(namespace)) == pods[node.name],  # type: ignore[misc]
            seconds=60,
            what=f"the end of the static pods of {node.name}",
        )


def starts_without_an_api_server(
    namespace: str, places: list[Node], pods: dict[str, list[str]], static_pods: tuple[dict[str, Any], ...]
) -> dict[str, dict[str, Interfaces]]:
    """Start pods, end one and make one anew on each node; return what each pod of each node has in the end."""
    early, late, brief = static_pods
    for node in places:
        for each in (early, brief):
            file_of(node, each).write_text(json.dumps(each))

    def starts(node: Node, name: str) -> Interfaces:
        def interfaces() -> Interfaces:
            found = node.interfaces(namespace, name)
            return found if whole(found) else {}

        return eventually(interfaces, seconds=60, what=f"{name} on {node.name} with its networks")

    for node in places:
        for each in (early, brief):
            starts(node, f"{each['metadata']['name']}-{node.name}")
        # A pod that the kubelet knows: its sandbox ends, and is made anew.
        victim = pods[node.name][0]
        [sandbox] = node.containers(namespace, victim)
        node.kill(sandbox)

        def another(node: Node = node, victim: str = victim, sandbox: str = sandbox) -> bool:
            return bool(set(node.containers(namespace, victim)) - {sandbox})

        eventually(another, seconds=60, what=f"another sandbox of {victim}")
        starts(node, victim)
        # What ends meanwhile gives its address back.
        gone = starts(node, f"brief-{node.name}")["net1"][0]
        file_of(node, brief).unlink()
        eventually(lambda node=node, gone=gone: gone not in node.leases("kept"), seconds=60, what=f"the end of {gone}")  # type: ignore[misc]
    if SECONDS > 2 * TTL:
        for node in places:
            eventually(lambda node=node: node.heartbeat_age() > TTL, seconds=2 * TTL, what="a cache that is stale")  # type: ignore[misc]
    seen: dict[str, dict[str, Interfaces]] = {}
    for node in places:
        file_of(node, late).write_text(json.dumps(late))
        names = [*pods[node.name], f"early-{node.name}", f"late-{node.name}"]
        seen[node.name] = {name: starts(node, name) for name in names}
    return seen
