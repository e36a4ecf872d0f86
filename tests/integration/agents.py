"""Fixtures: a node that is a folder, and the agent on it as a process with its own rights at a real API server."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from mooring.node import places, proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbed.controlplane import ControlPlane

SYSTEM = "mooring-system"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
AGENT = "system:serviceaccount:mooring-system:mooring-agent"
PLUGIN = """#!/bin/sh
cat >/dev/null
echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"],"interfaces":[{"name":"lo"}]}'
"""
PRIMARY = {"cniVersion": "1.0.0", "name": "pod-network", "type": "bridge", "ipam": {"type": "host-local"}}
PATHS = {"cniBinDir": "/opt/cni/bin", "cniConfDir": "/etc/cni/net.d", "stateDir": "/var/lib/mooring"}


def eventually(probe: Callable[[], Any], *, seconds: float = 15, what: str | Callable[[], str]) -> Any:
    """Ask until the answer is true; `what` may say at the end what the matter is."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s for {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
    return found


class Line:
    """A TCP connection to the API server that a test can cut: a proxy on a port of its own, in a thread."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("https://").partition(":")
        self._target = (host, int(port))
        self._connections: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self) -> None:
        """End all connections and take no new ones."""
        self._open = False
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._open = True

    def close(self) -> None:
        """End for good."""
        self.cut()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if not self._open:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        self._connections |= {source}
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._connections -= {source}
        source.close()


@dataclasses.dataclass
class Node:
    """A Node, its folders, and the agent on it."""

    plane: ControlPlane
    name: str
    root: Path
    port: int
    kubeconfig: Path
    host_root: Path
    paths: dict[str, str] = dataclasses.field(default_factory=PATHS.copy)
    process: subprocess.Popen[bytes] | None = None

    @property
    def programs(self) -> Path:
        """The folder of the plugin in the agent's image."""
        return self.root / "programs"

    def carry(self, text: str) -> None:
        """Make the image carry a script as the plugin."""
        self.programs.mkdir(exist_ok=True)
        for name in (places.PLUGIN, proof.DELEGATE):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def start(self) -> None:
        arguments = ["agent", "--node", self.name, "--namespace", SYSTEM, "--host-root", str(self.host_root)]
        arguments += ["--programs", str(self.programs), "--health-port", str(self.port)]
        code = "import sys; from mooring.cli.main import main; sys.exit(main())"
        with (self.root / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def unready(self) -> str:
        """Return why it is not ready, "" when it is."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return "" if answer.status == 200 else "?"
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError as error:
            return str(error)

    def ready(self) -> bool:
        return not self.unready()

    def get_ready(self, *, seconds: float = 15) -> None:
        """Wait until the agent is ready; it says why where it is not."""
        eventually(self.ready, seconds=seconds, what=lambda: f"readiness: {self.unready()}")

    def seen(self, path: str) -> Path:
        return self.host_root / path.lstrip("/")

    @property
    def conf(self) -> Path:
        return self.seen(self.paths["cniConfDir"]) / "00-multus.conf"

    def status(self) -> dict[str, Any]:
        """Return the status of the NodeState, with empty lists before there is one."""
        found = json.loads(self.plane.kubectl("get", "nodestate", self.name, "-o", "json"))
        return {"networks": [], "conditions": [], "failedAdds": 0, **found.get("status", {})}

    def revision(self, **plugin: Any) -> str:
        """Make a revision and give it to the node, as the leader of the operator does."""
        document = {
            "version": 1,
            "image": "mooring:1",
            "paths": self.paths,
            "defaultNetwork": "auto",
            "plugin": plugin,
        }
        name = f"mooring-revision-{uuid.uuid4().hex[:10]}"
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": SYSTEM},
            "data": {"revision.json": json.dumps(document)},
        }
        state = {
            "apiVersion": "mooring.dev/v1alpha1",
            "kind": "NodeState",
            "metadata": {"name": self.name},
            "spec": {"revision": name, "drain": False},
        }
        for body in (config_map, state):
            self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        return name

    def pod(self, name: str, **annotations: str) -> str:
        """Make a pod on the node; return its UID."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "annotations": annotations},
            "spec": {"nodeName": self.name, "containers": [{"name": "c", "image": "i"}]},
        }
        created = self.plane.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(body))
        return str(json.loads(created)["metadata"]["uid"])

    def annotations(self, name: str) -> dict[str, str]:
        pod = json.loads(self.plane.kubectl("get", "pod", name, "-o", "json"))
        return dict(pod["metadata"].get("annotations") or {})

    def program(self, name: str, text: str) -> Path:
        """Put a program into the folder of plugins."""
        path = self.seen(self.paths["cniBinDir"]) / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def attach(self, pod: str, uid: str, *networks: str) -> None:
        """Write the journal of a sandbox as the plugin does."""
        folder = self.seen("/var/lib/mooring/attachments")
        name = f"{uuid.uuid4().hex}@eth0.jsonl"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1_000_000:06}Z"
        header = {"type": "header", "version": 1, "time": stamp, "bootID": "x", "containerID": "c", "ifName": "eth0"}
        listed = [{"index": 0, "network": "pod-network", "nad": False, "default": True, "ifName": "eth0"}]
        for index, network in enumerate(networks, start=1):
            listed.append({"index": index, "network": network, "nad": True, "default": False, "ifName": f"net{index}"})
        records: list[dict[str, Any]] = [
            {**header, "pod": {"namespace": "default", "name": pod, "uid": uid}},
            {"type": "intents", "attachments": listed},
        ]
        for each in listed:
            result = {"cniVersion": "1.0.0", "interfaces": [{"name": each["ifName"], "sandbox": "/x"}]}
            records.append({"type": "result", "verb": "ADD", "index": each["index"], "result": result})
        temporary = folder / f".{name}.tmp"
        with temporary.open("xb") as file:
            (folder / name).hardlink_to(temporary)
            temporary.unlink()
            for record in records:
                body = json.dumps(record).encode()
                file.write(b'{"crc":"%08x","record":%b}\n' % (zlib.crc32(body), body))


