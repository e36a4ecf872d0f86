"""A node without a single CNI plugin becomes a working one by plugin sets, in both ways that files leave an image."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed import images, state
from testbed.binaries import oldest
from testbed.kubectl import Failed, ask_testbed, eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.kubectl import Cluster

IMAGE = "mooring.dev/reference-plugins:1.9.1"
# Where Kubernetes mounts no images, what Auto makes of it.
MOUNTED = "Auto" if oldest() else "ImageVolume"
LAN = ("dhcp", "macvlan", "tuning", "vlan")
PID = "/var/lib/mooring/dhcp-daemon.pid"
LOG = "/var/lib/mooring/dhcp-daemon.log"
LEASES = "/var/tmp/leases-of-the-lan"
# It boots a node, rolls sets out to it and replaces its agent.
pytestmark = pytest.mark.timeout(300)
AT_ONCE = {"maxUnavailable": "100%", "canary": {"nodes": 0}}


def programs() -> dict[str, Path]:
    """Return the reference plugins by name."""
    folder = Path(ask_testbed("binaries").splitlines()[-1]) / "cni"
    return {path.name: path for path in sorted(folder.iterdir())}


def a_set(name: str, image: str, delivery: str, *names: str) -> dict[str, Any]:
    known = programs()
    binaries = [
        {"name": each, "path": f"/opt/plugins/{each}", "sha256": hashlib.sha256(known[each].read_bytes()).hexdigest()}
        for each in names
    ]
    return {"name": name, "image": image, "delivery": delivery, "binaries": binaries}


def say(cluster: Cluster, **spec: Any) -> None:
    """Change the Installation."""
    body = json.dumps({"spec": {"rollout": AT_ONCE, **spec}})
    cluster.kubectl("patch", "installation", "default", "--type=merge", "-p", body)


def ready(cluster: Cluster, node: str, *, of: int) -> bool:
    """Say whether a node is Ready with the revision of the Installation's generation, or a later one."""
    installation = cluster.get("installation", "default")
    status = installation.get("status") or {}
    state = cluster.get("nodestate", node).get("status") or {}
    conditions = {each["type"]: each["status"] for each in state.get("conditions", [])}
    return (
        status.get("observedGeneration", 0) >= of
        and state.get("revision") == status.get("revision")
        and conditions.get("Ready") == "True"
    )


def settled(cluster: Cluster, node: str, *, seconds: float = 60) -> None:
    of = cluster.get("installation", "default")["metadata"]["generation"]
    eventually(lambda: ready(cluster, node, of=of), seconds=seconds, what=f"node {node} to be as the Installation says")


def replicas(cluster: Cluster, node: str) -> dict[str, str]:
    """Return which container each ready replica of the operator on a node is, by its pod."""
    selector = ("-l", "app.kubernetes.io/component=operator", f"--field-selector=spec.nodeName={node}")
    return {
        pod["metadata"]["name"]: each["containerID"]
        for pod in cluster.get("pods", "-n", "mooring-system", *selector)["items"]
        for each in pod.get("status", {}).get("containerStatuses") or []
        if each["ready"]
    }


def program_files(cluster: Cluster, node: str) -> list[str]:
    return cluster.on_node(node, "ls", "/opt/cni/bin").split()


def address(cluster: Cluster, namespace: str, pod: str) -> str:
    """Return the address of net1 as the pod has it."""
    lines = cluster.kubectl("exec", pod, "-n", namespace, "--", "ip", "-4", "addr", "show", "net1").splitlines()
    return next(line.split()[1] for line in lines if "inet " in line)


@pytest.fixture
def image(cluster: Cluster, tmp_path: Path) -> str:
    """An image that holds the reference plugins and nothing else, on every node."""
    images.program_image(
        tmp_path / "image.tar", IMAGE, {f"/opt/plugins/{name}": path for name, path in programs().items()}
    )
    ask_testbed("load-image", str(tmp_path / "image.tar"), "--name", cluster.name)
    return IMAGE


