"""The agent as a process, with its own rights at a real API server, on a node that is a folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.node import cri, manifest
from testbed import plugin
from testbed.kubectl import CHECKOUT
from tests.integration.agents import NETWORK_STATUS, PLUGIN, PRIMARY, Line, Node, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.controlplane import ControlPlane


def test_a_node_gets_what_its_revision_says_and_reports_it(node: Node) -> None:
    eventually(lambda: "has not given node" in node.unready(), what="the wait for a revision")
    name = node.revision(logLevel="debug")
    node.get_ready()
    conf = json.loads(node.conf.read_text())
    assert (conf["type"], conf["logLevel"], conf["delegates"]) == ("mooring", "debug", [PRIMARY])
    assert node.seen("/opt/cni/bin/mooring").read_text() == PLUGIN
    kubeconfig = node.seen("/etc/cni/net.d/mooring.d/kubeconfig")
    assert conf["kubeconfig"] == "/etc/cni/net.d/mooring.d/kubeconfig"
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    owned = manifest.Manifest(node.seen("/var/lib/mooring")).owned()
    assert sorted(owned) == ["/etc/cni/net.d/00-multus.conf", conf["kubeconfig"], "/opt/cni/bin/mooring"]
    assert all(entry.wrote(manifest.digest(node.seen(path).read_bytes())) for path, entry in owned.items())
    heartbeat = json.loads(node.seen("/var/lib/mooring/networks/heartbeat").read_text())
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - heartbeat["boottime"] <= 30

    def reported() -> bool:
        status = node.status()
        conditions = {each["type"]: each["status"] for each in status["conditions"]}
        return status.get("revision") == name and conditions == {
            "Ready": "True",
            "Degraded": "False",
            "RuntimeLoaded": "Unknown",  # there is none on this node
        }

    eventually(reported, what="the report")
    status = node.status()
    assert status["primaryNetwork"] == {"name": "pod-network", "file": "10-pods.conf"}

    def owners() -> dict[str, str]:
        return {each["name"]: each["owner"] for each in node.status().get("binaries", [])}

    wanted = {"bridge": "", "host-local": "", "mooring": "mooring"}
    eventually(lambda: owners() == wanted, what=lambda: f"the inventory, which says {owners()}")


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
        return bool(ready.status()["networks"])

    eventually(networks, what="the network in the node's report")


def test_a_pod_is_told_once_what_its_networks_gave_it_whatever_the_agent_does_after(ready: Node) -> None:
    def told(uid: str) -> list[tuple[str, str, str, int]]:
        found = json.loads(ready.plane.kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
        return sorted(
            (each["note"], each["type"], each["reportingController"], (each.get("series") or {}).get("count", 1))
            for each in found
            if each["regarding"].get("uid") == uid and each["reason"] == "AddedInterface"
        )

    source = "mooring.dev/mooring-agent"
    expected = [
        ("Add eth0 [] from pod-network", "Normal", source, 1),
        ("Add net1 [] from default/storage", "Normal", source, 1),
    ]
    uid = ready.pod("told")
    ready.attach("told", uid, "default/storage")
    eventually(lambda: told(uid) == expected, what="the events")
    ready.stop()
    ready.plane.kubectl("annotate", "pod", "told", f"{NETWORK_STATUS}-")
    ready.start()
    eventually(lambda: NETWORK_STATUS in ready.annotations("told"), what="the repair")
    # What is told is told in order: behind the next pod's events none of the first one's can be left.
    later = ready.pod("later")
    ready.attach("later", later, "default/storage")
    eventually(lambda: told(later) == expected, what="the next pod's events")
    assert told(uid) == expected


def test_a_pod_made_anew_under_its_name_never_gets_the_status_of_the_one_before(ready: Node) -> None:
    old = ready.pod("again")
    ready.attach("again", old, "default/old")
    eventually(lambda: NETWORK_STATUS in ready.annotations("again"), what="the status")
    ready.plane.kubectl("delete", "pod", "again", "--force", "--grace-period=0")
    new = ready.pod("again")
    ready.attach("again", new, "default/new")
    text = eventually(lambda: ready.annotations("again").get(NETWORK_STATUS), what="the new status")
    assert json.loads(text)[1]["name"] == "default/new"


def test_a_pod_that_runs_without_its_networks_is_told_until_it_has_them(ready: Node) -> None:
    uid = ready.pod("early", **{"k8s.v1.cni.cncf.io/networks": "storage"})
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    ready.plane.kubectl("patch", "pod", "early", "--subresource=status", "--type=merge", "-p", json.dumps(running))

    def conditions() -> dict[str, str]:
        pod = json.loads(ready.plane.kubectl("get", "pod", "early", "-o", "json"))
        return {each["type"]: each["status"] for each in pod["status"]["conditions"]}

    told = {"Ready": "True", "mooring.dev/NetworksAttached": "False"}
    eventually(lambda: conditions() == told, seconds=60, what="the condition beside the others")

    def event() -> bool:
        found = json.loads(ready.plane.kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
        return any(each["regarding"].get("uid") == uid and each["reason"] == "NetworksMissing" for each in found)

    eventually(event, what="the event")
    ready.attach("early", uid, "default/storage")
    good = {"Ready": "True", "mooring.dev/NetworksAttached": "True"}
    eventually(lambda: conditions() == good, seconds=60, what="the condition that it has them")


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
        return any("cni.exclusive=false" in each["message"] for each in ready.status()["conditions"])

    eventually(told, what="the condition")
    assert ready.ready()


@contextlib.contextmanager
def runtime(node: Node) -> Iterator[None]:
    """A container runtime on the node, as far as the agent sees its socket; what it says is in the file `loaded`."""
    folder = node.seen("/run/containerd")
    folder.mkdir(parents=True)
    program = node.programs / cri.PROGRAM
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ncat {node.root}/loaded\n")
    program.chmod(0o755)
    descriptor = os.open(folder, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{descriptor}/containerd.sock")  # the path itself may be too long
            yield
    finally:
        os.close(descriptor)


def test_a_node_is_ready_only_while_its_runtime_says_that_it_runs_us(node: Node) -> None:
    examples = CHECKOUT / "cri" / "contract" / "examples"

    def load(example: str) -> None:
        (node.root / "loaded").write_bytes((examples / example).read_bytes())

    def conditions() -> dict[str, tuple[str, str]]:
        return {each["type"]: (each["status"], each["message"]) for each in node.status()["conditions"]}

    load("status-containerd-rival.json")
    with runtime(node):
        node.revision()
        eventually(lambda: "has loaded the network k8s-pod-network" in node.unready(), what="the runtime's word")
        eventually(lambda: conditions().get("RuntimeLoaded", ("",))[0] == "False", what="the condition")
        assert conditions()["Ready"][0] == "False"
        load("status-containerd-ours.json")
        node.conf.with_name("99-touched.tmp").touch()  # a change in the folder is why it asks again
        node.get_ready()
        eventually(lambda: conditions()["RuntimeLoaded"][0] == "True", what="the condition")
        assert node.status()["runtime"]["networks"] == ["multus-cni-network"]


def test_a_file_that_sorts_before_ours_is_beaten_and_named_and_ours_moves_back(ready: Node) -> None:
    first, rival = ready.conf.with_name("00-00-multus.conf"), ready.conf.with_name("00-calico.conflist")
    rival.write_text("no JSON at all")
    eventually(lambda: first.exists() and not ready.conf.exists(), what="ours before the rival")

    def named() -> bool:
        status = ready.status()
        return status.get("rivals") == [rival.name] and status.get("confFile") == first.name

    eventually(named, what="the rival in the NodeState")
    assert ready.ready()
    rival.unlink()
    eventually(lambda: ready.conf.exists() and not first.exists(), what="our usual name")


def test_what_is_chained_to_the_primary_network_is_pinned_with_it_as_it_changes(ready: Node) -> None:
    confs = ready.conf.parent
    for name in ("tuning", "sbr"):
        ready.program(name, PLUGIN)
    primary = {"cniVersion": "1.0.0", "name": "pod-network", "plugins": [{"type": "bridge"}], "disableGC": True}
    (confs / "10-pods.conf").unlink()
    (confs / "10-pods.conflist").write_text(json.dumps(primary))

    def pinned() -> list[str]:
        delegate = json.loads(ready.conf.read_text())["delegates"][0]
        return [plugin["type"] for plugin in delegate.get("plugins", [])]

    eventually(lambda: pinned() == ["bridge"], seconds=5, what="the conflist")
    (confs / "pod-network").mkdir()
    (confs / "pod-network" / "20-sbr.conf").write_text('{"type": "sbr"}')
    (confs / "pod-network" / "10-tuning.conf").write_text('{"type": "tuning"}')
    eventually(lambda: pinned() == ["bridge", "tuning", "sbr"], seconds=5, what="the chain")
    assert json.loads(ready.conf.read_text())["delegates"][0]["disableGC"] is True
    (confs / "pod-network" / "20-sbr.conf").write_text('{"type": "sb')

    def degraded() -> bool:
        conditions = {each["type"]: each for each in ready.status()["conditions"]}
        return "pod-network/20-sbr.conf" in conditions.get("Degraded", {}).get("message", "")

    eventually(degraded, what="the report of the broken file")
    assert pinned() == ["bridge", "tuning", "sbr"]
    assert ready.ready()
    (confs / "pod-network" / "20-sbr.conf").unlink()
    eventually(lambda: pinned() == ["bridge", "tuning"], seconds=5, what="the shorter chain")


def test_a_plugin_that_somebody_removes_is_put_back_at_once(ready: Node) -> None:
    plugin = ready.seen("/opt/cni/bin/mooring")
    plugin.unlink()
    eventually(plugin.exists, seconds=5, what="the plugin")


def test_a_node_moves_to_other_folders_once_they_are_there_and_works_meanwhile(ready: Node) -> None:
    before, former = ready.conf.read_bytes(), ready.conf
    ready.paths |= {"cniBinDir": "/srv/cni/bin", "cniConfDir": "/srv/cni/net.d"}
    ready.revision()
    eventually(
        lambda: "wants /srv/cni/bin and /srv/cni/net.d, which this node does not have" in ready.unready(),
        what="the word for the folders",
    )
    assert not ready.seen("/srv/cni").exists()
    former.unlink()
    eventually(lambda: former.exists() and former.read_bytes() == before, what="the conf that the node has")

    for folder in ("/srv/cni/bin", "/srv/cni/net.d"):
        ready.seen(folder).mkdir(parents=True)
    for name in ("bridge", "host-local"):
        ready.program(name, PLUGIN)
    (ready.conf.parent / "10-pods.conf").write_text(json.dumps(PRIMARY))
    assert ready.process is not None
    assert ready.process.wait(40) == 0  # only a new one follows the new folders
    ready.start()
    ready.get_ready(seconds=30)
    assert json.loads(ready.conf.read_text())["binDir"] == "/srv/cni/bin"
    assert ready.seen("/srv/cni/bin/mooring").exists()
    eventually(ready.seen("/srv/cni/net.d/mooring.d/kubeconfig").exists, what="the credentials")
    # No runtime says what it reads: the files of before stay, and are named.
    assert former.read_bytes() == before
    eventually(lambda: "/etc/cni/net.d/00-multus.conf" in degraded(ready), what=lambda: degraded(ready))
    assert "of former paths stay" in degraded(ready)


def test_an_agent_that_starts_on_a_node_which_lacks_a_folder_goes_on_with_what_is_there(ready: Node) -> None:
    eventually(lambda: ready.status().get("revision"), what="the NodeState's word for the revision on the node")
    ready.stop()
    ready.paths["cniBinDir"] = "/opt/cni/bim"
    ready.revision()
    ready.conf.unlink()
    ready.start()
    eventually(lambda: "/opt/cni/bim, which this node does not have" in ready.unready(), what=ready.unready)
    eventually(ready.conf.exists, what="the conf of the revision that the node has")
    assert json.loads(ready.conf.read_text())["binDir"] == "/opt/cni/bin"
    assert not ready.seen("/opt/cni/bim").exists()


def degraded(node: Node) -> str:
    """Return what the NodeState says that is wrong."""
    return " ".join(each["message"] for each in node.status()["conditions"] if each["type"] == "Degraded")


def test_an_agent_that_ends_leaves_all_it_made(ready: Node) -> None:
    before = {path: path.read_bytes() for path in ready.root.joinpath("host").rglob("*") if path.is_file()}
    assert ready.stop() == 0
    after = {path: path.read_bytes() for path in ready.root.joinpath("host").rglob("*") if path.is_file()}
    assert before == after


def test_a_plugin_that_does_not_prove_itself_leaves_the_node_as_it_was(ready: Node) -> None:
    ready.stop()
    ready.carry("#!/bin/sh\necho broken >&2\nexit 1\n")
    ready.start()
    eventually(lambda: "the last good one stays" in ready.unready(), what="the complaint")
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
    ready.get_ready()
    assert kubeconfig.read_bytes() == before
    kubeconfig.unlink()
    ready.stop()
    ready.start()
    eventually(kubeconfig.exists, what="new credentials")


def test_without_an_api_server_the_agent_serves_on_and_catches_up_afterwards(node: Node, line: Line) -> None:
    node.stop()
    text = node.kubeconfig.read_text().replace(node.plane.url, line.url)
    node.kubeconfig = node.root / "kubeconfig"
    node.kubeconfig.write_text(text)
    node.start()
    node.revision()
    node.get_ready()
    uid = node.pod("outlasting")
    line.cut()
    heartbeat = node.seen("/var/lib/mooring/networks/heartbeat")
    node.conf.unlink()
    eventually(node.conf.exists, seconds=5, what="the conf")
    node.attach("outlasting", uid, "default/storage")
    assert node.ready(), "a node whose pods get their networks stays ready"
    before = heartbeat.read_bytes()
    line.mend()
    eventually(lambda: NETWORK_STATUS in node.annotations("outlasting"), seconds=40, what="the status")
    eventually(lambda: heartbeat.read_bytes() != before, seconds=60, what="a heartbeat")


def test_the_agent_may_not_do_more_than_its_work(plane: ControlPlane, agent_kubeconfig: Path) -> None:
    may = ["patch pods --subresource=status", "list pods", "watch network-attachment-definitions.k8s.cni.cncf.io"]
    may_not = [
        "update pods",
        "patch pods",
        "delete pods",
        "get secrets",
        "patch nodes",
        "create nodestates.mooring.dev",
        "watch attachmentslices.mooring.dev",
    ]
    for what, expected in [(each, "yes") for each in may] + [(each, "no") for each in may_not]:
        said = subprocess.run(
            [plane.programs / "kubectl", f"--kubeconfig={agent_kubeconfig}", "auth", "can-i", *what.split()],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.stdout.strip() == expected, what


DELEGATE = """#!/bin/sh
read -r conf
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
ADD)
    case "$conf" in *broken*) echo '{"code":7,"msg":"there is no such master"}'; exit 1 ;; esac
    echo '{"cniVersion":"1.0.0","interfaces":[{"name":"'"$CNI_IFNAME"'","sandbox":"'"$CNI_NETNS"'"}]}' ;;
