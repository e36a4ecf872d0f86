"""All that a sandbox can leave behind on a node: links, rules, leases, files.

Owns the comparison of a node before and after; refuses to know how a test got there.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.conformance.node import NETWORKS, Json, Node, Pod, chain

if TYPE_CHECKING:
    from collections.abc import Mapping

KILLED = 137
"""The status of a program that the killer ended."""

PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]


def networks(node: Node, *, ports: bool = False) -> Json:
    """Make a conf of everything that leaves traces: masquerading, two networks, and where asked for port mappings."""
    primary = node.bridge("primary", "10.77.1.0/24", isGateway=True, ipMasq=True)
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    plugins = [primary, portmap] if ports else [primary]
    return node.conf(chain("primary", *plugins), runtimeConfig={"portMappings": PORTS})


def world(node: Node, pod: Pod) -> dict[str, Any]:
    """All that a sandbox can leave behind on the node."""
    assert node.netns is not None
    inside = ["nsenter", f"--net={node.netns}"]
    links = subprocess.run([*inside, "ip", "-json", "link"], check=True, capture_output=True).stdout
    rules = subprocess.run([*inside, "iptables-save"], check=True, capture_output=True, text=True).stdout
    return {
        "links of the node": {link["ifname"] for link in json.loads(links)},
        "links of the pod": node.interfaces(pod),
        "rules": [line for line in rules.splitlines() if not line.startswith(("#", ":"))],
        "leases": node.leases(),
        "files": node.left(),
    }


def before(node: Node, conf: Json, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the world once bridges and base chains are there, which no plugin removes."""
    pod = node.pod()
    node.call("ADD", conf, pod, annotations=annotations or {NETWORKS: "a"}).ok()
    attached = world(node, pod)
    node.delete(conf, pod).ok()
    clean = world(node, pod)
    assert [key for key in clean if clean[key] == attached[key]] == [], "every trace shows while the pod is attached"
    return clean