@pytest.fixture(scope="session")
def agent_kubeconfig(plane: ControlPlane, kinds: None) -> Path:
    """Credentials of the agent's service account, with exactly the rights that the manifests give it."""
    for name in ("namespace", "service-accounts", "agent-rbac"):
        plane.kubectl("apply", "-f", f"manifests/base/{name}.yaml")
    plane.kubectl("apply", "-f", "crds/network-attachment-definitions.yaml")  # the operator's work, in a cluster
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return plane.kubeconfig_for(AGENT, "system:serviceaccounts", "system:authenticated")


def _kubeconfig_of_node(plane: ControlPlane, name: str, uid: str, path: Path) -> Path:
    """Write credentials as an agent has them: the policies go by the node that its token names."""
    _, _, account = AGENT.rpartition(":")
    bound = ["--bound-object-kind=Node", f"--bound-object-name={name}", f"--bound-object-uid={uid}"]
    token = plane.kubectl("create", "token", account, "-n", SYSTEM, *bound).strip()
    document = json.loads(plane.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": token}
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def bare(plane: ControlPlane, agent_kubeconfig: Path, tmp_path: Path) -> Iterator[Node]:
    """A Node with nothing on it."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    uid = json.loads(plane.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(node)))["metadata"]["uid"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kubeconfig = _kubeconfig_of_node(plane, name, uid, tmp_path / "agent.kubeconfig")
    made = Node(plane, name, tmp_path, port, kubeconfig, tmp_path / "host")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop()
    with contextlib.suppress(OSError):
        print((tmp_path / "agent.log").read_text())
    plane.kubectl("delete", "node", name)


@pytest.fixture
def node(bare: Node) -> Node:
    """A node with a primary network and an agent that was just started; no revision yet."""
    for folder in bare.paths.values():
        bare.seen(folder).mkdir(parents=True)
    for name in ("bridge", "host-local"):
        bare.program(name, PLUGIN)
    bare.carry(PLUGIN)
    bare.seen("/etc/cni/net.d/10-pods.conf").write_text(json.dumps(PRIMARY))
    bare.start()
    return bare


@pytest.fixture
def ready(node: Node) -> Node:
    """The node, with a revision applied."""
    node.revision(logLevel="error")
    node.get_ready()
    return node


@pytest.fixture
def line(plane: ControlPlane) -> Iterator[Line]:
    """A connection to the API server that can be cut."""
    made = Line(plane.url)
    yield made
    made.close()
