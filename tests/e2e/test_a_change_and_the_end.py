"""A change reaches three nodes one by one, a bad one stops at the canary, and an uninstall leaves nothing.

On a cluster of its own: at its end there is no Mooring any more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.kubectl import Cluster, ask_testbed, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = f"{os.environ.get('MOORING_E2E_NAME', 'e2e')}-change"
SOAK = 6
FOLDERS = ("/etc/cni/net.d", "/opt/cni/bin", "/var/lib/mooring")
INSTALLATION: dict[str, Any] = {
    "apiVersion": "mooring.dev/v1alpha1",
    "kind": "Installation",
    "metadata": {"name": "default"},
    "spec": {
        "rollout": {
            "maxUnavailable": 1,
            "canary": {"nodes": 1, "soakSeconds": SOAK},
            "progressDeadlineSeconds": 15,
        }
    },
}

# The first test waits for the cluster too.
pytestmark = pytest.mark.timeout(300)


def contents(cluster: Cluster, node: str) -> str:
    """Return every file below the three folders with its checksum."""
    script = (
        f"for f in $(find {' '.join(FOLDERS)} 2>/dev/null | sort); do "
        'if [ -f "$f" ]; then sha256sum "$f"; else echo "$f"; fi; done'
    )
    return cluster.on_node(node, "sh", "-c", script)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes, with the operator and nothing on the nodes yet."""
    ask_testbed("up", "--name", NAME, "--nodes", "3", "--node-network", "192.168.246.0/24")
    try:
        ask_testbed("load-image", ask_testbed("image").splitlines()[-1], "--name", NAME)
        made = Cluster(NAME)
        made.kubectl("apply", "-k", "manifests/default")
        made.wait("deployment/mooring-operator", "--namespace=mooring-system", "--for=condition=Available")
        yield made
    finally:
        if not os.environ.get("MOORING_E2E_KEEP"):
            ask_testbed("down", "--name", NAME)


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> list[str]:
    """The names of the nodes."""
    return sorted(node["metadata"]["name"] for node in cluster.get("nodes")["items"])


@pytest.fixture(scope="module")
def before(cluster: Cluster, nodes: list[str]) -> dict[str, str]:
    """What is on the nodes before Mooring is."""
    return {node: contents(cluster, node) for node in nodes}


@pytest.fixture(scope="module")
def installed(cluster: Cluster, before: dict[str, str]) -> None:
    """The Installation, on all nodes."""
    cluster.apply(INSTALLATION)
    cluster.wait("installation/default", "--for=condition=Available")
    eventually(lambda: complete(cluster), seconds=60, what="the end of the first roll-out")
    assert before


def change(cluster: Cluster, **spec: Any) -> None:
    cluster.apply({**INSTALLATION, "spec": {**INSTALLATION["spec"], **spec}})


def states(cluster: Cluster) -> dict[str, tuple[str, str]]:
    """Return what each node was told and what it has applied."""
    return {
        item["metadata"]["name"]: (item["spec"]["revision"], item.get("status", {}).get("revision", ""))
        for item in cluster.get("nodestates")["items"]
    }


def condition(cluster: Cluster, kind: str) -> dict[str, Any]:
    found = cluster.get("installation", "default")["status"]["conditions"]
    return next(each for each in found if each["type"] == kind)


def complete(cluster: Cluster) -> bool:
    status = cluster.get("installation", "default").get("status", {})
    return bool(
        status.get("rollout", {}).get("stage") == "Complete" and condition(cluster, "Progressing")["status"] == "False"
    )


@pytest.mark.usefixtures("installed")
def test_a_changed_log_level_reaches_a_canary_soaks_and_then_the_rest_one_by_one(
    cluster: Cluster, nodes: list[str]
) -> None:
    old = {told for told, _ in states(cluster).values()}
    assert len(old) == 1
    change(cluster, plugin={"logLevel": "debug"})
    began = time.monotonic()
    told_at: dict[str, float] = {}
    applied_at: dict[str, float] = {}

    def done() -> bool:
        now = time.monotonic() - began
        for node, (told, applied) in states(cluster).items():
            if told not in old:
                told_at.setdefault(node, now)
                if applied == told:
                    applied_at.setdefault(node, now)
        return len(applied_at) == len(nodes) and complete(cluster)

    eventually(done, seconds=120, what="the new log level on all nodes")
    order = sorted(told_at, key=lambda node: told_at[node])
    for node in order:
        print(f"{node}: told after {told_at[node]:.1f} s, applied after {applied_at[node]:.1f} s")
    canary, *rest = order
    # Asking takes a moment: what is seen is up to two seconds older than it looks.
    assert told_at[rest[0]] - applied_at[canary] >= SOAK - 2, "the others follow after the soak"
    assert told_at[rest[1]] >= applied_at[rest[0]], "and one after the other"
    reasons = [event["reason"] for event in cluster.get("events.events.k8s.io", "-n", "default")["items"]]
    for reason in ("CanariesChosen", "CanariesProven", "RolloutComplete"):
        assert reason in reasons
    for node in nodes:
        assert '"logLevel":"debug"' in cluster.on_node(node, "cat", "/etc/cni/net.d/00-multus.conf").replace(" ", "")


@pytest.mark.usefixtures("installed")
def test_a_default_network_that_does_not_exist_stops_at_the_canary_and_names_it(
    cluster: Cluster, nodes: list[str]
) -> None:
    old = {node: applied for node, (_, applied) in states(cluster).items()}
    confs = {node: cluster.on_node(node, "cat", "/etc/cni/net.d/00-multus.conf") for node in nodes}
    change(cluster, plugin={"logLevel": "debug"}, defaultNetwork="no-such.conf")
    eventually(
        lambda: condition(cluster, "Degraded")["reason"] == "RolloutHalted", seconds=90, what="that it halts by itself"
    )
    message = condition(cluster, "Degraded")["message"]
    print(message)
    moved = [node for node, (told, _) in states(cluster).items() if told != old[node]]
    assert len(moved) == 1
    assert f"on {moved[0]}, it is not ready within 15 s of the change" in message
    assert "no-such.conf" in message
    assert condition(cluster, "Available")["status"] == "False", "in a cluster of three each node counts"
    for node in nodes:
        assert cluster.on_node(node, "cat", "/etc/cni/net.d/00-multus.conf") == confs[node]

    change(cluster, plugin={"logLevel": "error"})
    eventually(lambda: complete(cluster), seconds=120, what="that the fixed one goes on")
    assert condition(cluster, "Degraded")["status"] == "False"
    assert len({told for told, _ in states(cluster).values()}) == 1


@pytest.mark.usefixtures("installed")
def test_an_uninstall_leaves_every_node_as_it_was(cluster: Cluster, nodes: list[str], before: dict[str, str]) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("mooring"), "uninstall", "--timeout=120"],
        env={**os.environ, "KUBECONFIG": cluster.kubeconfig},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert {node: contents(cluster, node) for node in nodes} == before
    assert cluster.get("daemonsets", "-n", "mooring-system")["items"] == []
    assert cluster.get("nodestates")["items"] == []
    assert cluster.get("crd", "network-attachment-definitions.k8s.cni.cncf.io")
