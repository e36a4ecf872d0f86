"""A real API server as the plugin of a node reaches it.

Owns what tests put there and what they see of the plugin's requests. The plugin has the rights that the manifests
grant it, no more. Refuses to stand in for the server: what it answers is its own.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import dataclasses
import http.server
import json
import socket
import subprocess
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from testbed import controlplane

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
USER = "system:serviceaccount:mooring-system:mooring-plugin"
# The same with one right more, for nodes whose pods' status the plugin writes itself.
DIRECT = "system:serviceaccount:mooring-system:mooring-plugin-and-status"
NOBODY = "system:serviceaccount:mooring-system:without-rights"
GROUPS = ("system:serviceaccounts", "system:authenticated")
RIGHTS = ROOT / "manifests" / "base" / "agent-rbac.yaml"
DEFINITIONS = ROOT / "crds" / "network-attachment-definitions.yaml"
_CLONE_NEWNET = 0x40000000
Json = dict[str, Any]


def prepare(plane: controlplane.ControlPlane) -> None:
    """Bring in the definition of networks and the rights of the plugin."""
    rights = [
        rule
        for rule in yaml.safe_load_all(RIGHTS.read_text())
        if rule["metadata"]["name"] == "mooring-plugin" and rule["kind"].startswith("ClusterRole")
    ]
    assert len(rights) == 2, "a role and its binding"
    for right in rights:
        plane.kubectl("create", "-f", "-", stdin=json.dumps(right))
    plane.kubectl("create", "clusterrole", "status", "--verb=patch", "--resource=pods/status")
    for role in ("mooring-plugin", "status"):
        plane.kubectl("create", "clusterrolebinding", f"direct-{role}", f"--clusterrole={role}", f"--user={DIRECT}")
    plane.kubectl("create", "-f", str(DEFINITIONS))
    name = "customresourcedefinition/network-attachment-definitions.k8s.cni.cncf.io"
    plane.kubectl("wait", "--for=condition=Established", name, "--timeout=30s")


class Server:
    """One test's namespace on the API server."""

    def __init__(self, plane: controlplane.ControlPlane) -> None:
        self.plane = plane
        self.namespace = f"test-{uuid.uuid4().hex[:8]}"
        self.kubeconfig = str(plane.kubeconfig_for(USER, *GROUPS))
        self.direct = str(plane.kubeconfig_for(DIRECT, *GROUPS))
        self.kubeconfig_without_rights = str(plane.kubeconfig_for(NOBODY, *GROUPS))
        self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def make(self, thing: Json) -> Json:
        """Create an object and return it as the server has it."""
        made: Json = json.loads(self.plane.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(thing)))
        return made

    def pod(
        self,
        name: str = "web",
        annotations: Mapping[str, str] | None = None,
        *,
        claims: Sequence[str] = (),
        templates: Mapping[str, str] | None = None,
        resources: Mapping[str, str] | None = None,
    ) -> str:
        """Create a pod with these resource claims, claims of these templates and resources; return its UID."""
        metadata = {"name": name, "namespace": self.namespace, "annotations": dict(annotations or {})}
        container: Json = {"name": "c", "image": "registry.example/none"}
        if resources:
            container["resources"] = {"requests": dict(resources), "limits": dict(resources)}
        spec: Json = {"containers": [container], "nodeName": "somewhere"}
        named = [{"name": claim, "resourceClaimName": claim} for claim in claims]
        named += [{"name": name, "resourceClaimTemplateName": template} for name, template in (templates or {}).items()]
        if named:
            spec["resourceClaims"] = named
        made = self.make({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        uid: str = made["metadata"]["uid"]
        return uid

    def patch_status(self, kind: str, name: str, status: Json) -> None:
        """Change the status of an object as its controller does."""
        patch = json.dumps({"status": status})
        options = ["--subresource=status", "--type=merge", "-p", patch]
        self.plane.kubectl("patch", kind, name, "-n", self.namespace, *options)

    def annotations(self, name: str = "web") -> dict[str, str]:
        """The annotations of a pod."""
        pod: Json = json.loads(self.plane.kubectl("get", "pod", name, "-n", self.namespace, "-o", "json"))
        return dict(pod["metadata"].get("annotations") or {})

    def network(self, name: str, config: Json, *, resource: str = "") -> None:
        """Create a NetworkAttachmentDefinition, for devices of a resource where one is named."""
        annotations = {"k8s.v1.cni.cncf.io/resourceName": resource} if resource else {}
        self.make(
            {
                "apiVersion": "k8s.cni.cncf.io/v1",
                "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": name, "namespace": self.namespace, "annotations": annotations},
                "spec": {"config": json.dumps(config)},
            }
        )

    def events(self) -> list[Json]:
        """The events of this namespace."""
        found: Json = json.loads(self.plane.kubectl("get", "events", "-n", self.namespace, "-o", "json"))
        items: list[Json] = found["items"]
        return items

    def requests(self) -> list[tuple[str, str]]:
        """What the plugin asked for in this namespace: verb and path, in order.

        A request of the test's own marks the end: the audit log holds what was answered before it.
        """
        marker = f"/version?{uuid.uuid4().hex}"
        status, _ = controlplane.fetch(self.plane.layout, marker)
        assert status == 200
        lines: list[str] = []
        while not any(marker in line for line in lines):
            lines = self.plane.audit_log.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [
            (entry["verb"], entry["requestURI"])
            for entry in entries
            if entry["user"]["username"] == USER and f"/namespaces/{self.namespace}/" in entry["requestURI"]
        ]


class Reach:
    """The API server's address on loopback, made to answer in a network namespace too.

    A socket belongs to the namespace of the thread that made it: this one listens there and hands every connection
    on from here.
    """

    def __init__(self, plane: controlplane.ControlPlane, netns: str) -> None:
        self.target = (plane.layout.address, plane.layout.port)
        subprocess.run(["nsenter", f"--net={netns}", "ip", "link", "set", "lo", "up"], check=True)
        with concurrent.futures.ThreadPoolExecutor(1) as inside:
            self.listener = inside.submit(self._listen, netns).result()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _listen(self, netns: str) -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(netns).open() as handle:
            if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns", netns)
        return socket.create_server(self.target)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with source, contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@dataclasses.dataclass(frozen=True, slots=True)
class Absent:
    """A kubeconfig whose server is not there, and how often somebody knocked."""

    kubeconfig: str
    listener: socket.socket

    def knocks(self) -> int:
        """The number of connections that were opened."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
                count += 1
        return count


@contextlib.contextmanager
def absent(folder: Path) -> Iterator[Absent]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        listener.setblocking(False)
        path = folder / "absent.kubeconfig"
        path.write_text(json.dumps(_kubeconfig(f"http://127.0.0.1:{listener.getsockname()[1]}")))
        yield Absent(str(path), listener)


@contextlib.contextmanager
def answering(folder: Path, answers: Mapping[str, tuple[int, bytes]]) -> Iterator[str]:
    """The kubeconfig of a server, or of a proxy before one, that gives a namespace's requests this status and body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path.split("/namespaces/")[1].split("/")[0]]
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        path = folder / "answering.kubeconfig"
        path.write_text(json.dumps(_kubeconfig(f"http://127.0.0.1:{server.server_address[1]}")))
        yield str(path)
        server.shutdown()
        thread.join()


def _kubeconfig(url: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "none"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
