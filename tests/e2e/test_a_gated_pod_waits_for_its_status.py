"""A pod that names our condition as a readiness gate is Ready only once its network-status is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import podconditions
from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from testbed.kubectl import Cluster

pytestmark = pytest.mark.timeout(180)


def gated(namespace: str, name: str, networks: str | None, node: str, **spec: Any) -> dict[str, Any]:
    body = objects.pod(namespace, name, networks, node)
    body["spec"] |= {"readinessGates": [{"conditionType": podconditions.CONDITION}], **spec}
    return body


def conditions(cluster: Cluster, namespace: str, name: str) -> dict[str, dict[str, str]]:
    found = cluster.get("pod", name, "-n", namespace)["status"].get("conditions", [])
    return {each["type"]: each for each in found}


@pytest.mark.parametrize(
    ("networks", "spec", "reason"),
    [("gate", {}, "Attached"), (None, {}, "NoneAsked"), (None, {"hostNetwork": True}, "HostNetwork")],
    ids=["asks", "asks for nothing", "on its node's network"],
)
def test_a_gated_pod_becomes_ready(
    cluster: Cluster, namespace: str, nodes: list[str], networks: str | None, spec: dict[str, Any], reason: str
) -> None:
    cluster.apply(objects.network(namespace, "gate", objects.bridge("gate", "10.77.0.0/24")))
    cluster.apply(gated(namespace, "gated", networks, nodes[0], **spec))
    cluster.wait("pod/gated", "-n", namespace, "--for=condition=Ready")
    found = conditions(cluster, namespace, "gated")[podconditions.CONDITION]
    assert (found["status"], found["reason"]) == ("True", reason)
    if not spec:
        # Without waiting: it was there before the pod was Ready.
        interfaces = [each["interface"] for each in cluster.network_status("gated", namespace)]
        assert interfaces == ["eth0", *(["net1"] if networks else [])]


def test_a_gated_pod_that_lost_its_condition_gets_it_back(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    cluster.apply(gated(namespace, "gated", None, nodes[1]))
    cluster.wait("pod/gated", "-n", namespace, "--for=condition=Ready")
    patch = '{"status":{"conditions":[{"type":"mooring.dev/NetworksAttached","status":"False","reason":"Nonsense"}]}}'
    cluster.kubectl("patch", "pod", "gated", "-n", namespace, "--subresource=status", "--type=strategic", "-p", patch)

    def right() -> bool:
        found = conditions(cluster, namespace, "gated")
        return (found[podconditions.CONDITION]["reason"], found["Ready"]["status"]) == ("NoneAsked", "True")

    eventually(right, seconds=60, what="the condition, and a pod that is Ready")
