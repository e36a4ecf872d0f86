"""A change reaches three nodes one by one, a bad one stops at the canary unnoticed, and an uninstall leaves nothing.

On a cluster of its own: at its end there is no Mooring any more.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed import images
from testbed.kubectl import Cluster, ask_testbed, eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = f"{os.environ.get('MOORING_E2E_NAME', 'e2e')}-change"
SOAK = 6
PLUGIN = "/opt/cni/bin/mooring"
CONF = "/etc/cni/net.d/00-multus.conf"
PINGS = "/tmp/pings"
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

# The first test waits for the cluster too, and those of an image for operators and agents that are replaced.
pytestmark = pytest.mark.timeout(420)


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


@pytest.fixture
def pinging(cluster: Cluster, nodes: list[str]) -> Iterator[Callable[[], list[int]]]:
    """Pods on all nodes, of which the first pings the others five times a second; returns the replies so far.

    At the end none may have been lost, and no container of the cluster started anew.
    """
    cluster.apply(objects.network("default", "aside", objects.bridge("aside", "10.68.0.0/24")))
    names = [f"pinging-{node}" for node in nodes]
    first, *others = names
    cluster.apply(*(objects.pod("default", name, "aside", node) for name, node in zip(names, nodes, strict=True)))
    for name in names:
        cluster.wait(f"pod/{name}", "--for=condition=Ready", seconds=60)
    addresses = [cluster.get("pod", name)["status"]["podIP"] for name in others]
    files = [f"{PINGS}-{number}" for number in range(len(addresses))]
    for file, address in zip(files, addresses, strict=True):
        cluster.kubectl("exec", first, "--", "sh", "-c", f"ping -i 0.2 {address} >{file} 2>&1 </dev/null &")

    def replies() -> list[int]:
        counts = []
        for file in files:
            said = cluster.kubectl("exec", first, "--", "cat", file)
            seen = [int(number) for number in re.findall(r"seq=(\d+) ", said)]
            assert seen == list(range(len(seen))), f"lost on its way to {said.splitlines()[0]}"
            counts.append(len(seen))
        return counts

    eventually(lambda: all(replies()), seconds=10, what="the first replies")
    restarts = _restarts(cluster)
    yield replies
    so_far = replies()
    eventually(lambda: all(map(int.__gt__, replies(), so_far)), seconds=10, what="that all still answer")
    print(f"pings answered, none lost: {so_far}")
    now = _restarts(cluster)
    assert {pod: count for pod, count in now.items() if count > restarts.get(pod, 0)} == {}
    assert {f"default/{name}" for name in names} <= restarts.keys() & now.keys()
    cluster.kubectl("delete", "pods", *names, "--wait=true")
    cluster.kubectl("delete", "network-attachment-definition", "aside")


def _restarts(cluster: Cluster) -> dict[str, int]:
    """Return how often the containers of each pod started anew."""
    return {
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": sum(
            each["restartCount"] for each in pod["status"].get("containerStatuses") or []
        )
        for pod in cluster.get("pods", "--all-namespaces")["items"]
    }


def on_disk(cluster: Cluster, nodes: list[str]) -> dict[str, str]:
    """Return the checksums of what a pod's start needs, by node."""
    return {node: cluster.on_node(node, "sha256sum", PLUGIN, CONF) for node in nodes}


def halted(cluster: Cluster, old: dict[str, str]) -> tuple[str, str]:
    """Wait until the roll-out halts by itself; return the one node that was told it, and the condition's message."""
    eventually(
        lambda: condition(cluster, "Degraded")["reason"] == "RolloutHalted", seconds=120, what="that it halts by itself"
    )
    [moved] = [node for node, (told, _) in states(cluster).items() if told != old[node]]
    message = condition(cluster, "Degraded")["message"]
    print(message)
    assert f"on {moved}, " in message
    return moved, message


@pytest.mark.usefixtures("installed")
def test_a_plugin_set_whose_image_does_not_come_stops_at_the_canary_and_no_pod_notices(
    cluster: Cluster, nodes: list[str], tmp_path: Path, pinging: Callable[[], list[int]]
) -> None:
    old = {node: applied for node, (_, applied) in states(cluster).items()}
    disk = on_disk(cluster, nodes)
    program = Path(ask_testbed("binaries").splitlines()[-1]) / "cni" / "tuning"
    binary = {"name": "tuning-of-a-set", "path": "/tuning", "sha256": hashlib.sha256(program.read_bytes()).hexdigest()}
    wanted = {"name": "tools", "image": "mooring.dev/no-such-image:1", "delivery": "Container", "binaries": [binary]}
    change(cluster, plugin={"logLevel": "error"}, pluginSets=[wanted])
    _, message = halted(cluster, old)
    assert "tools" in message
    assert on_disk(cluster, nodes) == disk

    images.program_image(tmp_path / "tools.tar", "mooring.dev/tools:1", {"/tuning": program})
    ask_testbed("load-image", str(tmp_path / "tools.tar"), "--name", cluster.name)
    change(cluster, plugin={"logLevel": "error"}, pluginSets=[{**wanted, "image": "mooring.dev/tools:1"}])
    eventually(
        lambda: (
            complete(cluster) and old.items().isdisjoint((node, told) for node, (told, _) in states(cluster).items())
        ),
        seconds=120,
        what="that the mended set goes on",
    )
    for node in nodes:
        cluster.on_node(node, "test", "-x", "/opt/cni/bin/tuning-of-a-set")
    assert condition(cluster, "Degraded")["status"] == "False"


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
