"""A cluster of very many nodes: owns the objects, and who plays kubelets, agents and the operators' containers.

The API server, etcd, the controller manager and the scheduler are real, and so are the operators: two processes with
the rights of their service account. kwok plays the kubelets; NodeStates are not its trade, so `testbed.fleets` plays
the agents. Refuses to measure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mooring.installing import attachmentslices
from mooring.kube import resources
from mooring.kube.client import Client
from testbed import arguments, binaries, controlplane, failures, fleets, progress
from testbed.kubectl import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from testbed.controlplane import ControlPlane

SYSTEM = "mooring-system"
USER = f"system:serviceaccount:{SYSTEM}:mooring-operator"
NAMESPACES = 20
REPLICAS = ("operator-a", "operator-b")
_DEPLOYMENT = CHECKOUT / "manifests/base/operator.yaml"
_STAGES = Path(__file__).with_name("kwok.yaml")
# Real kubelets renew every ten seconds. That many writes keep two cores busy, the Leases are late, and the nodes away.
_LEASE = 160
_PATIENT = ("--node-monitor-grace-period=200s",)
_SECONDS = 600.0
_AT_ONCE = 32
_PROGRAMS = "bandwidth bridge dhcp dummy firewall host-device host-local ipvlan loopback macvlan portmap ptp sbr static"


class Crowd:
    """Nodes, networks and attachments at one API server, and two operators."""

    def __init__(self, plane: ControlPlane, client: Client, folder: Path, *, nodes: int, networks: int) -> None:
        self.plane = plane
        self.client = client
        self.nodes = [f"node-{number:04}" for number in range(nodes)]
        self.networks = [f"space-{number % NAMESPACES}/network-{number}" for number in range(networks)]
        self._folder = folder
        self._operators: dict[str, subprocess.Popen[bytes]] = {}

    async def make(self) -> None:
        """Make namespaces, networks and nodes, wait until kwok has said that all are Ready, and apply the manifests."""
        for number in range(NAMESPACES):
            await self.client.create(resources.NAMESPACES, {"metadata": {"name": f"space-{number}"}})
        await _all(self._make_network(number, key) for number, key in enumerate(self.networks))
        await _all(self._make_node(name) for name in self.nodes)
        await until(self._nodes_ready, what="Nodes that are Ready")
        # From here on networks would be judged, at a Service that nothing serves here.
        self.plane.kubectl("apply", "-k", str(CHECKOUT / "manifests/default"))
        self.plane.kubectl("scale", "deployment", "mooring-operator", "-n", SYSTEM, "--replicas=0")

    async def attach(self, count: int) -> None:
        """Write the AttachmentSlices of so many attachments, spread over nodes and networks."""
        shares: dict[str, list[int]] = {}
        for number in range(count):
            shares.setdefault(self.nodes[number % len(self.nodes)], []).append(number)
        bodies = []
        nodes = {node["metadata"]["name"]: node for node in (await self.client.list(resources.NODES))["items"]}
        for node, numbers in shares.items():
            for part in range(0, len(numbers), attachmentslices.MOST):
                chosen = numbers[part : part + attachmentslices.MOST]
                bodies.append(self._slice(nodes[node], part // attachmentslices.MOST, chosen))
        await _all(self.client.create(resources.ATTACHMENT_SLICES, body) for body in bodies)

    async def reported(self, count: int) -> None:
        """Wait until so many NetworkReports are there."""

        async def all_there() -> bool:
            return len((await self.client.list(resources.NETWORK_REPORTS))["items"]) >= count

        await until(all_there, what="the NetworkReports", every=1.0)

    async def install(self, spec: dict[str, Any]) -> None:
        """Make the Installation, and wait until all nodes have it."""
        body = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Installation", "metadata": {"name": "default"}}
        made = await self.client.create(resources.INSTALLATIONS, {**body, "spec": spec})
        await self._rolled_out(made["metadata"]["generation"])

    async def change(self, spec: dict[str, Any]) -> None:
        """Change the Installation, and wait until all nodes have the change."""
        made = await self.client.patch(resources.INSTALLATIONS, "default", {"spec": spec})
        await self._rolled_out(made["metadata"]["generation"])

    def start_operators(self) -> None:
        """Start both replicas, with the environment of their Deployment."""
        (container,) = next(yaml.safe_load_all(_DEPLOYMENT.read_text()))["spec"]["template"]["spec"]["containers"]
        declared = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{SYSTEM}")
        kubeconfig = self.plane.kubeconfig_for(USER, *groups)
        for name in REPLICAS:
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": SYSTEM},
                # Nobody is to start it: it tells the operator its image.
                "spec": {
                    "schedulerName": "nobody",
                    "automountServiceAccountToken": False,
                    "containers": [{"name": "operator", "image": "registry.example/mooring:bench"}],
                },
            }
            self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
            words = ["operator", f"--namespace={SYSTEM}", f"--pod-name={name}"]
            words += [f"--webhook-port={_free_port()}", f"--health-port={_free_port()}"]
            with (self._folder / f"{name}.log").open("wb") as log:
                self._operators[name] = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", Path(sys.executable).with_name("mooring"), *words],
                    env={**os.environ, **declared, "KUBECONFIG": str(kubeconfig)},
                    stdout=log,
                    stderr=log,
                )

    async def processes(self) -> dict[str, tuple[int, int]]:
        """Return the processes of leader and standby: the one that holds the socket, and the operator proper."""
        lease = await self.client.get(resources.LEASES, "mooring-operator", namespace=SYSTEM)
        found = {}
        for name, process in self._operators.items():
            if process.poll() is not None:
                raise failures.with_log(f"{name} has ended", self._folder / f"{name}.log")
            child = _child(process.pid)
            found["leader" if lease["spec"]["holderIdentity"] == name else "standby"] = (process.pid, child)
        if found.keys() != {"leader", "standby"}:
            raise failures.Failure("neither replica leads")
        return found

    def stop_operators(self) -> None:
        """End them."""
        for process in self._operators.values():
            process.send_signal(signal.SIGTERM)
        for process in self._operators.values():
            process.wait(30)

    def agents(self) -> fleets.Agents:
        """Return the agents of all nodes: each takes a second for a revision, and tells as much as a real one."""
        return fleets.Agents(self.client, seed=1, delay=(0.5, 1.5), facts=_facts)

    async def _make_network(self, number: int, key: str) -> None:
        namespace, _, name = key.partition("/")
        addresses = {"type": "host-local", "subnet": f"10.{number // 256}.{number % 256}.0/24", "routes": []}
        config = {"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "bridge", "mtu": 1500}
        text = json.dumps({**config, "name": name, "ipam": addresses}, indent=2)
        body = {"metadata": {"name": name}, "spec": {"config": text}}
        kind = {"apiVersion": resources.NADS.api_version, "kind": resources.NADS.kind}
        await self.client.create(resources.NADS, {**kind, **body}, namespace=namespace)

    async def _make_node(self, name: str) -> None:
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name, "type": "kwok"}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        await self.client.create(resources.NODES, body)

    async def _nodes_ready(self) -> bool:
        ready = 0
        for node in (await self.client.list(resources.NODES))["items"]:
            listed = node.get("status", {}).get("conditions") or []
            ready += any(each["type"] == "Ready" and each["status"] == "True" for each in listed)
        return ready == len(self.nodes)

    async def _rolled_out(self, generation: int) -> None:
        async def done() -> bool:
            status = (await self.client.get(resources.INSTALLATIONS, "default")).get("status") or {}
            found = {each["type"]: each["status"] for each in status.get("conditions") or []}
            return (
                status.get("observedGeneration") == generation
                and (status.get("rollout") or {}).get("stage") == "Complete"
                and status["nodes"]["updated"] == len(self.nodes)
                and found["Progressing"] == "False"
            )

        await until(done, what="the end of the roll-out")

    def _slice(self, node: dict[str, Any], number: int, attachments: Iterable[int]) -> dict[str, Any]:
        name, uid = node["metadata"]["name"], node["metadata"]["uid"]
        return {
            "apiVersion": resources.ATTACHMENT_SLICES.api_version,
            "kind": resources.ATTACHMENT_SLICES.kind,
            "metadata": {
                "name": f"{name}-{number}",
                "labels": {attachmentslices.NODE_LABEL: name, "app.kubernetes.io/managed-by": "mooring-agent"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}],
            },
            "nodeName": name,
            "attachments": [self._entry(each) for each in attachments],
        }

    def _entry(self, number: int) -> dict[str, Any]:
        network = number % len(self.networks)
        host = number // len(self.networks) + 2
        key = self.networks[network]
        return {
            "pod": {"namespace": key.partition("/")[0], "name": f"app-{number:05}", "uid": f"uid-{number:032}"},
            "network": key,
            "interface": "net1",
            "addresses": [f"10.{network // 256}.{network % 256}.{host}/24"],
            "mac": f"0a:58:0a:{network // 256:02x}:{network % 256:02x}:{host:02x}",
            "configHash": "0" * 16,
            "attachedAt": "2026-01-01T00:00:00Z",
        }


@contextlib.asynccontextmanager
async def gathered(folder: Path, *, nodes: int, networks: int) -> AsyncIterator[Crowd]:
    """Run a control plane with scheduler and kwok, with Mooring's definitions and no operator yet."""
    kwok = binaries.kwok()
    folder.mkdir()  # noqa: ASYNC240  once, before anything runs
    with (
        controlplane.running(controllers=True, controller_arguments=_PATIENT) as plane,
        contextlib.ExitStack() as stack,
    ):
        _start(
            stack,
            folder,
            "kube-scheduler",
            [plane.programs / "kube-scheduler", *arguments.scheduler(plane.layout), "--secure-port=0"],
        )
        kubelets = ["--manage-all-nodes", f"--node-lease-duration-seconds={_LEASE}", f"--config={_STAGES}"]
        _start(stack, folder, "kwok", [kwok, f"--kubeconfig={plane.kubeconfig}", *kubelets])
        plane.kubectl("apply", "-k", str(CHECKOUT / "crds"))
        plane.kubectl("apply", "-f", str(CHECKOUT / "crds/network-attachment-definitions.yaml"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        os.environ["KUBECONFIG"] = str(plane.kubeconfig)
        async with await Client.load() as client:
            crowd = Crowd(plane, client, folder, nodes=nodes, networks=networks)
            try:
                yield crowd
            finally:
                crowd.stop_operators()


async def until(question: Callable[[], Awaitable[bool]], *, what: str, every: float = 0.2) -> None:
    """Ask until it is so. Raises Failure where it is not within ten minutes."""
    progress.say(f"waiting for {what}")
    try:
        async with asyncio.timeout(_SECONDS):
            while not await question():  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(every)
    except TimeoutError as error:
        raise failures.Failure(f"not within {_SECONDS:.0f} s: {what}") from error


async def _all(work: Iterable[Awaitable[Any]]) -> None:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Awaitable[Any]) -> None:
        async with slots:
            await each

    await asyncio.gather(*(one(each) for each in work))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _child(pid: int) -> int:
    try:
        [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except ValueError as error:
        raise failures.Failure("an operator has no process yet") from error
    return int(child)


def _start(stack: contextlib.ExitStack, folder: Path, name: str, words: list[Any]) -> None:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    stack.callback(process.wait)
    stack.callback(process.kill)


def _facts(node: str) -> dict[str, Any]:
    """Return what an agent tells of a usual node."""
    return {
        "primaryNetwork": {"name": "cbr0", "file": "10-flannel.conflist"},
        "confHash": "sha256:" + "1" * 64,
        "confFile": "00-multus.conf",
        "runtime": {"name": "containerd", "version": "2.4.2", "networks": ["multus-cni-network"]},
        "binaries": [
            {"name": name, "sha256": f"{number:02}" * 32, "version": "v1.9.1", "owner": ""}
            for number, name in enumerate([*_PROGRAMS.split(), "mooring"])
        ],
        "linkTypes": ["bridge", "ipvlan", "macvlan", "veth", "vlan", "vrf", "vxlan"],
        "networks": [
            {"namespace": f"space-{number % NAMESPACES}", "name": f"network-{(hash(node) + number) % 1000}"}
            | {"attachments": 1}
            for number in range(5)
        ],
    }