@pytest.fixture
def bare(cluster: Cluster, image: str, nodes: list[str]) -> Iterator[str]:
    """A node that booted without any CNI plugin and knows of none, in a cluster that has sets; later it has its own."""
    node = nodes[1]
    found = state.load(cluster.name)
    assert found is not None
    disk = found.node_folder(node) / "root"
    rest = sorted(set(programs()) - set(LAN))
    sets = [a_set("reference", image, MOUNTED, *rest), a_set("lan", image, "Container", *LAN)]
    say(cluster, pluginSets=sets, dhcpDaemon=True)
    for each in nodes:
        settled(cluster, each)
    before = replicas(cluster, node)
    ask_testbed("stop-node", node, "--name", cluster.name)
    for folder in ("opt/cni/bin", "var/lib/mooring"):
        shutil.rmtree(disk / folder)
        (disk / folder).mkdir()
    ask_testbed("start-node", node, "--name", cluster.name)

    def back() -> bool:
        now = replicas(cluster, node)
        return now.keys() == before.keys() and not set(now.values()) & set(before.values())

    # A replica that died with its node refuses connections until it runs again (docs/limits.md).
    eventually(back, seconds=90, what=f"the replicas of the operator on {node}")
    yield node
    say(cluster, pluginSets=[], dhcpDaemon=False)
    # What the primary network needs stays: pods start and end by it.
    left = {"mooring", "bridge", "host-local", "portmap"}
    try:
        eventually(lambda: set(program_files(cluster, node)) <= left, seconds=60, what="the end of the sets")
    finally:
        for path in programs().values():
            cluster.on_node(node, "cp", str(path.resolve()), "/opt/cni/bin/")
    cluster.kubectl("patch", "installation", "default", "--type=merge", "-p", '{"spec":{"rollout":null}}')
    settled(cluster, node)


@pytest.fixture
def lan(cluster: Cluster, bare: str) -> str:
    """An interface of the bare node, behind which a DHCP server gives out addresses of 10.88.0.0/24."""
    script = f"""
    ip netns add lan
    ip link add lan0 type veth peer name lan0 netns lan
    ip link set lan0 up
    ip -n lan link set lo up
    ip -n lan link set lan0 up
    ip -n lan addr add 10.88.0.1/24 dev lan0
    ip netns exec lan dnsmasq --conf-file=/dev/null --user=root --port=0 --no-ping --interface=lan0 --bind-interfaces \
      --dhcp-authoritative --dhcp-range=10.88.0.10,10.88.0.50,255.255.255.0,2m --dhcp-option=3 \
      --dhcp-leasefile={LEASES} --pid-file=/run/dnsmasq-of-the-lan </dev/null >/dev/null 2>&1
    """
    cluster.on_node(bare, "sh", "-ec", script)
    return "lan0"


def journals(cluster: Cluster, node: str, namespace: str) -> str:
    """Return the journals of a namespace's pods."""
    find = f"grep -l {namespace} /var/lib/mooring/attachments/*.jsonl || true"
    return cluster.on_node(node, "sh", "-c", find)


