"""etcd and kube-apiserver: where they keep what, and running them alone.

Owns the control plane's files, for a cluster's first node as for a lone API server on loopback
that tests talk to:

    with testbed.controlplane.running() as plane:
        plane.kubectl("get", "--raw", "/readyz"); plane.kubeconfig; plane.audit_log

RBAC and NodeRestriction are on, every request is in the audit log, webhooks may be on loopback
URLs. Refuses to keep data: a lone API server's folder goes when it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.client
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from testbed import arguments, binaries, commands, failures, pki

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

READY_SECONDS = 60.0
_ATTEMPTS = 3
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
    parts: dict[str, subprocess.Popen[bytes]]
    extra_arguments: Sequence[str] = ()
    unready: list[tuple[datetime.datetime, datetime.datetime]] = dataclasses.field(default_factory=list)

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

    def rotate_authority(self) -> Path:
        """Start the API server anew with a certificate of a new CA; return the new CA's certificate, a PEM file.

        Only that one verifies the server from now on. Certificates of users stay valid, and `kubectl` goes on.
        """
        layout = self.layout
        authority = pki.make_authority(layout.pki / "rotated")
        new = authority.sign("apiserver", user="kube-apiserver", addresses=server_names(layout))
        shutil.copy(new.certificate, layout.pki / "apiserver.crt")
        shutil.copy(new.key, layout.pki / "apiserver.key")
        # The old one first: it goes on signing users.
        both = self.certificate_authority.read_bytes() + authority.pair.certificate.read_bytes()
        self.certificate_authority.write_bytes(both)
        admin = pki.KeyPair(layout.pki / "admin.crt", layout.pki / "admin.key")
        pki.load_authority(layout.pki).kubeconfig(layout.kubeconfig, layout.url, admin)
        self.parts["kube-apiserver"].kill()
        self.parts["kube-apiserver"].wait()
        _start_apiserver(layout, self.programs, self.parts, self.extra_arguments)
        return authority.pair.certificate

    @contextlib.contextmanager
    def apiserver_away(self) -> Iterator[None]:
        """Kill the API server for the length of the block; afterwards it is ready again, and `unready` has the time."""
        began = datetime.datetime.now(datetime.UTC)
        self.parts["kube-apiserver"].kill()
        self.parts["kube-apiserver"].wait()
        try:
            yield
        finally:
            # It gives up where it loses the API server while it begins; a kubelet would start it again.
            manager = self.parts.pop("kube-controller-manager", None)
            _start_apiserver(self.layout, self.programs, self.parts, self.extra_arguments)
            if manager is not None:
                if manager.poll() is not None:
                    manager = _start_again(self.layout, manager)
                self.parts["kube-controller-manager"] = manager
            self.unready.append((began, datetime.datetime.now(datetime.UTC)))

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
    authority.sign("apiserver", user="kube-apiserver", addresses=server_names(layout))
    pki.make_signing_key(layout.pki / "service-accounts.key")
    authority.sign("apiserver-kubelet", user="kube-apiserver-kubelet", groups=["system:masters"])
    admin = authority.sign("admin", user="admin", groups=["system:masters"])
    authority.kubeconfig(layout.kubeconfig, layout.url, admin)
    (layout.folder / "audit-policy.yaml").write_text(AUDIT_POLICY)


def server_names(layout: Layout) -> list[str]:
    """Return the addresses and names that the API server's certificate is for."""
    first_service = layout.service_network.split("/")[0].rsplit(".", 1)[0] + ".1"
    names = [layout.address, "127.0.0.1", first_service, "localhost", "kubernetes.default.svc"]
    return list(dict.fromkeys(names))


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
def running(
    *, controllers: bool = False, extra_arguments: Sequence[str] = (), controller_arguments: Sequence[str] = ()
) -> Iterator[ControlPlane]:
    """Run etcd and kube-apiserver on free loopback ports until the block ends.

    With `controllers` also kube-controller-manager (namespaces get deleted, owners collect their
    garbage, service accounts appear). `extra_arguments` go to kube-apiserver, `controller_arguments`
    to kube-controller-manager. The processes die with the *thread* that entered the block, whatever
    happens to it. Takes about three seconds.
    Raises Failure where a part does not come up, with its log.
    """
    programs = binaries.kubernetes()
    for attempt in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix="mooring-controlplane-"))
        started: dict[str, subprocess.Popen[bytes]] = {}
        try:
            try:
                layout = _launch(folder, programs, started, extra_arguments)
                if controllers:
                    _start_controllers(layout, programs, started, controller_arguments)
            except failures.Failure as failure:
                # Somebody took a port between our finding it free and our using it.
                if "address already in use" in str(failure) and attempt < _ATTEMPTS - 1:
                    continue
                raise
            yield ControlPlane(layout, programs, started, extra_arguments)
            return
        finally:
            for process in reversed(started.values()):
                process.kill()
                process.wait()
            shutil.rmtree(folder)


def _launch(
    folder: Path, programs: Path, started: dict[str, subprocess.Popen[bytes]], extra_arguments: Sequence[str]
) -> Layout:
    port, etcd_port, etcd_peer_port = _free_ports(3)
    layout = Layout(folder, "127.0.0.1", port, etcd_port, etcd_peer_port, lone=True)
    prepare(layout)
    started["etcd"] = _start(layout, programs, "etcd", arguments.etcd(layout))
    _start_apiserver(layout, programs, started, extra_arguments)
    return layout


def _start_controllers(
    layout: Layout, programs: Path, started: dict[str, subprocess.Popen[bytes]], extra_arguments: Sequence[str]
) -> None:
    # Not before the API server is ready: it asks that once, and ends where nobody answers.
    [port] = _free_ports(1)
    words = [*arguments.controller_manager(layout, pod_network="10.244.0.0/16", port=port), *extra_arguments]
    started["kube-controller-manager"] = _start(layout, programs, "kube-controller-manager", words)


def _start_apiserver(
    layout: Layout, programs: Path, started: dict[str, subprocess.Popen[bytes]], extra_arguments: Sequence[str]
) -> None:
    started["kube-apiserver"] = _start(
        layout, programs, "kube-apiserver", [*arguments.apiserver(layout), *extra_arguments]
    )
    logs = {name: layout.folder / f"{name}.log" for name in started}
    wait_ready(layout, lambda: next((logs[name] for name, part in started.items() if part.poll() is not None), None))


def _start(layout: Layout, programs: Path, name: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    return _run(layout, ["setpriv", "--pdeathsig", "KILL", "--", str(programs / name), *words], name)


def _start_again(layout: Layout, manager: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    return _run(layout, cast("list[str]", manager.args), "kube-controller-manager")


def _run(layout: Layout, command: list[str], name: str) -> subprocess.Popen[bytes]:
    with (layout.folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=layout.folder)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [int(opened.getsockname()[1]) for opened in sockets]
