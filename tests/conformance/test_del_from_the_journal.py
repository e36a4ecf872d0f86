"""DEL: what is on disk is enough, and what is known is undone, whatever else is gone or broken."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import apiservers
from tests.conformance.node import NETWORKS, Json, Node, Pod, chain, journal_line, stub

if TYPE_CHECKING:
    from collections.abc import Callable


def _attached(node: Node, annotation: str = "a,b") -> tuple[Json, Pod]:
    for name in ("a", "b"):
        node.network(name, stub(name))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, annotation).ok()
    node.forget_calls()
    return conf, pod


@pytest.mark.parametrize("gone", ["definition", "annotation", "server", "pod", "configuration", "everything"])
def test_DEL_1_the_journal_alone_undoes_everything(node: Node, gone: str) -> None:
    conf, pod = _attached(node)
    options: Json = {}
    if gone in {"definition", "everything"}:
        shutil.rmtree(node.state / "networks")
    if gone in {"annotation", "everything"}:
        options["annotations"] = {"k8s.v1.cni.cncf.io/networks": "]["}
    if gone in {"server", "everything"}:
        conf["kubeconfig"] = str(node.root / "nowhere")
    if gone in {"pod", "everything"}:
        options["env"] = {"CNI_ARGS": ""}
    if gone in {"configuration", "everything"}:
        conf["delegates"] = []
    node.delete(conf, pod, **options).ok()
    assert node.ran() == ["DEL net2", "DEL net1", "DEL eth0"]
    assert node.left() == []


def _runtime_cached(folder: str, node: Node, network: str, pod: Pod, result: Json) -> None:
    """What libcni wrote down when the primary network was attached without us."""
    entry = {
        "kind": "cniCacheV1",
        "containerId": pod.container,
        "config": "e30=",
        "ifName": "eth0",
        "networkName": network,
        "cniArgs": [],
        "result": result,
    }
    path = node.replaced[folder] / "results" / f"{network}-{pod.container}-eth0"
    path.parent.mkdir()
    path.write_text(json.dumps(entry))


def test_DEL_2_a_pod_older_than_us_is_undone_with_the_result_that_the_runtime_cached(node: Node) -> None:
    (node.root / "libcni").mkdir()
    node.replaced = {"/var/lib/cni": node.root / "libcni"}
    result = {"cniVersion": "1.0.0", "ips": [{"address": "10.9.9.9/24"}], "dns": {}}
    pod = node.pod()
    _runtime_cached("/var/lib/cni", node, "pod-network", pod, result)
    node.delete(node.conf(stub()), pod).ok()
    (call,) = node.calls()
    assert (call["verb"], call["env"]["CNI_IFNAME"]) == ("DEL", "eth0")
    assert call["conf"]["prevResult"]["ips"] == result["ips"]
    assert call["env"]["CNI_CONTAINERID"] == pod.container


@pytest.mark.parametrize("network", [stub(), chain("pod-network", {"type": "stub"}, {"type": "chained"})])
def test_DEL_2_without_any_record_the_default_network_is_undone(node: Node, network: Json) -> None:
    node.delete(node.conf(network), node.pod()).ok()
    assert {call["verb"] for call in node.calls()} == {"DEL"}
    assert len(node.calls()) == len(network.get("plugins", [network]))


def test_DEL_2_a_failure_of_the_default_network_is_returned_then_too(node: Node) -> None:
    node.answer(stub__DEL={"error": {"code": 100, "msg": "it is stuck", "details": "d"}})
    error = node.delete(node.conf(stub()), node.pod()).error
    assert (error["code"], error["details"]) == (100, "d")
    assert "it is stuck" in error["msg"]


@pytest.mark.parametrize("conf", [{"clusterNetwork": "nowhere"}, {"delegates": []}, {"delegates": None}])
def test_DEL_3_success_is_not_claimed_where_it_is_not_known_what_the_default_network_is(node: Node, conf: Json) -> None:
    error = node.delete(node.conf(stub(), **conf), node.pod()).error
    assert error["code"] == 7
    assert "default network" in error["msg"]
    assert node.calls() == []


def test_DEL_3_a_default_network_that_must_be_asked_for_is_asked_for_again_and_again(node: Node) -> None:
    node.netns = None
    with apiservers.absent(node.root) as absent:
        conf = node.conf(clusterNetwork="primary", kubeconfig=absent.kubeconfig)
        assert node.delete(conf, node.pod()).error["code"] == 11
    assert node.calls() == []


def test_DEL_3_an_add_that_was_ended_before_it_began_anything_leaves_nothing_to_undo(node: Node) -> None:
    pod = node.pod()
    conf = node.conf(stub(), readinessindicatorfile=str(node.root / "ready"))
    adding = node.start("ADD", conf, pod)
    while not node.journal_path(pod).exists() or not node.journal_path(pod).stat().st_size:
        assert adding.process.poll() is None
    adding.process.kill()
    assert adding.end().status == -9
    node.delete(conf, pod).ok()
    assert node.calls() == []
    assert node.left() == []


def test_DEL_15_a_del_that_comes_while_add_waits_makes_it_give_up_before_the_first_delegate(node: Node) -> None:
    pod = node.pod()
    conf = node.conf(stub(), readinessindicatorfile=str(node.root / "ready"))
    adding = node.start("ADD", conf, pod)
    while not node.journal_path(pod).exists() or not node.journal_path(pod).stat().st_size:
        assert adding.process.poll() is None
    deleting = node.start("DEL", conf, pod)
    error = adding.end().error  # although what it waits for never comes
    assert error["code"] == 11
    assert "DEL" in error["msg"]
    deleting.end().ok()
    assert node.calls() == []
    assert node.left() == []


def test_DEL_15_a_del_that_comes_between_two_delegates_ends_the_add_there(node: Node) -> None:
    go = node.root / "go"
    node.answer(stub__ADD__eth0={"waitFor": str(go)})
    node.network("a", stub("a"))
    conf, pod = node.conf(stub()), node.pod()
    adding = node.start("ADD", conf, pod, annotations={NETWORKS: "a"})
    while not node.calls("ADD", event="begin"):
        assert adding.process.poll() is None
    before = node.journal_path(pod).stat().st_size
    deleting = node.start("DEL", conf, pod)
    while node.journal_path(pod).stat().st_size == before:
        assert deleting.process.poll() is None
    go.touch()
    assert adding.end().error["code"] == 11
    deleting.end().ok()
    assert node.ran() == ["ADD eth0", "DEL eth0"]
    assert node.left() == []


def _torn(data: bytes) -> bytes:
    return data[:-20]


@pytest.mark.parametrize(
    "tear",
    [_torn, lambda data: data + b'{"crc":"00', lambda data: data + b"\0" * 100, lambda data: data + b"\n"],
    ids=["cut", "begun", "zeros", "blank"],
)
def test_DEL_4_a_torn_last_line_is_ignored_and_the_rest_counts(node: Node, tear: Callable[[bytes], bytes]) -> None:
    conf, pod = _attached(node)
    path = node.journal_path(pod)
    path.write_bytes(tear(path.read_bytes()))
    node.delete(conf, pod).ok()
    assert node.ran() == ["DEL net2", "DEL net1", "DEL eth0"]
    assert [path for path in node.left() if "quarantine" not in path] == []


def _flip(line: int) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        lines[line] = lines[line].replace(b'"crc":"', b'"crc":"0', 1)
        return b"".join(lines)

    return damage


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "a result": (_flip(3), ["net2", "net1", "eth0"]),
    "the header": (_flip(0), ["net2", "net1", "eth0"]),
    "the intents": (_flip(1), ["net2", "net1", "eth0"]),
    "all of it": (lambda _: b"what is this\nno journal\n", ["net2", "net1", "eth0"]),
    "emptied": (lambda _: b"", ["net2", "net1", "eth0"]),
    "a later version": (lambda data: _reversioned(data), ["net2", "net1", "eth0"]),
}


def _reversioned(data: bytes) -> bytes:
    header, *rest = data.splitlines(keepends=True)
    record = json.loads(header)["record"] | {"version": 99}
    return b"".join([journal_line(record), *rest])


@pytest.mark.parametrize("what", list(DAMAGES))
def test_DEL_4_of_a_damaged_journal_all_that_can_be_read_is_undone_and_the_file_set_aside(
    node: Node, what: str
) -> None:
    damage, undone = DAMAGES[what]
    conf, pod = _attached(node)
    path = node.journal_path(pod)
    path.write_bytes(damage(path.read_bytes()))
    content = path.read_bytes()
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == undone
    assert not path.exists()
    aside = node.state / "quarantine" / path.name
    assert aside.read_bytes() == content if content else not aside.exists()
    node.delete(conf, pod).ok()


def test_DEL_4_a_damaged_journal_whose_default_network_fails_is_kept_for_the_next_try(node: Node) -> None:
    conf, pod = _attached(node)
    path = node.journal_path(pod)
    path.write_bytes(_flip(3)(path.read_bytes()))
    node.answer(stub__DEL__eth0={"error": {"code": 5, "msg": "busy"}})
    assert node.delete(conf, pod).error["code"] == 5
    assert path.exists()
    node.answer()
    node.delete(conf, pod).ok()
    assert not path.exists()


@pytest.mark.parametrize("failing", ["net2", "net1", "eth0"])
def test_DEL_6_a_failing_delegate_stops_no_other_and_its_code_is_returned(node: Node, failing: str) -> None:
    conf, pod = _attached(node)
    node.answer(**{f"stub__DEL__{failing}": {"error": {"code": 77, "msg": "it is stuck", "details": "d"}}})
    error = node.delete(conf, pod).error
    assert node.ran() == ["DEL net2", "DEL net1", "DEL eth0"]
    assert (error["code"], error["details"]) == (77, "d")
    assert failing in error["msg"]


def test_DEL_6_several_failures_are_returned_together_with_the_first_code(node: Node) -> None:
    conf, pod = _attached(node)
    node.answer(
        stub__DEL__net2={"error": {"code": 71, "msg": "first"}}, stub__DEL__eth0={"error": {"code": 72, "msg": "last"}}
    )
    error = node.delete(conf, pod).error
    assert error["code"] == 71
    for part in ("first", "last", "net2", "eth0"):
        assert part in error["msg"]


def test_DEL_7_what_is_undone_is_not_undone_again_and_the_rest_is_kept(node: Node) -> None:
    conf, pod = _attached(node)
    node.answer(stub__DEL__net1={"error": {"code": 5, "msg": "busy"}})
    assert node.delete(conf, pod).status != 0
    assert [path for path in node.left() if path.startswith("results/")] == [f"results/a-{pod.container}-net1"]
    node.answer()
    node.forget_calls()
    node.delete(conf, pod).ok()
    assert node.ran() == ["DEL net1"]
    assert node.left() == []


def _vanished(pod: Pod) -> str | None:
    subprocess.run(["ip", "netns", "delete", pod.netns.rpartition("/")[2]], check=True)
    return pod.netns


@pytest.mark.parametrize("netns", ["", None, "vanished", "/run/netns/never-was"])
@pytest.mark.parametrize("journalled", [True, False])
def test_DEL_8_addresses_are_freed_without_a_network_namespace(node: Node, netns: Any, journalled: bool) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    conf, pod = node.conf(node.bridge("pod-network", "10.77.1.0/24")), node.pod()
    node.add(conf, pod, "a" if journalled else None).ok()
    if not journalled:
        node.journal_path(pod).unlink()
    given = _vanished(pod) if netns == "vanished" else netns
    node.delete(conf, pod, env={"CNI_NETNS": given}).ok()
    assert node.leases() == []
    assert node.left() == []


def test_DEL_8_del_comes_twice_and_without_an_add(node: Node) -> None:
    conf, pod = _attached(node)
    for _ in range(3):
        node.delete(conf, pod).ok()
    node.delete(conf, node.pod()).ok()
    assert node.left() == []


# What runtimes take for success, in the spellings that they look for.
PHRASES = ["no such file or directory", "not found", "Not Found", "link not\tfound", "NOT  FOUND"]


@pytest.mark.parametrize("where", ["eth0", "net1"])
@pytest.mark.parametrize("phrase", PHRASES)
def test_DEL_13_an_error_never_holds_a_phrase_that_runtimes_take_for_success(
    node: Node, phrase: str, where: str
) -> None:
    conf, pod = _attached(node)
    text = f"open /x: {phrase} here"
    node.answer(**{f"stub__DEL__{where}": {"error": {"code": 100, "msg": text, "details": text}}})
    done = node.delete(conf, pod)
    assert done.error["code"] == 100
    said = " ".join(str(done.error).lower().replace("\\t", " ").split())
    assert "not found" not in said
    assert "no such file or directory" not in said


def test_DEL_13_a_missing_binary_is_told_without_such_a_phrase(node: Node) -> None:
    conf, pod = _attached(node)
    (node.bin / "stub").unlink()
    said = node.delete(conf, pod).error
    assert "stub" in said["msg"]
    for phrase in ("not found", "no such file or directory"):
        assert phrase not in said["msg"].lower()
