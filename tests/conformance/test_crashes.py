"""DEL after a crash: whatever step a call was killed at, nothing is left of the sandbox.

The killer ends the plugin in front of every single system call that changes something, one run for each. The
delegates are the reference plugins, so that links, addresses, leases and packet filter rules are at stake.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.node import NETWORKS, Json, Node, Pod, chain

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLED = 137
PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]


def _networks(node: Node, *, ports: bool = False) -> Json:
    """A node with everything that leaves traces: masquerading, two networks, and where asked for port mappings."""
    primary = node.bridge("primary", "10.77.1.0/24", isGateway=True, ipMasq=True)
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    plugins = [primary, portmap] if ports else [primary]
    return node.conf(chain("primary", *plugins), runtimeConfig={"portMappings": PORTS})


def _world(node: Node, pod: Pod) -> dict[str, Any]:
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


def _before(node: Node, conf: Json) -> dict[str, Any]:
    """The node once bridges and base chains are there, which no plugin removes."""
    pod = node.pod()
    node.add(conf, pod, "a").ok()
    attached = _world(node, pod)
    node.delete(conf, pod).ok()
    clean = _world(node, pod)
    assert [key for key in clean if clean[key] == attached[key]] == [], "every trace shows while the pod is attached"
    return clean


def _kill(node: Node, verb: str, conf: Json, pod: Pod, step: int) -> int:
    annotations = {NETWORKS: "a"} if verb == "ADD" else None
    return node.call(verb, conf, pod, annotations=annotations, prefix=(node.killer, str(step))).status


def _steps() -> Iterator[int]:
    yield from itertools.count(1)


def test_DEL_12_after_a_kill_in_front_of_any_step_of_add_del_leaves_nothing(node: Node) -> None:
    conf = _networks(node)
    before = _before(node, conf)
    for step in _steps():
        pod = node.pod()
        status = _kill(node, "ADD", conf, pod, step)
        assert status in {0, KILLED}
        node.delete(conf, pod).ok()
        assert _world(node, pod) == before, f"killed in front of step {step} of ADD"
        if status == 0:
            break
    assert step > 20, "the killer saw the steps"


def test_DEL_12_after_a_kill_in_front_of_any_step_of_del_the_next_leaves_nothing(node: Node) -> None:
    conf = _networks(node)
    before = _before(node, conf)
    for step in _steps():
        pod = node.pod()
        node.add(conf, pod, "a").ok()
        status = _kill(node, "DEL", conf, pod, step)
        assert status in {0, KILLED}
        node.delete(conf, pod).ok()
        assert _world(node, pod) == before, f"killed in front of step {step} of DEL"
        if status == 0:
            break
    assert step > 10, "the killer saw the steps"


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("network", ["primary", "a"])
@pytest.mark.parametrize("position", ["before the others", "after the others"])
def test_DEL_12_after_a_kill_while_a_delegate_works_del_leaves_nothing(
    node: Node, verb: str, network: str, position: str
) -> None:
    conf = _networks(node, ports=True)
    killing: Json = {"type": "stub"}

    def with_killer(plugins: list[Json]) -> list[Json]:
        return [killing, *plugins] if position == "before the others" else [*plugins, killing]

    plugins = conf["delegates"][0]["plugins"]
    if network == "primary":
        conf["delegates"] = [chain("primary", *with_killer(plugins))]
    else:
        node.network("a", chain("a", *with_killer([node.bridge("a", "10.77.2.0/24")])))
    before = _before(node, conf)
    node.answer(**{f"stub__{verb}": {"killParent": True}})
    pod = node.pod()
    if verb == "DEL":
        node.add(conf, pod, "a").ok()
    assert node.call(verb, conf, pod, annotations={NETWORKS: "a"}).status == -9
    node.answer()
    node.delete(conf, pod).ok()
    assert _world(node, pod) == before
