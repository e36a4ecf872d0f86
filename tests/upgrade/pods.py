"""Pods on two further networks, and what they were like when they were made: owns comparing them with then.

On each node there is one that only runs, and one that pings it all the while.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from testbed.kubectl import Cluster
    from tests.faults.looks import Interfaces, Node

NETWORKS = {"first": "10.86.0.0/24", "second": "10.87.0.0/24"}
ASKED = "first@net1,second@net2"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What must not change of a pod that runs."""

    interfaces: Interfaces
    status: list[dict[str, Any]]
    sandboxes: list[str]
    containers: list[str]

    def addresses(self) -> set[str]:
        return {address for found in self.interfaces.values() for address in found}


class Pods:
    """Makes pods, looks at them and takes them away. A name is `GENERATION-NODE` or `GENERATION-ping-NODE`."""

    def __init__(self, cluster: Cluster, nodes: list[Node], namespace: str) -> None:
        self.cluster = cluster
        self.nodes = nodes
        self.namespace = namespace
        self.made: dict[str, tuple[Node, Seen]] = {}

    def make(self, generation: str) -> None:
        """Make a pod and its pinger on each node, and see that they have what they asked for."""
        if not self.made:
            self.cluster.kubectl("create", "namespace", self.namespace)
            account = ("get", "serviceaccount", "default", "-n", self.namespace)
            eventually(lambda: self.cluster.run(*account).returncode == 0, seconds=30, what="the service account")
            nads = (objects.network(self.namespace, each, objects.bridge(each, net)) for each, net in NETWORKS.items())
            self.cluster.apply(*nads)
        for node in self.nodes:
            name = f"{generation}-{node.name}"
            self._start(objects.pod(self.namespace, name, ASKED, node.name), node)
            [address] = self.made[name][1].interfaces["net1"]
            pinger = objects.pod(self.namespace, f"{generation}-ping-{node.name}", ASKED, node.name)
            pinger["spec"]["containers"][0]["command"] = ["ping", address]
            self._start(pinger, node)

    def _start(self, body: dict[str, Any], node: Node) -> None:
        name = body["metadata"]["name"]
        self.cluster.apply(body)
        self.cluster.wait(f"pod/{name}", "-n", self.namespace, "--for=condition=Ready")
        eventually(lambda: self.cluster.network_status(name, self.namespace), seconds=30, what=f"the status of {name}")
        seen = self.look(name, node)
        assert set(seen.interfaces) == {"eth0", "net1", "net2"}, seen.interfaces
        assert {address for each in seen.status for address in each["ips"]} == seen.addresses()
        for other, (where, before) in self.made.items():
            if where is node:
                assert not before.addresses() & seen.addresses(), f"{name} has an address of {other}"
        self.made[name] = (node, seen)

    def look(self, name: str, node: Node) -> Seen:
        """Return what a pod is like now."""
        return Seen(
            node.interfaces(self.namespace, name),
            self.cluster.network_status(name, self.namespace),
            node.containers(self.namespace, name),
            node.containers(self.namespace, name, "shell"),
        )

    def unchanged(self) -> None:
        """Fail where a pod is not as it was when it was made, or a ping got no answer."""
        assert self.made
        for name, (node, before) in self.made.items():
            assert self.look(name, node) == before, name
            if "-ping-" in name:
                answers = self.cluster.kubectl("logs", name, "-n", self.namespace)
                numbers = [int(each) for each in re.findall(r" seq=(\d+) ", answers)]
                assert numbers == list(range(len(numbers))), f"{name} lost some of {numbers}"
                print(f"{name}: {len(numbers)} pings, all answered")

    def end(self, generation: str) -> None:
        """Take the pods of a generation away, and see that nothing of them is left on their nodes."""
        names = [name for name in self.made if name.startswith(f"{generation}-")]
        assert names
        self.cluster.kubectl("delete", "pod", "-n", self.namespace, *names)
        for name in names:
            node, before = self.made.pop(name)

            def gone(node: Node = node, before: Seen = before, name: str = name) -> bool:
                held = set().union(*(node.leases(network) for network in (*NETWORKS, "pod-network")))
                return not held & before.addresses() and name not in node.journals(self.namespace)

            eventually(gone, seconds=60, what=f"the end of all that {name} held on {node.name}")
