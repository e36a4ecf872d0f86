"""STATUS and GC: what the runtime asks of a node, and what it lets a node throw away."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance import apiservers, multus
from tests.conformance.node import Json, Node, chain, stub

if TYPE_CHECKING:
    from tests.conformance.kubelets import Kubelet
    from tests.conformance.node import Outcome, Pod


def _status(node: Node, conf: Json) -> Outcome:
    return node.call("STATUS", conf, env={"CNI_ARGS": None})


def _newest(*delegates: Json, node: Node, **keys: object) -> Json:
    return node.conf(*delegates, cniVersion="1.1.0", **keys)


def test_STS_1_the_plugins_of_the_default_network_are_asked_and_no_others(node: Node) -> None:
    network = chain("n", stub("x"), stub("y", kind="chained"), version="1.1.0")
    _status(node, _newest(network, stub("second", version="1.1.0", kind="other"), node=node)).ok()
    assert [(call["type"], call["verb"]) for call in node.calls()] == [("stub", "STATUS"), ("chained", "STATUS")]


@pytest.mark.parametrize(("theirs", "ours"), [(50, 50), (51, 51), (7, 50), (999, 50), (11, 50)])
def test_STS_1_a_failure_has_code_50_unless_the_plugin_says_51(node: Node, theirs: int, ours: int) -> None:
    node.answer(stub__STATUS={"error": {"code": theirs, "msg": "not now", "details": "d"}})
    error = _status(node, _newest(stub(version="1.1.0"), node=node)).error
    assert (error["code"], error["details"]) == (ours, "d")
    assert "not now" in error["msg"]


def test_STS_1_a_plugin_that_hangs_is_a_failure_and_not_waited_for(node: Node) -> None:
    node.answer(stub__STATUS={"hang": True})
    done = node.call("STATUS", _newest(stub(version="1.1.0"), node=node), timeout=10)
    assert done.error["code"] == 50


def test_STS_1_an_absent_readiness_file_is_not_waited_for(node: Node) -> None:
    conf = _newest(stub(version="1.1.0"), node=node, readinessindicatorfile=str(node.root / "ready"))
    error = node.call("STATUS", conf, timeout=10).error
    assert error["code"] == 50
    assert str(node.root / "ready") in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize(
    "delegate",
    [stub(kind="nowhere", version="1.1.0"), chain("n", stub("x"), {"type": "nowhere"}, version="1.1.0")],
    ids=["conf", "conflist"],
)
def test_STS_1_a_missing_plugin_of_the_default_network_is_a_failure(node: Node, delegate: Json) -> None:
    error = _status(node, _newest(delegate, node=node)).error
    assert error["code"] == 50
    assert "nowhere" in error["msg"]


def test_STS_1_a_default_network_of_an_older_version_is_not_asked(node: Node) -> None:
    node.answer(stub__STATUS={"error": {"code": 50, "msg": "it does not know STATUS"}})
    _status(node, _newest(stub(version="1.0.0"), node=node)).ok()
    assert node.calls() == []


def test_STS_2_no_fault_of_ours_makes_the_node_not_ready_but_its_add_says_why(node: Node) -> None:
    conf = _newest(stub(version="1.1.0"), node=node)
    node.network("a", stub("a", kind="nowhere"))
    _status(node, conf).ok()
    error = node.add(conf, node.pod(), "a").error
    assert "nowhere" in error["msg"]
    assert [call["verb"] for call in node.calls()] == ["STATUS"], "found out before anything ran"
    node.network("a", stub("a"))
    shutil.rmtree(node.state / "attachments")
    (node.state / "attachments").touch()
    _status(node, conf).ok()
    assert str(node.state / "attachments") in node.add(conf, node.pod(), "a").error["msg"]
    assert [call["verb"] for call in node.calls()] == ["STATUS", "STATUS"]


def test_STS_2_an_api_server_that_is_away_does_not_matter(node: Node) -> None:
    node.netns = None
    with apiservers.absent(node.root) as absent:
        _status(node, _newest(stub(version="1.1.0"), node=node, kubeconfig=absent.kubeconfig)).ok()
        assert absent.knocks() == 0


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
def test_STS_3_below_1_1_0_there_is_no_status(node: Node, version: str) -> None:
    assert _status(node, node.conf(stub(), cniVersion=version)).error["code"] == 1
    assert node.calls() == []


def _gc(node: Node, conf: Json, *valid: Pod | tuple[str, str]) -> Outcome:
    pairs = [pair if isinstance(pair, tuple) else (pair.container, "eth0") for pair in valid]
    attachments = [{"containerID": container, "ifname": ifname} for container, ifname in pairs]
    return node.call("GC", conf | {"cni.dev/valid-attachments": attachments}, env={"CNI_ARGS": None})


def test_GC_1_what_belongs_to_a_sandbox_that_the_runtime_does_not_name_is_undone_for_every_network(
    node: Node,
) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    conf = _newest(node.bridge("primary", "10.77.1.0/24"), node=node)
    stays, goes = node.pod(), node.pod()
    for pod in (stays, goes):
        node.add(conf, pod, "a").ok()
    before = [path for path in node.left() if stays.container in path]
    _gc(node, conf, stays).ok()
    assert node.left() == before
    assert node.interfaces(stays) == {"eth0", "net1"}
    assert node.leases() == ["10.77.1.2", "10.77.2.2"]


def test_GC_1_nothing_is_undone_of_a_sandbox_that_is_named_with_another_interface(node: Node) -> None:
    node.network("a", stub("a"))
    conf, pod = _newest(stub(), node=node), node.pod()
    node.add(conf, pod, "a").ok()
    _gc(node, conf, (pod.container, "eth7")).ok()
    assert node.calls("DEL") == []


def test_GC_1_a_call_that_runs_is_no_garbage(node: Node) -> None:
    node.network("a", stub("a"))
    go = node.root / "go"
    node.answer(stub__ADD__net1={"waitFor": str(go)})
    conf, pod = _newest(stub(), node=node), node.pod()
    running = node.start("ADD", conf, pod, annotations={"k8s.v1.cni.cncf.io/networks": "a"})
    while len(node.calls("ADD", event="begin")) < 2:
        assert running.process.poll() is None
    _gc(node, conf).ok()
    assert node.calls("DEL") == []
    go.touch()
    running.end().ok()


def test_GC_1_what_multus_left_counts_and_stays_where_its_sandbox_lives(node: Node) -> None:
    stays, goes = node.pod(), node.pod()
    for pod in (stays, goes):
        multus.scratch(node, pod, stub(), stub("a"))
    _gc(node, _newest(stub(), node=node), stays).ok()
    assert [(call["env"]["CNI_CONTAINERID"], call["env"]["CNI_IFNAME"]) for call in node.calls("DEL")] == [
        (goes.container, "net1"),
        (goes.container, "eth0"),
    ]
    assert (node.state / stays.container).exists()
    assert not (node.state / goes.container).exists()
    assert len(node.left()) == 2, "the results of the one that stays"


def test_GC_4_what_multus_attached_stays_valid_where_its_sandbox_lives(node: Node) -> None:
    pod = node.pod()
    multus.scratch(node, pod, stub(version="1.1.0"), stub("a", kind="other", version="1.1.0"))
    _gc(node, _newest(stub(version="1.1.0"), node=node), pod).ok()
    told = {call["type"]: call["conf"]["cni.dev/valid-attachments"] for call in node.calls("GC")}
    assert set(told) == {"stub", "other"}
    for attachments in told.values():
        pairs = {(attachment["containerID"], attachment["ifname"]) for attachment in attachments}
        assert pairs == {(pod.container, "eth0"), (pod.container, "net1")}


def test_GC_1_a_lease_stays_whoever_made_it_while_its_sandbox_lives(node: Node) -> None:
    leases = node.root / "ipam" / "primary"
    node.answer(chained__GC={"collect": str(leases)})
    primary = chain("primary", node.bridge("primary", "10.77.1.0/24"), stub(kind="chained"), version="1.1.0")
    conf, ours, theirs = _newest(primary, node=node), node.pod(), node.pod()
    node.add(conf, ours).ok()
    (leases / "10.77.1.98").write_text("long-gone\r\neth0")
    (leases / "10.77.1.99").write_text(f"{theirs.container}\r\neth0")
    _gc(node, conf, ours, theirs).ok()
    assert node.leases() == ["10.77.1.2", "10.77.1.99"]


def test_GC_1_a_runtime_that_names_no_list_has_said_nothing(node: Node) -> None:
    conf, pod = _newest(stub(), node=node), node.pod()
    node.add(conf, pod).ok()
    node.call("GC", conf).ok()
    assert node.calls("DEL") == []


def test_GC_1_plugins_that_collect_are_told_all_interfaces_of_sandboxes_that_live(node: Node) -> None:
    node.network("a", stub("a", version="1.1.0", kind="other"))
    conf, pod = _newest(stub(version="1.1.0"), node=node), node.pod()
    node.add(conf, pod, "a@data").ok()
    _gc(node, conf, pod).ok()
    told = {call["type"]: call["conf"]["cni.dev/valid-attachments"] for call in node.calls("GC")}
    assert set(told) == {"stub", "other"}
    for attachments in told.values():
        pairs = {(attachment["containerID"], attachment["ifname"]) for attachment in attachments}
        assert pairs == {(pod.container, "eth0"), (pod.container, "data")}


@pytest.mark.parametrize("missing", ["nothing", "state", "attachments", "networks"])
def test_GC_2_a_node_on_which_nothing_was_attached_is_collected(node: Node, missing: str) -> None:
    match missing:
        case "state":
            shutil.rmtree(node.state)
        case "attachments" | "networks":
            shutil.rmtree(node.state / missing, ignore_errors=True)
    _gc(node, _newest(stub(version="1.1.0"), node=node)).ok()
    assert [call["verb"] for call in node.calls()] == ["GC"]


@pytest.mark.parametrize("value", [True, "true"])
def test_GC_3_disable_gc_holds(node: Node, value: bool | str) -> None:
    network = chain("n", stub("x"), version="1.1.0", disableGC=value)
    conf, pod = _newest(network, node=node), node.pod()
    node.add(conf, pod).ok()
    _gc(node, conf).ok()
    assert node.calls("GC") == []
    assert node.calls("DEL") == []
    assert node.journal_path(pod).exists()


def test_GC_3_one_failure_stops_nothing_and_all_are_told(node: Node) -> None:
    node.network("a", stub("a", kind="other", version="1.1.0"))
    conf = _newest(stub(version="1.1.0"), node=node)
    pods = [node.pod() for _ in range(2)]
    for pod in pods:
        node.add(conf, pod, "a").ok()
    node.answer(other__DEL={"error": {"code": 71, "msg": "first"}}, stub__GC={"error": {"code": 72, "msg": "second"}})
    error = _gc(node, conf).error
    assert "first" in error["msg"]
    assert "second" in error["msg"]
    assert sorted(node.ran("DEL")) == ["eth0", "eth0", "net1", "net1"]
    assert {call["type"] for call in node.calls("GC")} == {"stub", "other"}
    node.answer()
    _gc(node, conf).ok()
    assert node.left() == []


def test_GC_1_of_fifty_sandboxes_exactly_those_go_that_went_behind_our_back(node: Node, kubelet: Kubelet) -> None:
    # ptp and not bridge: a bridge takes the address of its lowest port, and its plugin's CHECK minds when ports go.
    node.network("a", node.bridge("a", "10.77.2.0/24", type="ptp"))
    node.network("b", stub("b", capabilities={"CNIDeviceInfoFile": True}))
    conf = _newest(node.bridge("primary", "10.77.1.0/24", type="ptp"), node=node)
    pods = [node.pod() for _ in range(50)]
    offered: dict[str, str] = {}
    for pod in pods:
        node.add(conf, pod, "a,b").ok()
        path = node.calls("ADD")[-1]["conf"]["runtimeConfig"]["CNIDeviceInfoFile"]
        offered[pod.container] = path.rpartition("/")[2]
        (kubelet.devinfo / "cni" / offered[pod.container]).write_text("{}")
    stay, go = pods[::2], pods[1::2]
    stays = {pod.container for pod in stay}
    before = node.left()
    for pod in go:
        subprocess.run(["ip", "netns", "delete", Path(pod.netns).name], check=True)
    _gc(node, conf, *stay).ok()
    assert node.left() == [path for path in before if any(container in path for container in stays)]
    assert len(node.leases()) == 2 * len(stay)
    assert sorted(path.name for path in (kubelet.devinfo / "cni").iterdir()) == sorted(offered[each] for each in stays)
    for pod in stay:
        node.call("CHECK", conf, pod).ok()
