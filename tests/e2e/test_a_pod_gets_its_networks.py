"""A pod gets the networks it asked for, and its status says which."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from testbed.kubectl import Cluster


def addresses(cluster: Cluster, pod: str, namespace: str) -> dict[str, list[str]]:
    """Return the IPv4 addresses of each interface as the pod sees them."""
    found: dict[str, list[str]] = {}
    interface = ""
    for line in cluster.kubectl("exec", pod, "-n", namespace, "--", "ip", "addr").splitlines():
        if not line.startswith(" "):
            interface = line.split(":")[1].strip().split("@")[0]
        elif line.split()[0] == "inet":
            found.setdefault(interface, []).append(line.split()[1].split("/")[0])
    return found


def test_a_pod_on_two_networks_has_the_addresses_that_its_status_shows(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    cluster.apply(
        objects.network(namespace, "reda", objects.bridge("reda", "10.61.0.0/24")),
        objects.network(namespace, "blue", objects.bridge("blue", "10.62.0.0/24")),
    )
    cluster.apply(objects.pod(namespace, "both", [{"name": "reda"}, {"name": "blue", "interface": "data0"}], nodes[0]))
    cluster.wait("pod/both", "-n", namespace, "--for=condition=Ready")
    status = eventually(lambda: cluster.network_status("both", namespace), seconds=10, what="the network-status")
    inside = addresses(cluster, "both", namespace)
    assert [(entry["name"], entry["interface"]) for entry in status[1:]] == [
        (f"{namespace}/reda", "net1"),
        (f"{namespace}/blue", "data0"),
    ]
    assert status[0]["interface"] == "eth0"
    assert status[0]["default"] is True
    assert {entry["interface"]: entry["ips"] for entry in status} == {
        name: ips for name, ips in inside.items() if name != "lo"
    }


def test_two_pods_reach_each_other_over_the_extra_network_and_not_over_eth0(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    cluster.apply(objects.network(namespace, "ping", objects.bridge("ping", "10.63.0.0/24")))
    cluster.apply(*(objects.pod(namespace, name, "ping", nodes[1]) for name in ("here", "there")))
    for name in ("here", "there"):
        cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
    target = addresses(cluster, "there", namespace)["net1"][0]

    def received(interface: str) -> int:
        path = f"/sys/class/net/{interface}/statistics/rx_packets"
        return int(cluster.kubectl("exec", "here", "-n", namespace, "--", "cat", path))

    before = received("net1")
    cluster.kubectl("exec", "here", "-n", namespace, "--", "ping", "-c", "5", target)
    assert received("net1") - before >= 5


def test_a_pod_without_the_annotation_has_only_the_default_network(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    cluster.apply(objects.pod(namespace, "plain", None, nodes[0]))
    cluster.wait("pod/plain", "-n", namespace, "--for=condition=Ready")
    status = eventually(lambda: cluster.network_status("plain", namespace), seconds=10, what="the network-status")
    assert [entry["interface"] for entry in status] == ["eth0"]
    assert set(addresses(cluster, "plain", namespace)) == {"lo", "eth0"}


def test_a_pod_that_names_a_missing_network_waits_for_it_and_then_starts_by_itself(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    cluster.apply(objects.pod(namespace, "early", "later", nodes[0]))

    def complaint() -> bool:
        events = cluster.get("events", "-n", namespace, "--field-selector=involvedObject.name=early")["items"]
        return any(f"{namespace}/later" in event.get("message", "") for event in events)

    eventually(complaint, seconds=60, what="an event that names the missing network")
    cluster.apply(objects.network(namespace, "later", objects.bridge("later", "10.64.0.0/24")))
    cluster.wait("pod/early", "-n", namespace, "--for=condition=Ready")
    assert "net1" in addresses(cluster, "early", namespace)


def test_deployments_services_exec_and_logs_work_as_without_us(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    cluster.apply(objects.pod(namespace, "client", None, nodes[1]))
    server = objects.pod(namespace, "server", None, nodes[0])
    server["metadata"]["labels"] = {"app": "server"}
    server["spec"]["containers"][0]["command"] = [
        "sh",
        "-c",
        "echo started; while true; do echo -e 'HTTP/1.0 200 OK\\r\\n\\r\\nmoored' | nc -l -p 8080; done",
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": namespace},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    cluster.apply(server, service)
    for name in ("client", "server"):
        cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
    address = cluster.get("service", "server", "-n", namespace)["spec"]["clusterIP"]
    answer = eventually(
        lambda: cluster.kubectl(
            "exec", "client", "-n", namespace, "--", "sh", "-c", f"nc -w 2 {address} 80 </dev/null"
        ),
        seconds=30,
        what="an answer of the service",
    )
    assert "moored" in answer
    assert "started" in cluster.kubectl("logs", "server", "-n", namespace)


def test_the_examples_of_the_readme_run(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "examples/bridge-networks.yaml")
    try:
        for name in ("one-network", "two-networks"):
            cluster.wait(f"pod/{name}", "--for=condition=Ready")
        status = eventually(lambda: cluster.network_status("two-networks"), seconds=10, what="the network-status")
        assert [entry["interface"] for entry in status] == ["eth0", "net1", "backup0"], json.dumps(status)
        accepted = cluster.kubectl("apply", "--dry-run=server", "-f", "examples/ipvlan-on-bond.yaml")
        assert "ipvlan-net2 created" in accepted
    finally:
        cluster.kubectl("delete", "-f", "examples/bridge-networks.yaml", "--wait=false")
