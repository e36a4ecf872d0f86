"""The agent as a process, with its own rights at a real API server, on a node that is a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbed.controlplane import ControlPlane

SYSTEM = "mooring-system"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
AGENT = "system:serviceaccount:mooring-system:mooring-agent"
PLUGIN = """#!/bin/sh
cat >/dev/null
echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
"""
PRIMARY = {"cniVersion": "1.0.0", "name": "pod-network", "type": "bridge", "ipam": {"type": "host-local"}}


def eventually(probe: Callable[[], Any], *, seconds: float = 15, what: str) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)
    return found


@dataclasses.dataclass
class Node:
    """A Node, its folders, and the agent on it."""

    plane: ControlPlane
    name: str
    root: Path
    port: int
    kubeconfig: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["agent", "--node", self.name, "--namespace", SYSTEM, "--host-root", str(self.root / "host")]
        arguments += ["--plugin", str(self.root / "plugin"), "--health-port", str(self.port)]
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

    def seen(self, path: str) -> Path:
        return self.root / "host" / path.lstrip("/")

    @property
    def conf(self) -> Path:
        return self.seen("/etc/cni/net.d/00-multus.conf")

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.plane.kubectl("get", "nodestate", self.name, "-o", "json"))
        return found

    def revision(self, **plugin: Any) -> str:
        """Make a revision and give it to the node, as the leader of the operator does."""
        document = {
            "version": 1,
            "image": "mooring:1",
            "paths": {"cniBinDir": "/opt/cni/bin", "cniConfDir": "/etc/cni/net.d", "stateDir": "/var/lib/mooring"},
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


@pytest.fixture(scope="module")
def agent_kubeconfig(plane: ControlPlane, kinds: None) -> Path:
    """Credentials of the agent's service account, with exactly the rights that the manifests give it."""
    for name in ("namespace", "service-accounts", "agent-rbac"):
        plane.kubectl("apply", "-f", f"manifests/base/{name}.yaml")
    plane.kubectl("apply", "-f", "crds/network-attachment-definitions.yaml")  # the operator's work, in a cluster
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return plane.kubeconfig_for(AGENT, "system:serviceaccounts", "system:authenticated")