class Daemon:
    """The dhcp daemon of a node."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._node = node

    def pid(self) -> str:
        return self._cluster.on_node(self._node, "cat", PID)

    def answers(self) -> bool:
        self._cluster.on_node(self._node, "test", "-S", "/run/cni/dhcp.sock")
        return bool(self.pid())

    def cgroups(self) -> str:
        return self._cluster.on_node(self._node, "cat", f"/proc/{self.pid()}/cgroup")

    def times(self, text: str) -> int:
        return self._cluster.on_node(self._node, "cat", LOG).count(text)


def test_an_empty_node_becomes_a_working_one(cluster: Cluster, namespace: str, bare: str, lan: str) -> None:
    settled(cluster, bare)
    assert set(program_files(cluster, bare)) == {"mooring", *programs()}

    def told() -> bool:
        listed = cluster.get("nodestate", bare)["status"].get("binaries") or []
        return set(programs()) <= {each["name"] for each in listed if each["owner"].startswith("pluginSet/")}

    eventually(told, seconds=60, what="the programs in the NodeState, with their owner")

    macvlan = {"cniVersion": "1.0.0", "name": "lan", "type": "macvlan", "master": lan, "ipam": {"type": "dhcp"}}
    cluster.apply(
        objects.network(namespace, "bridge", objects.bridge("sets", "10.89.0.0/24")),
        objects.network(namespace, "lan", macvlan),
    )
    cluster.apply(
        objects.pod(namespace, "bridged", "bridge", bare),
        objects.pod(namespace, "leased", "lan", bare),
    )
    for name in ("bridged", "leased"):
        cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
    assert address(cluster, namespace, "bridged").startswith("10.89.0.")
    leased = address(cluster, namespace, "leased")
    assert leased.startswith("10.88.0.")
    assert leased.partition("/")[0] in cluster.on_node(bare, "cat", LEASES)

    daemon = Daemon(cluster, bare)
    before = daemon.pid()
    assert "pods" not in daemon.cgroups()
    cluster.kubectl(
        *("delete", "pod", "-n", "mooring-system", "-l", "app.kubernetes.io/component=agent"),
        f"--field-selector=spec.nodeName={bare}",
    )
    settled(cluster, bare)
    assert daemon.pid() == before, "the daemon did not outlive its agent"

    acquired = daemon.times("lease acquired")
    cluster.on_node(bare, "kill", "-KILL", before)
    eventually(lambda: daemon.answers() and daemon.pid() != before, seconds=30, what="another daemon")
    eventually(lambda: daemon.times("lease acquired") > acquired, seconds=30, what="the lease taken again")
    assert address(cluster, namespace, "leased") == leased
    settled(cluster, bare)

    cluster.on_node(bare, "rm", "/opt/cni/bin/bridge")
    eventually(lambda: "bridge" in program_files(cluster, bare), seconds=10, what="the program that was removed")

    # Without the daemon the dhcp plugin undoes nothing.
    cluster.kubectl("delete", "pod", "bridged", "leased", "-n", namespace, "--wait=true")
    eventually(lambda: not journals(cluster, bare, namespace), seconds=60, what="the end of what the pods had")
    last = daemon.pid()
    say(cluster, dhcpDaemon=False)
    gone = ("sh", "-c", f"test ! -e /proc/{last} && test ! -e /run/cni/dhcp.sock && echo gone")
    eventually(lambda: "gone" in cluster.on_node(bare, *gone), seconds=60, what="the end of the daemon")


def test_a_set_whose_image_cannot_be_pulled_is_told_and_takes_nothing_from_the_nodes(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    nowhere = "127.0.0.1:1/plugins:1"  # refuses at once, where a name would have to be looked up
    binary = {"name": "absent", "path": "/absent", "sha256": "0" * 64}
    sets = [
        {
            "name": f"absent-{number}",
            "image": nowhere,
            "delivery": delivery,
            "binaries": [{**binary, "name": f"a{number}"}],
        }
        for number, delivery in enumerate((MOUNTED, "Container"))
    ]
    say(cluster, pluginSets=sets)
    try:

        def told() -> bool:
            # First of the change that is under way, later of what is wrong.
            conditions = cluster.get("installation", "default")["status"]["conditions"]
            message = " ".join(each["message"] for each in conditions if each["type"] in ("Progressing", "Degraded"))
            if not all(word in message for word in (nowhere, "Plugin set absent-0", "Plugin set absent-1")):
                raise Failed(message)
            # The canary alone has the revision.
            return any(node in message for node in nodes) and any(
                word in message for word in ("ErrImagePull", "ImagePullBackOff")
            )

        eventually(told, seconds=60, what="the Installation to say which set of which image is missing where, and why")
        cluster.apply(objects.network(namespace, "kept", objects.bridge("kept", "10.87.0.0/24")))
        cluster.apply(objects.pod(namespace, "kept", "kept", nodes[0]))
        cluster.wait("pod/kept", "-n", namespace, "--for=condition=Ready")
        agents = cluster.get("pods", "-n", "mooring-system", "-l", "app.kubernetes.io/component=agent")["items"]
        assert {pod["status"]["phase"] for pod in agents} == {"Running"}
    finally:
        say(cluster, pluginSets=[])
        for node in nodes:
            settled(cluster, node)
        cluster.kubectl("patch", "installation", "default", "--type=merge", "-p", '{"spec":{"rollout":null}}')
    left = ("get", "daemonsets", "-n", "mooring-system", "-l", "app.kubernetes.io/component=plugin-set", "-o", "name")
    eventually(lambda: cluster.kubectl(*left) == "", seconds=30, what="the end of the DaemonSets of the sets")
