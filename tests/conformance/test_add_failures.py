"""ADD: a failure on the way, whose words are returned, and what is left of it: nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.node import Json, Node, chain, stub


def test_ADD_4_nothing_of_the_pod_is_left_of_real_networks_when_a_later_one_fails(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    node.network("full", node.bridge("full", "10.77.3.0/30") | {"ipam": {"type": "static", "addresses": [{}]}})
    pod = node.pod()
    done = node.add(node.conf(node.bridge("primary", "10.77.1.0/24")), pod, "a,full")
    assert "default/full" in done.error["msg"]
    assert node.interfaces(pod) == set()
    assert node.leases() == []
    assert node.left() == []


def test_ADD_4_a_rollback_that_fails_keeps_the_journal_for_del(node: Node) -> None:
    node.network("a", stub("a"))
    node.answer(
        stub__ADD__net1={"error": {"code": 7, "msg": "first"}}, stub__DEL__eth0={"error": {"code": 5, "msg": "second"}}
    )
    conf, pod = node.conf(stub()), node.pod()
    error = node.add(conf, pod, "a").error
    assert error["code"] == 7
    assert "first" in error["msg"]
    node.answer()
    node.forget_calls()
    node.delete(conf, pod).ok()
    assert node.ran() == ["DEL eth0"]
    assert node.left() == []


@pytest.mark.parametrize("code", [3, 11, 50, 100, 123456])
@pytest.mark.parametrize("where", ["eth0", "net1"])
def test_ADD_5_the_delegates_own_code_and_details_are_returned(node: Node, where: str, code: int) -> None:
    failure = {"cniVersion": "1.0.0", "code": code, "msg": "no luck", "details": "line one\nline two"}
    node.answer(**{f"stub__ADD__{where}": {"error": failure}})
    node.network("a", stub("a"))
    error = node.add(node.conf(stub()), node.pod(), "a").error
    assert (error["code"], error["details"]) == (code, failure["details"])
    assert "no luck" in error["msg"]


def test_ADD_5_the_second_plugin_of_a_list_tells_its_own_error(node: Node) -> None:
    node.answer(chained__ADD={"error": {"code": 42, "msg": "chained says no", "details": "d"}})
    node.network("a", chain("a", {"type": "stub"}, {"type": "chained"}))
    error = node.add(node.conf(stub()), node.pod(), "a").error
    assert (error["code"], error["details"]) == (42, "d")
    assert [call["type"] for call in node.calls("DEL")][:2] == ["chained", "stub"], "the whole list is undone"


def test_ADD_6_a_journal_that_can_no_longer_be_written_rolls_everything_back(node: Node) -> None:
    (node.confs / "a.conf").write_text(json.dumps(stub("a")))
    node.netns = None
    # The journal is on a small file system that is full after the first delegate; its result needs more room.
    result = {"cniVersion": "1.0.0", "ips": [{"address": "10.9.0.2/24"}], "big": "x" * 10_000}
    node.answer(stub__ADD__eth0={"fill": str(node.state), "result": result})
    small = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation=private", "sh", "-ec", small, node.state)
    conf = node.conf(stub(), defaultNetworks=["a"])
    error = node.add(conf, node.pod(), prefix=prefix).error
    assert error["code"] == 5
    assert node.ran() == ["ADD eth0", "DEL eth0"]


@pytest.mark.parametrize("annotation", ["a,other/b", [{"name": "b", "namespace": "other"}], "default/a,other/b"])
def test_ADD_11_violated_isolation_names_both_namespaces_before_any_delegate_runs(node: Node, annotation: Any) -> None:
    node.network("a", stub("a"), namespace="tenant")
    node.network("a", stub("a"))
    node.network("b", stub("b"), namespace="other")
    error = node.add(node.conf(stub(), namespaceIsolation=True), node.pod(namespace="tenant"), annotation).error
    assert error["code"] == 7
    assert '"tenant"' in error["msg"]
    assert '"other"' in error["msg"]
    assert node.calls() == []


BAD_ANSWERS: dict[str, Json] = {
    "hangs": {"hang": True},
    "floods": {"flood": 64},
    "floods and fails": {"flood": 64, "exit": 1},
    "prints garbage": {"stdout": "}{"},
    "prints nothing": {"stdout": " "},
    "prints an array": {"stdout": "[]"},
    "prints no result": {"stdout": '{"ips": 3}'},
    "prints half": {"stdout": '{"cniVersion": "1.0.0", "ips": ['},
    "fails silently": {"stdout": " ", "exit": 1},
    "fails with garbage": {"stdout": "oh no", "exit": 3},
    "fails with an empty object": {"stdout": "{}", "exit": 1},
    "says so on stderr": {"stderr": "the reason\n", "stdout": " ", "exit": 1},
}


@pytest.mark.parametrize("where", ["eth0", "net1"])
@pytest.mark.parametrize("how", list(BAD_ANSWERS))
def test_ADD_14_a_delegate_that_misbehaves_is_stopped_and_everything_rolled_back(
    node: Node, how: str, where: str
) -> None:
    node.network("a", stub("a"))
    node.answer(**{f"stub__ADD__{where}": BAD_ANSWERS[how]})
    done = node.add(node.conf(stub(), delegateTimeout=0.5 if how == "hangs" else 20), node.pod(), "a")
    error = done.error
    assert error["code"] > 0
    assert where in error["msg"]
    assert len(done.stdout) < 8192
    if "stderr" in how:
        assert "the reason" in error["msg"] + error.get("details", "")
    assert node.ran("DEL") == (["eth0"] if where == "eth0" else ["net1", "eth0"])
    assert node.left() == []


def test_ADD_14_a_delegate_that_is_stopped_takes_its_children_with_it(node: Node) -> None:
    node.network("a", stub("a"))
    node.answer(stub__ADD__net1={"child": True, "hang": True})
    node.add(node.conf(stub(), delegateTimeout=0.3), node.pod(), "a")
    children = [int((node.recorded / "child").read_text()), node.calls("ADD", event="begin")[-1]["pid"]]
    assert not [child for child in children if _runs(child)]


def _runs(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ADD_14_a_binary_that_cannot_be_executed_is_an_error_that_names_it(node: Node) -> None:
    program = node.bin / "broken"
    program.write_text("#!/nowhere/interpreter\n")
    program.chmod(stat.S_IRWXU)
    node.network("a", stub("a", kind="broken"))
    error = node.add(node.conf(stub()), node.pod(), "a").error
    assert "broken" in error["msg"]
    assert node.ran("DEL") == ["eth0"], "undoing goes on past the one that cannot even start"
