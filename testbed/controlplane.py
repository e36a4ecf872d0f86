"""etcd and kube-apiserver, and the arguments they run with.

Owns the control plane's command lines, for a cluster's first node as for a lone API server on
loopback that tests talk to:

    with testbed.controlplane.running() as plane:
        plane.kubectl("get", "--raw", "/readyz"); plane.kubeconfig; plane.audit_log

RBAC and NodeRestriction are on, every request is in the audit log, webhooks may be on loopback
URLs. Refuses to keep data: a lone API server's folder goes when it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import binaries, commands, failures, pki

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

READY_SECONDS = 60.0
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# One line for each request, at its end: who, what, when, and the answer's status. No bodies: no secrets.
AUDIT_POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where a control plane listens and keeps its files. `address` is an IPv4 address."""

    folder: Path
    address: str
    port: int = 6443
    etcd_port: int = 2379
    etcd_peer_port: int = 2380
    service_network: str = "10.96.0.0/16"
    lone: bool = False

    @property
    def url(self) -> str:
        """The API server's URL."""
        return f"https://{self.address}:{self.port}"

    @property
    def audit_log(self) -> Path:
        """The file with one JSON object for each request (audit.k8s.io/v1, level Metadata)."""
        return self.folder / "audit.jsonl"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (group system:masters)."""
        return self.folder / "kubeconfig"

    @property
    def pki(self) -> Path:
        """The folder of the certificate authority and all it signed."""
        return self.folder / "pki"


@dataclasses.dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running API server on loopback."""

    layout: Layout
    programs: Path

    @property
    def url(self) -> str:
        """The API server's URL."""
        return self.layout.url

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (group system:masters)."""
        return self.layout.kubeconfig

    @property
    def certificate_authority(self) -> Path:
        """The CA's certificate, a PEM file."""
        return self.layout.pki / "ca.crt"

    @property
    def audit_log(self) -> Path:
        """The file with one JSON object for each finished request."""
        return self.layout.audit_log

    def kubeconfig_for(self, user: str, *groups: str) -> Path:
        """Make a kubeconfig for any user, for example `system:serviceaccount:ns:name`."""
        return kubeconfig_for(self.layout, user, groups)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as administrator and return its stdout. Raises Failure with what it said."""
        return kubectl(self.programs, self.kubeconfig, *arguments, stdin=stdin)


def kubectl(programs: Path, kubeconfig: Path, *arguments: str, stdin: str = "") -> str:
    """Run kubectl with a kubeconfig and return its stdout. Raises Failure with what it said."""
    return commands.run([programs / "kubectl", f"--kubeconfig={kubeconfig}", *arguments], stdin=stdin)


def kubeconfig_for(layout: Layout, user: str, groups: Sequence[str]) -> Path:
    """Make (or return) the kubeconfig of a user with a client certificate."""
    name = "user-" + urllib.parse.quote(user, safe="")
    path = layout.pki / f"{name}.kubeconfig"
    if not path.exists():
        authority = pki.load_authority(layout.pki)
        authority.kubeconfig(path, layout.url, authority.sign(name, user=user, groups=groups))
    return path


def prepare(layout: Layout) -> None:
    """Write what the control plane reads: certificates, the audit policy, the administrator's kubeconfig."""
    layout.folder.mkdir(parents=True, exist_ok=True)
    authority = pki.make_authority(layout.pki)
    first_service = layout.service_network.split("/")[0].rsplit(".", 1)[0] + ".1"
    names = [layout.address, "127.0.0.1", first_service, "localhost", "kubernetes.default.svc"]
    authority.sign("apiserver", user="kube-apiserver", addresses=list(dict.fromkeys(names)))
    pki.make_signing_key(layout.pki / "service-accounts.key")
    authority.sign("apiserver-kubelet", user="kube-apiserver-kubelet", groups=["system:masters"])
    admin = authority.sign("admin", user="admin", groups=["system:masters"])
    authority.kubeconfig(layout.kubeconfig, layout.url, admin)
    (layout.folder / "audit-policy.yaml").write_text(AUDIT_POLICY)


