"""A certificate authority that is rotated, an API server that moves: all go on within a minute, none is restarted."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING

import pytest

from mooring.kube import resources
from mooring.kube.client import Client
from mooring.kube.informers import Informer
from testbed import controlplane
from tests import rights
from tests.integration import agents
from tests.integration.conftest import Installed, eventually, free_port, make_pod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from testbed.controlplane import ControlPlane
    from tests.integration.agents import Line, Node

# Each wait may take a minute, and an API server starts twice.
pytestmark = pytest.mark.timeout(240)
MINUTE = 60
OPERATOR = f"system:serviceaccount:{agents.SYSTEM}:mooring-operator"


class Volume:
    """What the kubelet shows a pod of the authority: a link into a folder that is replaced as a whole."""

    def __init__(self, folder: Path, authority: Path) -> None:
        self.folder = folder
        self._count = 0
        folder.mkdir()
        (folder / "ca.crt").symlink_to("..data/ca.crt")
        self.put(authority)

    def put(self, authority: Path) -> None:
        self._count += 1
        new = self.folder / f"..{self._count}"
        new.mkdir()
        (new / "ca.crt").write_bytes(authority.read_bytes())
        (self.folder / "..data_tmp").symlink_to(new.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")

    def kubeconfig(self, plane: ControlPlane, name: str, *groups: str) -> Path:
        """Return credentials of a user that know the API server by this volume."""
        document = json.loads(plane.kubeconfig_for(name, *groups).read_text())
        cluster = document["clusters"][0]["cluster"]
        del cluster["certificate-authority-data"]
        cluster["certificate-authority"] = str(self.folder / "ca.crt")
        path = self.folder / f"kubeconfig-{name.rpartition(':')[2]}"
        path.write_text(json.dumps(document))
        return path


@pytest.fixture
def own() -> Iterator[ControlPlane]:
    """A control plane of the test's own, with our kinds and rights."""
    with controlplane.running() as running, rights.kept("integration", running.audit_log):
        running.kubectl("apply", "-k", "crds")
        running.kubectl("apply", "-f", "crds/network-attachment-definitions.yaml")
        running.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        for name in ("namespace", "service-accounts", "agent-rbac"):
            running.kubectl("apply", "-f", f"manifests/base/{name}.yaml")
        yield running


@pytest.fixture
def volume(own: ControlPlane, tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume", own.certificate_authority)


def network(name: str) -> str:
    body = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"config": '{"type":"bridge"}'},
    }
    return json.dumps(body)


def plugins_cluster(node: Node) -> dict[str, str]:
    document = json.loads(node.seen("/etc/cni/net.d/mooring.d/kubeconfig").read_text())
    return dict(document["clusters"][0]["cluster"])


@pytest.fixture
def rotating(own: ControlPlane, volume: Volume, tmp_path: Path) -> Iterator[Node]:
    """A ready node whose agent knows the API server by the volume."""
    kubeconfig = volume.kubeconfig(own, agents.AGENT, "system:serviceaccounts", "system:authenticated")
    own.kubectl("create", "-f", "-", stdin='{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "followed"}}')
    node = agents.Node(own, "followed", tmp_path, free_port(), kubeconfig, tmp_path / "host")
    for path in node.paths.values():
        node.seen(path).mkdir(parents=True)
    for name in ("bridge", "host-local"):
        node.program(name, agents.PLUGIN)
    node.carry(agents.PLUGIN)
    node.seen("/etc/cni/net.d/10-pods.conf").write_text(json.dumps(agents.PRIMARY))
    node.start()
    try:
        node.revision()
        agents.eventually(node.ready, seconds=30, what="readiness")
        yield node
    finally:
        if node.process is not None and node.process.poll() is None:
            node.stop()
        print((tmp_path / "agent.log").read_text())


def test_an_agent_and_its_plugin_go_on_after_the_authority_was_rotated(
    own: ControlPlane, volume: Volume, rotating: Node
) -> None:
    new = own.rotate_authority()
    own.kubectl("apply", "-f", "-", stdin=network("rotated"))
    uid = rotating.pod("rotated")
    rotating.attach("rotated", uid, "default/rotated")
    volume.put(new)
    cached = rotating.seen("/var/lib/mooring/networks/default/rotated.json")
    agents.eventually(cached.exists, seconds=MINUTE, what="the network that came after the rotation")
    agents.eventually(
        lambda: agents.NETWORK_STATUS in rotating.annotations("rotated"), seconds=MINUTE, what="the pod's status"
    )
    agents.eventually(
        lambda: base64.b64decode(plugins_cluster(rotating)["certificate-authority-data"]) == new.read_bytes(),
        seconds=MINUTE,
        what="the plugin's authority",
    )
    assert rotating.process is not None
    assert rotating.process.poll() is None, "it is the same process"
    agents.eventually(rotating.ready, seconds=MINUTE, what=f"readiness; {rotating.unready()}")


