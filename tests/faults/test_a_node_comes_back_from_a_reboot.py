"""A node that loses its power and comes back has all pods attached again, by itself, and no address too many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from testbed.kubectl import ask_testbed, eventually
from tests.e2e import objects

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from testbed.kubectl import Cluster
    from tests.faults.looks import Interfaces, Node

PODS = 20
STARTING = 10
Containers = dict[str, str]


def containers(cluster: Cluster, namespace: str) -> Containers:
    """Return the container that runs in each pod that is Ready."""
    found = {}
    for pod in cluster.get("pods", "-n", namespace)["items"]:
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
        [status] = pod["status"].get("containerStatuses") or [{}]
        if conditions.get("Ready") == "True" and "running" in status.get("state", {}):
            found[pod["metadata"]["name"]] = status["containerID"]
    return found


def reboot(cluster: Cluster, node: Node, namespace: str) -> float:
    """Reboot a node, wait until every pod of the namespace has another container; return how long that took."""
    before = containers(cluster, namespace)
    ask_testbed("stop-node", "--name", cluster.name, node.name)
    began = time.monotonic()
    ask_testbed("start-node", "--name", cluster.name, node.name)

    def back() -> bool:
        now = containers(cluster, namespace)
        return now.keys() == before.keys() and all(now[pod] != before[pod] for pod in before)

    eventually(back, seconds=150, what=f"the return of {len(before)} pods of {node.name}")
    return time.monotonic() - began


def attached(node: Node, namespace: str, names: list[str]) -> dict[str, Interfaces]:
    """Return the interfaces that each pod has, each with its one address; fail where one lacks any."""
    seen = {name: node.interfaces(namespace, name) for name in names}
    for name, interfaces in seen.items():
        assert {key: len(value) for key, value in interfaces.items()} == {"eth0": 1, "net1": 1, "net2": 1}, name
    return seen


def nothing_leaked(
    node: Node, namespace: str, seen: dict[str, Interfaces], networks: tuple[str, str], pods: list[str]
) -> None:
    """Wait until the node holds the addresses of these pods, and has a journal for each of `pods`, and no other."""

    def leases(interface: str) -> set[str]:
        return {pod[interface][0] for pod in seen.values()}

    for interface, network in zip(("net1", "net2"), networks, strict=True):
        eventually(
            lambda interface=interface, network=network: node.leases(network) == leases(interface),  # type: ignore[misc]
            seconds=60,
            what=f"the addresses of {network}, and no other",
        )
    assert leases("eth0") <= node.leases("pod-network")
    eventually(lambda: node.journals(namespace) == sorted(pods), seconds=60, what="one journal for each sandbox")


def told(node: Node, namespace: str, seen: dict[str, Interfaces]) -> None:
    """Wait until status and slices tell of each pod what was seen in it."""
    eventually(lambda: node.ready(), seconds=60, what=f"a NodeState of {node.name} that is Ready")
    eventually(
        lambda: node.statuses(namespace, seen) == seen, seconds=30, what="a network-status that is what the pod has"
    )
    eventually(lambda: node.sliced(namespace) == seen, seconds=30, what="slices that are what the pods have")


def test_all_pods_of_a_node_that_was_rebooted_come_back_with_their_networks(
    cluster: Cluster,
    namespace: str,
    places: list[Node],
    agents_away: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    node = places[1]
    cluster.apply(
        objects.network(namespace, "first", objects.bridge("first", "10.81.0.0/24")),
        objects.network(namespace, "second", objects.bridge("second", "10.82.0.0/24")),
    )
    names = [f"p{number:02}" for number in range(PODS)]
    cluster.apply(
        *(objects.pod(namespace, name, "first,second", node.name) for name in names),
        objects.pod(namespace, "plain", None, node.name),
    )
    for name in (*names, "plain"):
        cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
    told(node, namespace, attached(node, namespace, names))

    took = reboot(cluster, node, namespace)
    print(f"with the agent among them, {PODS} attached pods and a plain one were back after {took:.1f} s")
    seen = attached(node, namespace, names)
    told(node, namespace, seen)
    nothing_leaked(node, namespace, seen, ("first", "second"), [*names, "plain"])
    agent = eventually(node.agent, seconds=60, what="the agent")

    with agents_away():
        took = reboot(cluster, node, namespace)
        print(f"without any agent, {PODS} attached pods and a plain one were back after {took:.1f} s")
        assert node.agent() is None
        seen = attached(node, namespace, names)
        assert set(node.interfaces(namespace, "plain")) == {"eth0"}
    again = eventually(node.agent, seconds=120, what="the agent's return")
    assert again is not None
    assert agent is not None
    assert again.uid != agent.uid
    told(node, namespace, seen)
    nothing_leaked(node, namespace, seen, ("first", "second"), [*names, "plain"])
    cluster.wait("installation/default", "--for=condition=Available")


def test_of_pods_that_were_starting_when_the_power_went_nothing_is_left_either(
    cluster: Cluster, namespace: str, places: list[Node]
) -> None:
    node = places[1]
    cluster.apply(
        objects.network(namespace, "third", objects.bridge("third", "10.86.0.0/24")),
        objects.network(namespace, "fourth", objects.bridge("fourth", "10.87.0.0/24")),
    )
    eventually(lambda: node.cached(namespace) == {"third", "fourth"}, seconds=10, what="the networks in the cache")
    names = [f"s{number:02}" for number in range(STARTING)]
    cluster.apply(*(objects.pod(namespace, name, "third,fourth", node.name) for name in names))
    eventually(lambda: len(node.leases("fourth")) >= 2, seconds=60, what="pods that are being attached")
    ask_testbed("stop-node", "--name", cluster.name, node.name)
    print(f"the power went with {len(node.leases('third'))} and {len(node.leases('fourth'))} addresses given")
    ask_testbed("start-node", "--name", cluster.name, node.name)
    eventually(lambda: len(containers(cluster, namespace)) == STARTING, seconds=150, what="all pods")
    seen = attached(node, namespace, names)
    told(node, namespace, seen)
    nothing_leaked(node, namespace, seen, ("third", "fourth"), names)