esac
"""


@pytest.fixture
def real(bare: Node) -> Node:
    """A node with the real plugin, whose folders are below the machine's own root: what the conf names is there."""
    # Not "/" itself: the machine's own container runtime is none of this node's.
    bare.host_root = bare.root / "root"
    bare.paths = {key: str(bare.root / key) for key in bare.paths}
    for folder in bare.paths.values():
        bare.seen(folder).mkdir(parents=True)
        Path(folder).symlink_to(bare.seen(folder))
    for name in ("bridge", "host-local", "macvlan"):
        bare.program(name, DELEGATE)
    plugin.build(bare.programs)
    (bare.seen(bare.paths["cniConfDir"]) / "10-pods.conf").write_text(json.dumps(PRIMARY))
    bare.revision()
    bare.start()
    bare.get_ready()
    return bare


@pytest.fixture
def netns() -> Iterator[str]:
    """A network namespace."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
    path = f"/proc/{holder.pid}/ns/net"
    eventually(lambda: Path(path).stat().st_ino != Path("/proc/self/ns/net").stat().st_ino, what="the namespace")
    yield path
    holder.kill()
    holder.wait()


def call(node: Node, verb: str, netns: str, pod: str, uid: str, networks: str) -> dict[str, Any]:
    """Execute the plugin with the agent's conf as the runtime does; return what it printed."""
    conf = json.loads(node.conf.read_text())
    conf["runtimeConfig"] = {"io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": networks}}
    arguments = {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": pod, "K8S_POD_UID": uid, "IgnoreUnknown": "1"}
    done = subprocess.run(
        [str(Path(node.paths["cniBinDir"]) / "mooring")],
        input=json.dumps(conf).encode(),
        env={
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": f"sandbox-of-{pod}",
            "CNI_NETNS": netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": node.paths["cniBinDir"],
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in arguments.items()),
        },
        capture_output=True,
        check=False,
    )
    return dict(json.loads(done.stdout)) if done.stdout.strip() else {}