def test_an_agent_and_its_plugin_follow_the_server_of_the_kubeconfig(node: Node, line: Line) -> None:
    node.stop()
    text = node.kubeconfig.read_text()
    node.kubeconfig = node.root / "kubeconfig"
    node.kubeconfig.write_text(text.replace(node.plane.url, line.url))
    node.start()
    node.revision()
    node.get_ready()
    assert plugins_cluster(node)["server"] == line.url
    line.close()
    (node.root / "new").write_text(text)
    (node.root / "new").rename(node.kubeconfig)
    agents.eventually(
        lambda: plugins_cluster(node)["server"] == node.plane.url, seconds=MINUTE, what="the plugin's server"
    )
    name = f"moved-{node.name}"
    node.plane.kubectl("apply", "-f", "-", stdin=network(name))
    cached = node.seen(f"/var/lib/mooring/networks/default/{name}.json")
    agents.eventually(cached.exists, seconds=MINUTE, what="a network of the server where it is now")
    node.plane.kubectl("delete", "network-attachment-definition", name)


@pytest.fixture
async def following(
    own: ControlPlane, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Client, Informer]]:
    """A client and an informer that know the API server by the volume."""
    monkeypatch.setenv("KUBECONFIG", str(volume.kubeconfig(own, "admin", "system:masters")))
    async with await Client.load() as client:
        informer = Informer(client, resources.NADS, on_change=lambda *_: None)
        task = asyncio.create_task(informer.run())
        yield client, informer
        task.cancel()


async def test_a_client_and_its_informer_go_on_after_the_authority_was_rotated(
    own: ControlPlane, volume: Volume, following: tuple[Client, Informer]
) -> None:
    client, informer = following
    await eventually(lambda: informer.live, what="a live watch")
    told: list[bytes] = []
    client.on_moved(lambda: told.append(client.certificate_authority))
    new = own.rotate_authority()
    await eventually(lambda: informer.last_error is not None, what="a server that is not trusted")
    volume.put(new)
    assert (await client.get(resources.NAMESPACES, "default"))["metadata"]["name"] == "default"
    assert told == [new.read_bytes()]
    own.kubectl("apply", "-f", "-", stdin=network("heard"))
    await eventually(lambda: "default/heard" in informer.store, what="what came after the rotation")


def test_an_operator_goes_on_after_the_authority_was_rotated(own: ControlPlane, volume: Volume, tmp_path: Path) -> None:
    own.kubectl("apply", "-k", "manifests/default")
    own.kubectl("delete", "validatingwebhookconfiguration", "mooring")  # nobody answers it here
    make_pod(own, "mooring-operator-under-test", "registry.example/mooring:tested")
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{agents.SYSTEM}")
    kubeconfig = volume.kubeconfig(own, OPERATOR, *groups)
    running = Installed(own, free_port()).start_operator(tmp_path, kubeconfig=kubeconfig)
    try:
        agents.eventually(lambda: running.readiness()[0] == 200, seconds=MINUTE, what="readiness")
        new = own.rotate_authority()
        volume.put(new)
        before = len(own.audit_log.read_text().splitlines())
        installation = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Installation", "metadata": {"name": "default"}}
        own.kubectl("apply", "-f", "-", stdin=json.dumps(installation | {"spec": {}}))

        def made() -> bool:
            return "mooring-agent" in own.kubectl("get", "daemonsets", "-n", agents.SYSTEM, "-o", "name")

        agents.eventually(made, seconds=MINUTE, what="what the Installation asks for")

        def asked_by_kopf() -> bool:
            requests = [json.loads(line) for line in own.audit_log.read_text().splitlines()[before:]]
            return any(
                one["userAgent"].startswith("kopf/") and one.get("objectRef", {}).get("resource") == "installations"
                for one in requests
                if "userAgent" in one
            )

        # A watch is in the log when it ends; what kopf sends first after a new login is a list.
        agents.eventually(asked_by_kopf, seconds=MINUTE, what="a request of kopf's over a new connection")
        assert running.process.poll() is None, "it is the same process"
        assert running.end() == 0
    finally:
        running.process.kill()
        running.process.wait()
        print(running.log.read_text())
