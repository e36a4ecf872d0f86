"""What tests of the adoption do to a cluster that Multus serves, and what they see of its nodes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from testbed import multus, state
from testbed import nodes as testbed_nodes
from testbed.kubectl import Cluster, Failed, eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFS = "/etc/cni/net.d"
SCRATCH = "/var/lib/cni/multus"
NETWORK = "red"
PODS = 10
#: What a runtime may have as its first file at any moment: a conf of Multus, or ours beside one, or ours alone.
GOOD = {"00-multus.conf", "00-multus.conflist", "00-00-multus.json"}


class World:
    """The cluster, by its nodes' own files."""

    def __init__(self, cluster: Cluster, form: multus.Form) -> None:
        found = state.load(cluster.name)
        assert found is not None
        self.cluster, self.form = cluster, form
        self.nodes = found.plan.node_names()
        self._folders = {name: testbed_nodes.binds(found.node_folder(name)) for name in self.nodes}
        self.pods: dict[str, str] = {}
        """The node of each pod that Multus attached."""
        self.addresses: dict[str, str] = {}
        """What `ip` showed in it then."""
        self.uids: dict[str, str] = {}

    def path(self, node: str, inside: str) -> Path:
        """Return where a file of a node is on this machine."""
        folders = self._folders[node]
        folder = next(each for each in folders if inside == each or inside.startswith(f"{each}/"))
        return folders[folder] / inside.removeprefix(folder).strip("/")

    def files(self, node: str, folder: str) -> set[str]:
        """Return the names of the files in a folder; none where it is absent."""
        path = self.path(node, folder)
        return {file.name for file in path.iterdir() if file.is_file()} if path.is_dir() else set()

    def confs(self, node: str) -> list[str]:
        """Return the confs of the runtime's folder, in its order."""
        return sorted(name for name in self.files(node, CONFS) if name.endswith((".conf", ".conflist", ".json")))

    def leases(self, node: str, network: str = NETWORK) -> set[str]:
        """Return the addresses that host-local holds."""
        return {name for name in self.files(node, f"/var/lib/cni/networks/{network}") if re.fullmatch(r"[0-9.]+", name)}

    def attached(self, node: str) -> int:
        """Return how many interfaces of pods end in the bridge of the network."""
        links = json.loads(self.cluster.on_node(node, "ip", "-json", "link", "show", "type", "veth"))
        return sum(1 for link in links if link.get("master") == f"br{NETWORK}")

    def scratch(self, node: str) -> set[str]:
        """Return the sandboxes of which Multus has a file."""
        return {name for name in self.files(node, SCRATCH) if re.fullmatch(r"[0-9a-f]{64}", name)}

    def scratch_of_pods(self, node: str) -> int:
        """Return of how many sandboxes with our network Multus has a file: it has one of every pod that it attached."""
        folder = self.path(node, SCRATCH)
        texts = []
        for name in self.scratch(node):
            with contextlib.suppress(FileNotFoundError):
                texts.append((folder / name).read_text())
        return sum(1 for text in texts if f"default/{NETWORK}" in text)

    def deploy_multus(self) -> None:
        """Deploy it as its manifests say, with a network and ten pods on each node."""
        self.cluster.apply(*multus.manifests(self.form))
        for node in self.nodes:
            eventually(lambda node=node: self.serves(node), seconds=90, what=f"the conf of Multus on {node}")  # type: ignore[misc]
        crd = "customresourcedefinition/network-attachment-definitions.k8s.cni.cncf.io"
        self.cluster.wait(crd, "--for=condition=Established")
        self.cluster.apply(objects.network("default", NETWORK, objects.bridge(NETWORK, "10.81.0.0/24")))
        self.pods = self.make("old", PODS)
        self.addresses = self.shown(*self.pods)
        self.uids = {name: pod["metadata"]["uid"] for name, pod in self.listed().items()}

    def serves(self, node: str) -> bool:
        """Say whether the first conf of a node is of Multus."""
        first = next(iter(self.confs(node)), "")
        if not first.startswith("00-multus"):
            return False
        return '"multus' in self.path(node, f"{CONFS}/{first}").read_text().replace('"multus-cni-network"', "")

    def make(self, prefix: str, count: int) -> dict[str, str]:
        """Make so many pods with the network on each node, wait for them, and return their nodes."""
        pods = {f"{prefix}-{node}-{number}": node for node in self.nodes for number in range(count)}
        self.cluster.apply(*(objects.pod("default", name, NETWORK, node) for name, node in pods.items()))

        def complete() -> bool:
            listed = self.listed()
            return all(name in listed and _has_network(listed[name]) for name in pods)

        eventually(complete, seconds=90, what=f"the networks of {prefix}-*")
        return pods

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return the pods by name."""
        return {each["metadata"]["name"]: each for each in self.cluster.get("pods", "-n", "default")["items"]}

    def shown(self, *pods: str) -> dict[str, str]:
        """Return the interfaces of pods with their addresses."""

        def ask(pod: str) -> str:
            text = self.cluster.kubectl("exec", pod, "--", "ip", "addr")
            return "\n".join(re.findall(r"^[0-9]+: [^:@]+|link/ether \S+|inet \S+", text, re.MULTILINE))

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return dict(zip(pods, pool.map(ask, pods), strict=True))

    def delete(self, *pods: str) -> None:
        """Delete pods and wait until they are gone."""
        self.cluster.kubectl("delete", "pod", *pods, "--timeout=90s")

    def untouched(self, *pods: str) -> None:
        """Assert that pods are the very ones that Multus attached, with all that they had."""
        listed = self.listed()
        for name in pods:
            assert listed[name]["metadata"]["uid"] == self.uids[name]
            assert [each["restartCount"] for each in listed[name]["status"]["containerStatuses"]] == [0]
        assert self.shown(*pods) == {name: self.addresses[name] for name in pods}

    def installation(self) -> dict[str, Any]:
        """Return the Installation."""
        return self.cluster.get("installation", "default")

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition of the Installation."""
        listed = (self.installation().get("status") or {}).get("conditions") or []
        return next((each for each in listed if each["type"] == kind), {})

    def multus_pods(self) -> list[str]:
        """Return the nodes on which pods of Multus run."""
        listed = self.cluster.get("pods", "-n", multus.NAMESPACE, "-l", "app=multus")["items"]
        return sorted(each["spec"]["nodeName"] for each in listed)

    @contextlib.contextmanager
    def watched(self) -> Iterator[dict[str, set[str]]]:
        """Look all the time which file a runtime would load; give what it was, by node."""
        seen: dict[str, set[str]] = {node: set() for node in self.nodes}
        ended = threading.Event()

        def look() -> None:
            while not ended.is_set():
                for node in self.nodes:
                    seen[node].add(next(iter(self.confs(node)), ""))
                time.sleep(0.002)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


def _has_network(pod: dict[str, Any]) -> bool:
    """Say whether a pod runs and its network-status has both of its interfaces."""
    text = pod["metadata"].get("annotations", {}).get("k8s.v1.cni.cncf.io/network-status", "[]")
    running = pod["status"].get("phase") == "Running"
    return running and [each["interface"] for each in json.loads(text)] == ["eth0", "net1"]


def patiently(question: Any, *, seconds: float, what: str, world: World) -> None:
    """Wait until it is so; where it does not come, say what the Installation says."""
    try:
        eventually(question, seconds=seconds, what=what)
    except Failed as failed:
        told = world.cluster.run("get", "installation", "default", "-o", "yaml").stdout
        states = world.cluster.run("get", "nodestates", "-o", "yaml").stdout
        raise Failed(f"{failed}\n{told}\n{states[-6000:]}") from failed