def test_plugin_and_agent_understand_each_other(real: Node, netns: str) -> None:
    for name, kind in (("storage", "macvlan"), ("broken", "macvlan")):
        body = {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"config": json.dumps({"cniVersion": "1.0.0", "name": name, "type": kind})},
        }
        real.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        eventually((Path(real.paths["stateDir"]) / f"networks/default/{name}.json").exists, what="the cache")
    uid = real.pod("moored")
    answer = call(real, "ADD", netns, "moored", uid, "storage")
    assert [each["name"] for each in answer.get("interfaces", [])] == ["eth0"], answer
    text = eventually(lambda: real.annotations("moored").get(NETWORK_STATUS), what="the status")
    assert [(entry["name"], entry["interface"]) for entry in json.loads(text)] == [
        ("pod-network", "eth0"),
        ("default/storage", "net1"),
    ]

    def attachments() -> dict[str, int]:
        return {each["name"]: each["attachments"] for each in real.status()["networks"]}

    eventually(lambda: attachments() == {"storage": 1}, what="the attachment in the node's report")
    stranded = real.pod("stranded")
    assert call(real, "ADD", netns, "stranded", stranded, "broken")["code"] == 7
    eventually(lambda: real.status()["failedAdds"] == 1, what="the failure in the node's report")
    [error] = real.status()["lastErrors"]
    assert "default/stranded" in error["message"]
    assert "no such master" in error["message"]
    assert NETWORK_STATUS not in real.annotations("stranded")
    call(real, "DEL", netns, "moored", uid, "storage")
    eventually(lambda: attachments() == {}, what="the end of the attachment")
    requests = [json.loads(line) for line in real.plane.audit_log.read_text().splitlines()]
    by_plugin = [one for one in requests if one["user"].get("username", "").endswith(":mooring-plugin")]
    asked = [one["requestURI"] for one in by_plugin if one["verb"] == "get" and "name" in one.get("objectRef", {})]
    assert asked == [], "with a fresh cache nothing is asked"


def test_the_plugin_runs_the_auxiliary_chain_that_the_agent_pinned(real: Node, netns: str) -> None:
    folder = Path(real.paths["cniConfDir"]) / "vendor"
    folder.mkdir()
    (folder / "10-macvlan.conf").write_text('{"type": "macvlan"}')
    real.revision(auxiliaryCNIChainName="vendor")
    eventually(lambda: "auxiliaryChain" in json.loads(real.conf.read_text()), what="the chain")
    uid = real.pod("chained")
    answer = call(real, "ADD", netns, "chained", uid, "")
    assert [each["name"] for each in answer.get("interfaces", [])] == ["eth0"], answer
    text = eventually(lambda: real.annotations("chained").get(NETWORK_STATUS), what="the status")
    assert [(entry["name"], entry["interface"]) for entry in json.loads(text)] == [
        ("pod-network", "eth0"),
        ("vendor", "net1"),
    ]
