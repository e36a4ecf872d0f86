"""One node that is a folder, and the agent on it as a process, with its own rights at a real API server.

Owns the objects and files that stand for a node. Refuses to measure. What a container runtime would say is printed by
a script; pods are objects and journals, because no process of theirs concerns the agent.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zlib
from typing import TYPE_CHECKING, Any

from mooring.installing import daemonsets
from mooring.node import places, proof
from testbed import failures, progress
from testbed.kubectl import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.controlplane import ControlPlane

SYSTEM = "mooring-system"
USER = f"system:serviceaccount:{SYSTEM}:mooring-agent"
NAMESPACE = "default"
STATUS = "k8s.v1.cni.cncf.io/network-status"
_NAME = "bench-node"
_PATHS = {"cniBinDir": "/opt/cni/bin", "cniConfDir": "/etc/cni/net.d", "stateDir": "/var/lib/mooring"}
_PLUGIN = """#!/bin/sh
cat >/dev/null
echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"],"interfaces":[{"name":"lo"}]}'
"""
_CRI = """#!/bin/sh
if [ "$2" = sandboxes ]; then cat {examples}/sandboxes.json; else cat {examples}/status-containerd-ours.json; fi
"""
_READY_SECONDS = 60.0


class AgentNode:
    """A Node, its folders, and its agent. A context manager: the agent ends with it."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        self._folder = folder
        self._host = folder / "host"
        self._process: subprocess.Popen[bytes] | None = None
        self._runtime = socket.socket(socket.AF_UNIX)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = int(free.getsockname()[1])

    @property
    def pid(self) -> int:
        """The agent's process."""
        if self._process is None or self._process.poll() is not None:
            raise failures.Failure(f"the agent has ended: {(self._folder / 'agent.log').read_text()[-2000:]}")
        return self._process.pid

    def __enter__(self) -> AgentNode:
        for name in ("namespace", "service-accounts", "agent-rbac"):
            self._plane.kubectl("apply", "-f", str(CHECKOUT / f"manifests/base/{name}.yaml"))
        self._plane.kubectl("apply", "-k", str(CHECKOUT / "crds"))
        self._plane.kubectl("apply", "-f", str(CHECKOUT / "crds/network-attachment-definitions.yaml"))
        self._plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": _NAME}}
        uid = json.loads(self._create(node))["metadata"]["uid"]
        self._write_credentials(uid)
        self._make_folders()
        self._give_revision()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._runtime.close()

    def start(self) -> None:
        """Start the agent and wait until its node is Ready."""
        words = ["agent", "--node", _NAME, "--namespace", SYSTEM, "--host-root", str(self._host)]
        words += ["--programs", str(self._folder / "programs"), "--health-port", str(self._port)]
        code = "import sys; from mooring.cli.main import main; sys.exit(main())"
        with (self._folder / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *words],
                env={**os.environ, **daemonsets.MEMORY, "KUBECONFIG": str(self._folder / "agent.kubeconfig")},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        self._until_ready()

    def stop(self) -> None:
        """End the agent."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def networks(self, first: int, last: int) -> None:
        """Make the NADs of these numbers, and wait until the agent has them in its cache."""
        self._create({"apiVersion": "v1", "kind": "List", "items": [_nad(n) for n in range(first, last + 1)]})
        cache = self._host / "var/lib/mooring/networks" / NAMESPACE
        progress.waiting("the cache", lambda: len(list(cache.glob("*.json"))) >= last, every=0.2)

    def pods_come_and_go(self, count: int) -> None:
        """Make pods with one further network each, wait for all their statuses, and let all go."""
        items = [_pod(number) for number in range(count)]
        self._create({"apiVersion": "v1", "kind": "List", "items": items})
        journals = [self._attach(each["metadata"]["name"], each["metadata"]["uid"]) for each in self._pods()]
        progress.waiting("the statuses", lambda: self._with_status() == count, every=0.5)
        for journal in journals:
            journal.unlink()
        self._plane.kubectl("delete", "pods", "--all", "--namespace", NAMESPACE, "--grace-period=0", "--force")

    def audited(self) -> list[str]:
        """Return the lines of the API server's audit log so far."""
        return self._plane.audit_log.read_text().splitlines()

    def _with_status(self) -> int:
        return sum(STATUS in (each["metadata"].get("annotations") or {}) for each in self._pods())

    def _pods(self) -> list[dict[str, Any]]:
        listed = json.loads(self._plane.kubectl("get", "pods", "--namespace", NAMESPACE, "--output=json"))
        found: list[dict[str, Any]] = listed["items"]
        return found

    def _attach(self, pod: str, uid: str) -> Path:
        """Write the journal of a sandbox, as the plugin does."""
        container = uuid.uuid4().hex
        folder = self._host / "var/lib/mooring/attachments"
        path = folder / f"{container}@eth0.jsonl"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1_000_000:06}Z"
        header = {"type": "header", "version": 1, "time": stamp, "bootID": "x", "containerID": container}
        header |= {"ifName": "eth0", "pod": {"namespace": NAMESPACE, "name": pod, "uid": uid}}
        listed: list[dict[str, Any]] = [
            {"index": 0, "network": "pod-network", "nad": False, "default": True, "ifName": "eth0"},
            {"index": 1, "network": f"{NAMESPACE}/network-1", "nad": True, "default": False, "ifName": "net1"},
        ]
        records: list[dict[str, Any]] = [header, {"type": "intents", "attachments": listed}]
        for each in listed:
            interface = {"name": each["ifName"], "sandbox": "/run/netns/x", "mac": "0a:58:0a:01:01:02"}
            address = {"address": f"10.1.{each['index']}.2/24", "interface": 0}
            result = {"cniVersion": "1.0.0", "interfaces": [interface], "ips": [address]}
            records.append({"type": "result", "verb": "ADD", "index": each["index"], "time": stamp, "result": result})
        with path.open("xb") as file:
            for record in records:
                body = json.dumps(record).encode()
                file.write(b'{"crc":"%08x","record":%b}\n' % (zlib.crc32(body), body))
        return path

    def _create(self, body: dict[str, Any]) -> str:
        return self._plane.kubectl("create", "--output=json", "-f", "-", stdin=json.dumps(body))

    def _write_credentials(self, uid: str) -> None:
        bound = ["--bound-object-kind=Node", f"--bound-object-name={_NAME}", f"--bound-object-uid={uid}"]
        token = self._plane.kubectl("create", "token", "mooring-agent", "-n", SYSTEM, *bound).strip()
        document = json.loads(self._plane.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": token}
        (self._folder / "agent.kubeconfig").write_text(json.dumps(document))

    def _make_folders(self) -> None:
        shutil.rmtree(self._host, ignore_errors=True)
        for folder in (*_PATHS.values(), "/run/containerd"):
            (self._host / folder.lstrip("/")).mkdir(parents=True)
        (self._folder / "programs").mkdir(exist_ok=True)
        scripts = {self._folder / "programs" / name: _PLUGIN for name in (places.PLUGIN, proof.DELEGATE)}
        scripts |= {self._host / "opt/cni/bin" / name: _PLUGIN for name in ("bridge", "host-local")}
        scripts[self._folder / "programs/mooring-cri"] = _CRI.format(examples=CHECKOUT / "cri/contract/examples")
        for path, text in scripts.items():
            path.write_text(text)
            path.chmod(0o755)
        primary = {"cniVersion": "1.0.0", "name": "pod-network", "type": "bridge", "ipam": {"type": "host-local"}}
        (self._host / "etc/cni/net.d/10-pods.conf").write_text(json.dumps(primary))
        self._runtime.bind(str(self._host / "run/containerd/containerd.sock"))
        self._runtime.listen()

    def _give_revision(self) -> None:
        document = {"version": 1, "image": "mooring:1", "paths": _PATHS, "defaultNetwork": "auto", "plugin": {}}
        name = "mooring-revision-0123456789"
        meta = {"name": name, "namespace": SYSTEM}
        self._create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": meta,
                "data": {"revision.json": json.dumps(document)},
            }
        )
        state = {"apiVersion": "mooring.dev/v1alpha1", "kind": "NodeState", "metadata": {"name": _NAME}}
        self._create({**state, "spec": {"revision": name, "drain": False}})

    def _until_ready(self) -> None:
        until = time.monotonic() + _READY_SECONDS
        said = ""
        while time.monotonic() < until:
            self.pid  # noqa: B018  raises where it has ended
            with contextlib.suppress(OSError):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5):
                        return
                except urllib.error.HTTPError as error:
                    with error:
                        said = error.read().decode()
            time.sleep(0.2)
        raise failures.Failure(f"the agent did not become ready: {said}")


def _nad(number: int) -> dict[str, Any]:
    addresses = {"type": "host-local", "subnet": f"10.{number // 256}.{number % 256}.0/24", "routes": []}
    config = {"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "bridge", "mtu": 1500}
    metadata = {"name": f"network-{number}", "namespace": NAMESPACE}
    text = json.dumps({**config, "name": f"network-{number}", "ipam": addresses}, indent=2)
    kind = "NetworkAttachmentDefinition"
    return {"apiVersion": "k8s.cni.cncf.io/v1", "kind": kind, "metadata": metadata, "spec": {"config": text}}


def _pod(number: int) -> dict[str, Any]:
    annotations = {"k8s.v1.cni.cncf.io/networks": "network-1"}
    metadata = {"name": f"pod-{uuid.uuid4().hex[:8]}-{number}", "namespace": NAMESPACE, "annotations": annotations}
    spec = {"nodeName": _NAME, "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
