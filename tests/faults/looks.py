"""What a node is like, looked at from outside: pods in their own namespaces, addresses, slices, agents."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import time
from typing import TYPE_CHECKING

from testbed import binaries, namespaces, state
from testbed import nodes as testbed_nodes
from testbed.kubectl import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from testbed.kubectl import Cluster

SYSTEM = ("-n", "mooring-system")
#: The addresses of each interface of a pod but `lo`, without prefix lengths; IPv4 only.
Interfaces = dict[str, list[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Agent:
    """What changes when an agent is another process."""

    uid: str
    restarts: int


class Node:
    """One node. What asks the API server says so; all else works without it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self._programs = binaries.ensure()

    def path(self, inside: str) -> Path:
        """Return where a file of the node's own folders is on this machine."""
        found = state.load(self.cluster.name)
        assert found is not None
        folders = testbed_nodes.binds(found.node_folder(self.name))
        folder = next(each for each in folders if inside == each or inside.startswith(f"{each}/"))
        return folders[folder] / inside.removeprefix(folder).strip("/")

    def run(self, *command: str) -> str:
        """Run a command in the node's namespaces. Raises `Failed` with what it said."""
        found = state.load(self.cluster.name)
        assert found is not None
        words = [*namespaces.entering(found.processes[self.name]), *command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"`{' '.join(command)}` on {self.name}: {done.stdout}{done.stderr}")
        return done.stdout

    def ctr(self, *command: str) -> str:
        """Run containerd's own command line."""
        return self.run(str(self._programs / "ctr"), "--namespace=k8s.io", *command)

    def containers(self, namespace: str, pod: str, container: str = "") -> list[str]:
        """Return the ids of the running containers of a pod; without a name those of its sandboxes."""
        labels = {"io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.name": pod}
        if container:
            labels["io.kubernetes.container.name"] = container
        else:
            labels["io.cri-containerd.kind"] = "sandbox"
        wanted = ",".join(f'labels."{key}"=={value}' for key, value in labels.items())
        known = self.ctr("containers", "list", "--quiet", wanted).split()
        running = {line.split()[0] for line in self.ctr("tasks", "list").splitlines() if line.endswith("RUNNING")}
        return [each for each in known if each in running]

    def interfaces(self, namespace: str, pod: str) -> Interfaces:
        """Return what the pod itself sees; nothing where its container does not run."""
        running = self.containers(namespace, pod, "shell")
        if not running:
            return {}
        return parsed(self.ctr("tasks", "exec", "--exec-id", f"look-{pod}", running[0], "ip", "addr"))

    def kill(self, container: str) -> None:
        """End a container's first process at once, as the kernel does when memory is short."""
        self.ctr("tasks", "kill", "--signal", "SIGKILL", container)

    def leases(self, network: str) -> set[str]:
        """Return the addresses that host-local holds for a network."""
        folder = self.path(f"/var/lib/cni/networks/{network}")
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        return {name for name in names if re.fullmatch(r"[0-9.]+", name)}

    def journals(self, namespace: str) -> list[str]:
        """Return the pods of a namespace that have a journal, one for each of their sandboxes."""
        found = []
        for file in self.path("/var/lib/mooring/attachments").glob("*.jsonl"):
            try:
                lines = file.read_text().splitlines()
            except FileNotFoundError:
                continue  # undone meanwhile
            header = json.loads(lines[0])["record"] if lines else {}
            if header.get("pod", {}).get("namespace") == namespace:
                found.append(str(header["pod"]["name"]))
        return sorted(found)

    def cached(self, namespace: str) -> set[str]:
        """Return the networks of a namespace that are in the node's cache."""
        return {file.stem for file in self.path(f"/var/lib/mooring/networks/{namespace}").glob("*.json")}

    def heartbeat_age(self) -> float:
        """Return how many seconds ago the API server was heard; where that is not known, for ever."""
        try:
            beat = json.loads(self.path("/var/lib/mooring/networks/heartbeat").read_text())
        except FileNotFoundError:
            return float("inf")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - float(beat["boottime"])

    def agent(self) -> Agent | None:
        """Ask the API server for the agent of this node; None while there is none that is Ready."""
        selector = "app.kubernetes.io/component=agent"
        field = f"--field-selector=spec.nodeName={self.name}"
        for pod in self.cluster.get("pods", *SYSTEM, "-l", selector, field)["items"]:
            conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
            if "deletionTimestamp" not in pod["metadata"] and conditions.get("Ready") == "True":
                [container] = pod["status"]["containerStatuses"]
                return Agent(pod["metadata"]["uid"], container["restartCount"])
        return None

    def ready(self) -> bool:
        """Ask the API server whether the agent says that all is as it should be."""
        status = self.cluster.get("nodestate", self.name).get("status", {})
        return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))

    def sliced(self, namespace: str) -> dict[str, Interfaces]:
        """Ask the API server for what the AttachmentSlices of this node tell of the pods of a namespace."""
        found: dict[str, Interfaces] = {}
        for item in self.cluster.get("attachmentslices", f"--field-selector=nodeName={self.name}")["items"]:
            for entry in item["attachments"]:
                if entry["pod"]["namespace"] != namespace:
                    continue
                # A pod that stands twice shows both: this is compared with what there is once.
                interfaces = found.setdefault(entry["pod"]["name"], {})
                addresses = [each.partition("/")[0] for each in entry["addresses"]]
                interfaces[entry["interface"]] = interfaces.get(entry["interface"], []) + addresses
        return found

    def statuses(self, namespace: str, pods: Iterable[str]) -> dict[str, Interfaces]:
        """Ask the API server for the network-status of each of these pods."""
        found = {}
        for name in pods:
            written = self.cluster.network_status(name, namespace)
            found[name] = {entry["interface"]: entry.get("ips", []) for entry in written}
        return found


def parsed(shown: str) -> Interfaces:
    """Read what busybox's `ip addr` shows."""
    found: Interfaces = {}
    name = ""
    for line in shown.splitlines():
        if line[:1].isdigit():
            name = line.split(":")[1].strip().partition("@")[0]
            found[name] = []
        elif line.split()[0] == "inet":
            found[name].append(line.split()[1].partition("/")[0])
    found.pop("lo", None)
    return found