@pytest.fixture
def node(plane: ControlPlane, agent_kubeconfig: Path, tmp_path: Path) -> Iterator[Node]:
    """A node with a primary network and an agent that was just started; no revision yet."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(node))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Node(plane, name, tmp_path, port, agent_kubeconfig)
    for folder in ("/opt/cni/bin", "/etc/cni/net.d", "/var/lib/mooring"):
        made.seen(folder).mkdir(parents=True)
    for program in (tmp_path / "plugin", made.seen("/opt/cni/bin/bridge"), made.seen("/opt/cni/bin/host-local")):
        program.write_text(PLUGIN)
        program.chmod(0o755)
    made.seen("/etc/cni/net.d/10-pods.conf").write_text(json.dumps(PRIMARY))
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop()
    with contextlib.suppress(OSError):
        print((tmp_path / "agent.log").read_text())
    plane.kubectl("delete", "node", name)


@pytest.fixture
def ready(node: Node) -> Node:
    """The node, with a revision applied."""
    node.revision(logLevel="error")
    eventually(node.ready, what=f"readiness; {node.unready()}")
    return node


def test_a_node_gets_what_its_revision_says_and_reports_it(node: Node) -> None:
    eventually(lambda: "has not given node" in node.unready(), what="the wait for a revision")
    name = node.revision(logLevel="debug")
    eventually(node.ready, what="readiness")
    conf = json.loads(node.conf.read_text())
    assert (conf["type"], conf["logLevel"], conf["delegates"]) == ("mooring", "debug", [PRIMARY])
    assert node.seen("/opt/cni/bin/mooring").read_text() == PLUGIN
    kubeconfig = node.seen("/etc/cni/net.d/mooring.d/kubeconfig")
    assert conf["kubeconfig"] == "/etc/cni/net.d/mooring.d/kubeconfig"
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    heartbeat = json.loads(node.seen("/var/lib/mooring/networks/heartbeat").read_text())
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - heartbeat["boottime"] <= 30

    def reported() -> bool:
        status = node.state().get("status", {})
        conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
        return status.get("revision") == name and conditions == {"Ready": "True", "Degraded": "False"}

    eventually(reported, what="the report")
    status = node.state()["status"]
    assert status["primaryNetwork"] == {"name": "pod-network", "file": "10-pods.conf"}
    assert [binary["name"] for binary in status["binaries"]] == ["mooring"]


def test_a_pod_s_status_follows_its_journal_and_outlives_hand_edits(ready: Node) -> None:
    uid = ready.pod("web", other="stays")
    ready.attach("web", uid, "default/storage")
    text = eventually(lambda: ready.annotations("web").get(NETWORK_STATUS), what="the status")
    assert [entry["name"] for entry in json.loads(text)] == ["pod-network", "default/storage"]
    assert ready.annotations("web")["other"] == "stays"
    for edit in (f"{NETWORK_STATUS}=[]", f"{NETWORK_STATUS}-"):
        ready.plane.kubectl("annotate", "pod", "web", "--overwrite", edit)
        eventually(lambda: ready.annotations("web").get(NETWORK_STATUS) == text, what="the repair")
    ready.plane.kubectl("delete", "pod", "web", "--force", "--grace-period=0")

    def networks() -> bool:
        return bool(ready.state()["status"]["networks"])

    eventually(networks, what="the network in the node's report")


def test_a_pod_made_anew_under_its_name_never_gets_the_status_of_the_one_before(ready: Node) -> None:
    old = ready.pod("again")
    ready.attach("again", old, "default/old")
    eventually(lambda: NETWORK_STATUS in ready.annotations("again"), what="the status")
    ready.plane.kubectl("delete", "pod", "again", "--force", "--grace-period=0")
    new = ready.pod("again")
    ready.attach("again", new, "default/new")
    text = eventually(lambda: ready.annotations("again").get(NETWORK_STATUS), what="the new status")
    assert json.loads(text)[1]["name"] == "default/new"


def test_networks_are_on_disk_soon_after_they_changed(ready: Node) -> None:
    name = f"n-{uuid.uuid4().hex[:8]}"
    path = ready.seen(f"/var/lib/mooring/networks/default/{name}.json")
    body: dict[str, Any] = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"config": '{"type":"bridge"}'},
    }
    ready.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    eventually(path.exists, what="the network's file")
    assert json.loads(path.read_text())["config"] == '{"type":"bridge"}'
    body["spec"]["config"] = '{"type":"macvlan"}'
    ready.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    eventually(lambda: "macvlan" in path.read_text(), what="the change")
    ready.stop()
    ready.plane.kubectl("delete", "network-attachment-definition", name)
    assert path.exists()
    ready.start()
    eventually(lambda: not path.exists(), what="the end of a network that was deleted while the agent was away")


def test_a_conf_that_another_program_renames_is_put_back_and_the_program_named(ready: Node) -> None:
    ready.conf.rename(ready.conf.with_name("00-multus.conf.cilium_bak"))
    eventually(ready.conf.exists, seconds=2, what="the conf")

    def told() -> bool:
        return any("cni.exclusive=false" in each["message"] for each in ready.state()["status"]["conditions"])

    eventually(told, what="the condition")
    assert ready.ready()


def test_an_agent_that_ends_leaves_all_it_made(ready: Node) -> None:
    before = {path: path.read_bytes() for path in ready.root.joinpath("host").rglob("*") if path.is_file()}
    assert ready.stop() == 0
    after = {path: path.read_bytes() for path in ready.root.joinpath("host").rglob("*") if path.is_file()}
    assert before == after


def test_a_plugin_that_does_not_prove_itself_leaves_the_node_as_it_was(ready: Node) -> None:
    ready.stop()
    (ready.root / "plugin").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    ready.start()
    eventually(lambda: "the old one stays" in ready.unready(), what="the complaint")
    assert ready.seen("/opt/cni/bin/mooring").read_text() == PLUGIN
    assert ready.conf.exists()


def test_the_plugin_s_credentials_are_its_own_and_bound_to_the_node(ready: Node) -> None:
    plane = ready.plane
    kubeconfig = ready.seen("/etc/cni/net.d/mooring.d/kubeconfig")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(plane.programs / "kubectl"), f"--kubeconfig={kubeconfig}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    who = json.loads(run("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:mooring-system:mooring-plugin"
    assert who["extra"]["authentication.kubernetes.io/node-name"] == [ready.name]
    assert run("auth", "can-i", "get", "network-attachment-definitions.k8s.cni.cncf.io").stdout == "yes\n"
    assert run("auth", "can-i", "list", "pods").stdout == "no\n"
    before = kubeconfig.read_bytes()
    ready.stop()
    ready.start()
    eventually(ready.ready, what="readiness")
    assert kubeconfig.read_bytes() == before
    kubeconfig.unlink()
    ready.stop()
    ready.start()
    eventually(kubeconfig.exists, what="new credentials")


def test_the_agent_may_not_do_more_than_its_work(plane: ControlPlane, agent_kubeconfig: Path) -> None:
    may = ["patch pods --subresource=status", "list pods", "watch network-attachment-definitions.k8s.cni.cncf.io"]
    may_not = [
        "update pods",
        "patch pods",
        "delete pods",
        "get secrets",
        "patch nodes",
        "create nodestates.mooring.dev",
    ]
    for what, expected in [(each, "yes") for each in may] + [(each, "no") for each in may_not]:
        said = subprocess.run(
            [plane.programs / "kubectl", f"--kubeconfig={agent_kubeconfig}", "auth", "can-i", *what.split()],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.stdout.strip() == expected, what
