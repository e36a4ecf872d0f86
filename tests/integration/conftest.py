"""A real API server, with the controller manager, for all integration tests; and an operator process."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mooring.kube.client import Client
from testbed import controlplane, failures
from tests import rights
from tests.integration.agents import agent_kubeconfig, bare, line, node, ready  # noqa: F401  fixtures
from tests.integration.installing import installation, nodes, watching  # noqa: F401  fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from testbed.controlplane import ControlPlane

SYSTEM = "mooring-system"
IMAGE = "registry.example/mooring:tested"
POD = "mooring-operator-under-test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of an installed Mooring come last: its webhook and policies stay, and hold all that come after."""
    ours = [number for number, item in enumerate(items) if item.path.is_relative_to(Path(__file__).parent)]
    ordered = sorted((items[number] for number in ours), key=_is_installed)
    for number, item in zip(ours, ordered, strict=True):
        items[number] = item


def _is_installed(item: pytest.Item) -> bool:
    return not {"installed", "place"}.isdisjoint(_fixtures(item))


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """etcd, API server and controller manager on loopback; KUBECONFIG names its administrator."""
    with controlplane.running(controllers=True) as running, rights.kept("integration", running.audit_log):
        os.environ["KUBECONFIG"] = str(running.kubeconfig)
        yield running
        del os.environ["KUBECONFIG"]


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[Client]:
    """A client with all rights."""
    async with await Client.load() as loaded:
        yield loaded


@pytest.fixture(scope="session")
def kinds(plane: ControlPlane) -> None:
    """Our own kinds are known to the API server."""
    plane.kubectl("apply", "-k", "crds")
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")

    def served() -> bool:
        # A new kind answers watches with 429 for a moment.
        try:
            for kind in ("installations", "nodestates", "attachmentslices", "networkreports"):
                plane.kubectl("get", "--raw", f"/apis/mooring.dev/v1alpha1/{kind}?watch=true&timeoutSeconds=1")
        except failures.Failure:
            return False
        return True

    wait(served, what=lambda: "watches on our kinds")


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    plane.kubectl("create", "namespace", name)
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


