"""Ours is the first conf of a node whoever comes, and a node is Ready only when its runtime says that it runs us."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import podconditions
from testbed import nodes as testbed_nodes
from testbed import state
from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.kubectl import Cluster

# A dozen pods are started, and a pod's missing networks are told after ten seconds.
pytestmark = pytest.mark.timeout(180)

CONFS = "/etc/cni/net.d"
FIRST, USUAL = "00-00-multus.conf", "00-multus.conf"
PODS = 6


class Place:
    """The runtime's folder of confs on one node, and what the node says of itself."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.node = node
        found = state.load(cluster.name)
        assert found is not None
        # Where it is on this machine: to ask there takes no time.
        self.folder = testbed_nodes.binds(found.node_folder(node))[CONFS]

    @contextlib.contextmanager
    def rival(self, name: str) -> Iterator[None]:
        """Write another network's conf in place, as installers do: a runtime loads it at once."""
        primary = (self.folder / testbed_nodes.PRIMARY_CONFLIST).read_text()
        (self.folder / name).write_text(primary.replace("pod-network", "rival-network"))
        try:
            yield
        finally:
            (self.folder / name).unlink()

    def ours(self) -> list[str]:
        return [name for name in (FIRST, USUAL) if (self.folder / name).exists()]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("nodestate", self.node)["status"]
        return found

    def condition(self, kind: str) -> dict[str, str]:
        return next(each for each in self.state()["conditions"] if each["type"] == kind)

    def says(self, **statuses: str) -> bool:
        found = {each["type"]: each["status"] for each in self.state()["conditions"]}
        return all(found.get(kind) == wanted for kind, wanted in statuses.items())


@pytest.fixture
def place(cluster: Cluster, nodes: list[str]) -> Iterator[Place]:
    found = Place(cluster, nodes[1])
    eventually(lambda: found.says(Ready="True", RuntimeLoaded="True"), seconds=60, what="a node that runs us")
    yield found
    eventually(lambda: found.says(Ready="True", RuntimeLoaded="True"), seconds=60, what="a node that runs us again")
    cluster.wait("installation/default", "--for=condition=Available")


def attached(cluster: Cluster, namespace: str, name: str) -> bool:
    return [each["interface"] for each in cluster.network_status(name, namespace)] == ["eth0", "net1"]


def all_attached(cluster: Cluster, namespace: str, names: list[str]) -> bool:
    return all(attached(cluster, namespace, name) for name in names)


def told(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """Return the pod's condition that its networks are missing; empty where it has none."""
    conditions = cluster.get("pod", name, "-n", namespace)["status"].get("conditions", [])
    return next((one for one in conditions if (one["type"], one["status"]) == (podconditions.CONDITION, "False")), {})


def test_the_runtime_says_that_it_runs_us(place: Place) -> None:
    state = place.state()
    assert state["runtime"]["name"] == "containerd"
    assert state["runtime"]["networks"] == ["multus-cni-network"]
    assert (state["confFile"], state["rivals"]) == (USUAL, [])


def test_a_file_that_sorts_before_ours_takes_no_pod_its_networks(
    cluster: Cluster, namespace: str, place: Place
) -> None:
    rival = "00-calico.conflist"
    cluster.apply(objects.network(namespace, "kept", objects.bridge("kept", "10.75.0.0/24")))
    during = [f"during-{number}" for number in range(PODS)]
    after = [f"after-{number}" for number in range(PODS)]
    cluster.apply(*(objects.pod(namespace, name, "kept", place.node) for name in during))
    with place.rival(rival):
        began = time.monotonic()
        eventually(lambda: place.ours() == [FIRST], seconds=20, what="ours before the rival")
        print(f"ours was first, and alone, {time.monotonic() - began:.2f} s after the rival (asked every 0.1 s)")
        eventually(lambda: place.state().get("rivals") == [rival], seconds=20, what="the rival in the NodeState")
        assert rival in place.condition("Degraded")["message"]
        assert place.says(Ready="True", RuntimeLoaded="True")
        cluster.apply(*(objects.pod(namespace, name, "kept", place.node) for name in after))
        for name in (*during, *after):
            cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
        everything_attached = functools.partial(all_attached, cluster, namespace, after)
        eventually(everything_attached, seconds=60, what="the networks of pods that came after the rival")

        # A sandbox that began in the moment between the rival's file and ours is told of, and never passed over.
        def known() -> bool:
            return all(attached(cluster, namespace, name) or told(cluster, namespace, name) for name in during)

        eventually(known, seconds=60, what="the networks of pods that were starting, or that they lack them")
        lacking = [name for name in during if not attached(cluster, namespace, name)]
        print(f"{len(lacking)} of {PODS} pods were started while the rival was first: {lacking}")
    eventually(lambda: place.ours() == [USUAL], seconds=30, what="our usual name")
    eventually(lambda: place.state().get("rivals") == [], seconds=20, what="a NodeState without the rival")


def test_a_node_whose_runtime_has_not_loaded_us_is_not_ready(cluster: Cluster, namespace: str, place: Place) -> None:
    rival = "00-00-a.conflist"  # no name of ours sorts before it
    cluster.apply(objects.network(namespace, "lost", objects.bridge("lost", "10.76.0.0/24")))
    with place.rival(rival):
        eventually(lambda: place.says(Ready="False", RuntimeLoaded="False"), seconds=20, what="a node that says so")
        assert rival in place.condition("Ready")["message"]
        loaded = place.condition("RuntimeLoaded")
        assert loaded["reason"] == "RuntimeHasNotLoadedUs"
        assert "has loaded the network rival-network" in loaded["message"]
        assert place.state()["runtime"]["networks"] == ["rival-network"]

        cluster.apply(objects.pod(namespace, "poor", "lost", place.node))
        cluster.wait("pod/poor", "-n", namespace, "--for=condition=Ready")
        mark = eventually(lambda: told(cluster, namespace, "poor"), seconds=60, what="that the pod lacks its network")
        assert mark["reason"] == "RivalConf"
        assert f"{rival} sorted before" in mark["message"]
        assert "Delete it" not in mark["message"]
    eventually(lambda: place.says(Ready="True", RuntimeLoaded="True"), seconds=60, what="a node that runs us again")
    eventually(
        lambda: "Delete it" in told(cluster, namespace, "poor").get("message", ""),
        seconds=30,
        what="the advice that helps now",
    )