def etcd_arguments(layout: Layout) -> list[str]:
    """Return etcd's arguments: plain HTTP on loopback of its network namespace, no fsync (data is throw-away)."""
    client = f"http://127.0.0.1:{layout.etcd_port}"
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return [
        "--name=testbed",
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=testbed={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_arguments(layout: Layout) -> list[str]:
    """Return kube-apiserver's arguments."""
    secrets = layout.pki
    arguments = [
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        # 0.0.0.0 within the node's network namespace, which only the cluster's own link reaches.
        f"--bind-address={'127.0.0.1' if layout.lone else '0.0.0.0'}",  # noqa: S104
        f"--advertise-address={layout.address}",
        f"--secure-port={layout.port}",
        f"--tls-cert-file={secrets / 'apiserver.crt'}",
        f"--tls-private-key-file={secrets / 'apiserver.key'}",
        f"--client-ca-file={secrets / 'ca.crt'}",
        f"--service-account-key-file={secrets / 'service-accounts.key'}",
        f"--service-account-signing-key-file={secrets / 'service-accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={layout.service_network}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-policy-file={layout.folder / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.audit_log}",
        f"--kubelet-client-certificate={secrets / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={secrets / 'apiserver-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-priority-and-fairness=false",
    ]
    if layout.lone:
        # Nobody makes service accounts without a controller manager, and a loopback address is no endpoint.
        arguments += ["--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"]
    return arguments


def fetch(layout: Layout, path: str) -> tuple[int, bytes]:
    """GET a path from the API server as administrator; return status and body, (0, b"") where nobody answers."""
    context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    context.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
    connection = http.client.HTTPSConnection(layout.address, layout.port, timeout=5, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def ready(layout: Layout) -> bool:
    """Ask the API server whether it is ready, as administrator."""
    return fetch(layout, "/readyz")[0] == 200


def wait_ready(layout: Layout, ended: Callable[[], Path | None]) -> None:
    """Wait until the API server is ready.

    `ended` returns the log of a part that has ended, None while all run. Raises Failure with the
    end of the log of the part at fault.
    """
    deadline = time.monotonic() + READY_SECONDS
    while not ready(layout):
        log = ended()
        if log is not None:
            raise failures.with_log(f"{log.stem} ended before the API server was ready", log)
        if time.monotonic() > deadline:
            raise failures.with_log(
                f"kube-apiserver is not ready at {layout.url} after {READY_SECONDS:.0f} s",
                layout.folder / "kube-apiserver.log",
            )
        time.sleep(0.1)


@contextlib.contextmanager
def running(*, controllers: bool = False, extra_arguments: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """Run etcd and kube-apiserver on free loopback ports until the block ends.

    With `controllers` also kube-controller-manager (namespaces get deleted, owners collect their
    garbage, service accounts appear). `extra_arguments` go to kube-apiserver. The processes die
    with the *thread* that entered the block, whatever happens to it. Takes about five seconds.
    Raises Failure where a part does not come up, with its log.
    """
    programs = binaries.kubernetes()
    folder = Path(tempfile.mkdtemp(prefix="mooring-controlplane-"))
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        port, etcd_port, etcd_peer_port = _free_ports(3)
        layout = Layout(folder, "127.0.0.1", port, etcd_port, etcd_peer_port, lone=True)
        prepare(layout)
        started["etcd"] = _start(layout, programs, "etcd", etcd_arguments(layout))
        started["kube-apiserver"] = _start(
            layout, programs, "kube-apiserver", [*apiserver_arguments(layout), *extra_arguments]
        )
        if controllers:
            arguments = controller_manager_arguments(layout, pod_network="10.244.0.0/16", port=_free_ports(1)[0])
            started["kube-controller-manager"] = _start(layout, programs, "kube-controller-manager", arguments)
        wait_ready(
            layout,
            lambda: next((folder / f"{name}.log" for name, part in started.items() if part.poll() is not None), None),
        )
        yield ControlPlane(layout, programs)
    finally:
        for process in reversed(started.values()):
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def controller_manager_arguments(layout: Layout, *, pod_network: str, port: int = 10257) -> list[str]:
    """Return kube-controller-manager's arguments. Pod networks of nodes are given by whoever makes the nodes."""
    return [
        f"--kubeconfig={layout.kubeconfig}",
        f"--authentication-kubeconfig={layout.kubeconfig}",
        f"--authorization-kubeconfig={layout.kubeconfig}",
        f"--service-account-private-key-file={layout.pki / 'service-accounts.key'}",
        f"--root-ca-file={layout.pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={layout.pki / 'ca.crt'}",
        f"--cluster-signing-key-file={layout.pki / 'ca.key'}",
        "--use-service-account-credentials=true",
        f"--cluster-cidr={pod_network}",
        "--allocate-node-cidrs=false",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    ]


def scheduler_arguments(layout: Layout) -> list[str]:
    """Return kube-scheduler's arguments."""
    return [
        f"--kubeconfig={layout.kubeconfig}",
        f"--authentication-kubeconfig={layout.kubeconfig}",
        f"--authorization-kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def _start(layout: Layout, programs: Path, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    with (layout.folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", programs / name, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=layout.folder,
        )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [int(opened.getsockname()[1]) for opened in sockets]