async def eventually(question: Callable[[], object], *, what: str) -> None:
    """Return once the answer is true; fail where it is not within half a minute."""
    deadline = asyncio.get_running_loop().time() + 30
    while not question():
        assert asyncio.get_running_loop().time() < deadline, f"not seen: {what}"
        await asyncio.sleep(0.02)


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorProcess:
    """A running operator: its process, its two ports, and its log."""

    process: subprocess.Popen[bytes]
    webhook_port: int
    health_port: int
    log: Path

    def readiness(self) -> tuple[int, str]:
        """Return status and text of /readyz; (0, "") where nothing listens yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def signal_operator(self, number: signal.Signals) -> None:
        """Send a signal to the operator proper, and not to the process that holds its socket."""
        for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            os.kill(int(child), number)

    def end(self) -> int:
        """Ask it to end and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A cluster with the manifests applied; the API server asks for the webhook on this port of loopback."""

    plane: ControlPlane
    webhook_port: int

    def apply_webhook(self) -> None:
        """Apply the webhook configuration of the manifests, but with the port of loopback in place of the Service."""
        (body,) = yaml.safe_load_all(Path("manifests/base/webhook.yaml").read_text())
        url = f"https://localhost:{self.webhook_port}/validate/networkattachmentdefinitions"
        body["webhooks"][0]["clientConfig"] = {"url": url}
        # What somebody added goes, too: applying keeps fields that others own.
        body["webhooks"][0] |= {"namespaceSelector": {}, "objectSelector": {}}
        self.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(body))

    def start_operator(
        self,
        folder: Path,
        *,
        pod: str = POD,
        webhook_port: int = 0,
        kubeconfig: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> OperatorProcess:
        """Start an operator with exactly the rights of its service account, in the name of a pod."""
        webhook_port = webhook_port or self.webhook_port
        user = f"system:serviceaccount:{SYSTEM}:mooring-operator"
        kubeconfig = kubeconfig or self.plane.kubeconfig_for(
            user, "system:serviceaccounts", f"system:serviceaccounts:{SYSTEM}"
        )
        health_port = free_port()
        log = folder / "operator.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    Path(sys.executable).with_name("mooring"),
                    "operator",
                    f"--namespace={SYSTEM}",
                    f"--pod-name={pod}",
                    f"--webhook-port={webhook_port}",
                    f"--health-port={health_port}",
                    *arguments,
                ],
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
                stdout=stream,
                stderr=stream,
            )
        return OperatorProcess(process, webhook_port, health_port, log)


@pytest.fixture(scope="session")
def installed(plane: ControlPlane, kinds: None) -> Iterator[Installed]:
    """The manifests as the README says, but for the webhook: the API server reaches it by a URL on loopback.

    At the end the audit log must show that no right was missing to anything that operator, agent and plugin did.
    """
    plane.kubectl("apply", "-k", "manifests/default")
    made = Installed(plane, free_port())
    plane.kubectl("delete", "validatingwebhookconfiguration", "mooring")
    made.apply_webhook()
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(_certificate_for_loopback()))
    make_pod(plane, POD, IMAGE)
    yield made
    assert denied(plane) == []


def denied(plane: ControlPlane) -> list[str]:
    """Return what RBAC denied to the service accounts of Mooring, each request once."""
    prefix, found = f"system:serviceaccount:{SYSTEM}:", set()
    for entry in map(json.loads, plane.audit_log.read_text().splitlines()):
        name = entry["user"].get("username", "")
        if (
            name.startswith(prefix)
            and ready_at(plane, entry)
            and entry.get("annotations", {}).get("authorization.k8s.io/decision") != "allow"
        ):
            about = entry.get("objectRef", {})
            resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
            if (name.removeprefix(prefix), entry["verb"], resource) not in rights.ASKED_IN_VAIN:
                found.add(f"{name.removeprefix(prefix)}: {entry['verb']} {entry['requestURI']}")
    return sorted(found)


def ready_at(plane: ControlPlane, entry: dict[str, Any]) -> bool:
    """Say whether the API server was ready when a request of the audit log came: before, it knows no roles yet."""
    came = datetime.datetime.fromisoformat(entry["requestReceivedTimestamp"])
    return not any(began <= came <= ended for began, ended in plane.unready)


def make_pod(plane: ControlPlane, name: str, image: str) -> None:
    """Make the pod that tells an operator its image; nothing runs pods here, the operator is a process."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "operator", "image": image}],
        },
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


@pytest.fixture(scope="session")
def operator(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator that is ready; at the end it must end well, and without a trace in its log."""
    running = installed.start_operator(tmp_path_factory.mktemp("operator"))
    try:
        wait(lambda: running.readiness()[0] == 200, what=lambda: f"readiness; its log: {running.log.read_text()}")
        yield running
        assert running.end() == 0
    finally:
        running.process.kill()
        running.process.wait()
    assert "Traceback" not in running.log.read_text()


def wait(question: Callable[[], object], *, what: Callable[[], str], seconds: float = 30) -> None:
    """Ask until the answer is true; fail where it is not in time."""
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _certificate_for_loopback() -> dict[str, Any]:
    """Return a Secret as the operator would make it, valid for localhost as well."""
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "integration")])

    def sign(name: str, public: ec.EllipticCurvePublicKey, *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
        builder = x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(minutes=1),
            not_valid_after=now + datetime.timedelta(days=1),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    names = [x509.DNSName(name) for name in (f"mooring-webhook.{SYSTEM}.svc", "localhost")]
    files = {
        "ca.crt": sign("integration", authority_key.public_key(), (x509.BasicConstraints(True, None), True)),
        "tls.crt": sign("webhook", key.public_key(), (x509.SubjectAlternativeName(names), False)),
        "tls.key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "mooring-webhook-tls", "namespace": SYSTEM},
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }
