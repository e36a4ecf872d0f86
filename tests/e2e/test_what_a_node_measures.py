"""What the agent of a real node measures, of real pods, and what it says the node has."""

from __future__ import annotations

import functools
import shlex
from typing import TYPE_CHECKING

from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from testbed.kubectl import Cluster

SYSTEM = ("-n", "mooring-system")
_ASK = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9454/metrics').read().decode())"


def numbers(cluster: Cluster, node: str) -> dict[str, float]:
    """Return the metrics of a node's agent, by name and labels as they are written."""
    agents = ("-l", "app.kubernetes.io/component=agent", f"--field-selector=spec.nodeName={node}")
    (agent,) = cluster.get("pods", *SYSTEM, *agents)["items"]
    text = cluster.kubectl("exec", agent["metadata"]["name"], *SYSTEM, "--", "python", "-c", _ASK)
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def test_traffic_of_pods_is_told_by_network(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    cluster.apply(objects.network(namespace, "measured", objects.bridge("measured", "10.75.0.0/24")))
    cluster.apply(*(objects.pod(namespace, name, "measured", nodes[0]) for name in ("here", "there")))
    for name in ("here", "there"):
        cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
        eventually(functools.partial(cluster.network_status, name, namespace), seconds=10, what="the network-status")
    labels = f'interface="net1",namespace="{namespace}",network_name="{namespace}/measured",pod="here"'
    received = f"mooring_agent_pod_network_receive_packets_total{{{labels}}}"
    before = numbers(cluster, nodes[0])[received]
    script = "ip -4 addr show net1 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'"
    target = cluster.kubectl("exec", "there", "-n", namespace, "--", "sh", "-c", script).strip()
    cluster.kubectl("exec", "here", "-n", namespace, "--", *shlex.split(f"ping -c 5 {target}"))
    found = numbers(cluster, nodes[0])
    assert found[received] - before >= 5
    assert found[f"pod_network_name_info{{{labels}}}"] == 0
    assert found["mooring_agent_pod_networks_unread"] == 0
    assert found[f'mooring_agent_attachments{{network="{namespace}/measured"}}'] == 2
    assert found["mooring_agent_status_delay_seconds_count"] >= 2
    assert found["mooring_agent_ready"] == 1


def test_a_nodestate_tells_what_the_node_has_for_networks(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    absent = {"cniVersion": "1.0.0", "type": "macvlan", "master": "absent0", "ipam": {"type": "static"}}
    cluster.apply(objects.network(namespace, "nowhere", absent))

    def told() -> bool:
        status = cluster.get("nodestate", nodes[0])["status"]
        interfaces = {each["name"]: each["networks"] for each in status.get("absentInterfaces", [])}
        return interfaces.get("absent0") == [f"{namespace}/nowhere"]

    eventually(told, seconds=30, what="the interface that is not there")
    status = cluster.get("nodestate", nodes[0])["status"]
    binaries = {each["name"]: each for each in status["binaries"]}
    assert binaries["mooring"]["owner"] == "mooring"
    assert binaries["bridge"]["owner"] == ""
    assert binaries["bridge"]["version"].startswith("v1.")
    assert {"bridge", "veth"} <= set(status["linkTypes"])
    assert status["runtime"]["cniVersion"] == "1.1.0"
