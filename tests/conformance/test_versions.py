"""VER: versions of the CNI specification between the runtime, us and delegates; versions of our own files."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.conformance.node import Json, Node, chain, stub

ALL = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


@pytest.mark.parametrize("stdin", ['{"cniVersion": "1.1.0"}', '{"cniVersion": "0.3.1"}', ""])
def test_VER_1_every_version_of_the_specification_is_listed(node: Node, stdin: str) -> None:
    answer = node.call("VERSION", stdin, env={"CNI_PATH": None}).result
    assert answer["supportedVersions"] == ALL
    assert answer["cniVersion"] in ALL


def _addresses(result: Json) -> list[str]:
    if "ips" in result:
        return [entry["address"] for entry in result["ips"]]
    return [result["ip4"]["ip"]]


@pytest.mark.parametrize("theirs", ALL)
@pytest.mark.parametrize("ours", ALL)
def test_VER_2_a_result_of_any_version_is_told_in_the_version_of_the_runtime(
    node: Node, ours: str, theirs: str
) -> None:
    node.network("a", stub("a", version=theirs))
    conf, pod = node.conf(stub(version=theirs), cniVersion=ours), node.pod()
    result = node.add(conf, pod, "a").result
    assert result["cniVersion"] == ours
    assert _addresses(result) == ["10.9.0.2/24"]
    assert ("ips" in result) is (ours not in {"0.1.0", "0.2.0"})
    node.delete(conf, pod).ok()
    assert node.left() == []


def test_VER_2_a_delegate_that_knows_not_the_networks_version_is_an_incompatibility(node: Node) -> None:
    text = "incompatible CNI versions"
    node.answer(stub__ADD__net1={"error": {"code": 1, "msg": text, "details": 'config is "1.1.0"'}})
    node.network("a", stub("a", version="1.1.0"))
    pod = node.pod()
    error = node.add(node.conf(stub()), pod, "a").error
    assert error["code"] == 1
    assert text in error["msg"]
    assert node.ran()[-2:] == ["DEL net1", "DEL eth0"]


@pytest.mark.parametrize("stated", ["2.0.0", "banana", "0.0.9"])
def test_VER_2_a_result_of_an_unknown_version_is_an_incompatibility_and_rolled_back(node: Node, stated: str) -> None:
    node.answer(stub__ADD__net1={"result": {"cniVersion": stated, "ips": [{"address": "10.0.0.1/24"}]}})
    node.network("a", stub("a"))
    error = node.add(node.conf(stub()), node.pod(), "a").error
    assert error["code"] == 1
    assert stated in error["msg"]
    assert node.ran() == ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]
    assert node.left() == []


@pytest.mark.parametrize("old", ["0.1.0", "0.2.0"])
def test_VER_3_the_oldest_delegates_work_below_a_conf_of_1_0_0(node: Node, old: str) -> None:
    node.network("a", stub("a", version=old))
    node.network("b", chain("b", {"type": "stub"}, {"type": "chained"}, version=old))
    conf, pod = node.conf(stub(version=old)), node.pod()
    assert _addresses(node.add(conf, pod, "a,b").result) == ["10.9.0.2/24"]
    results = [record["result"] for record in node.journal(pod) if record["type"] == "result"]
    assert {result["cniVersion"] for result in results} == {old}
    node.delete(conf, pod).ok()
    assert ["prevResult" in call["conf"] for call in node.calls("DEL")] == [False] * 4


SINCE = {"ADD": "0.1.0", "DEL": "0.1.0", "CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0"}


@pytest.mark.parametrize("verb", list(SINCE))
@pytest.mark.parametrize("version", ALL)
def test_VER_4_a_verb_is_refused_below_the_version_that_brought_it(node: Node, verb: str, version: str) -> None:
    conf, pod = node.conf(stub(version=version), cniVersion=version), node.pod()
    if verb in {"CHECK", "DEL"}:
        node.add(conf, pod).ok()
        conf["prevResult"] = {"cniVersion": version}
    conf |= {"cni.dev/valid-attachments": []} if verb == "GC" else {}
    done = node.call(verb, conf, pod if verb not in {"STATUS", "GC"} else None)
    if ALL.index(version) >= ALL.index(SINCE[verb]):
        done.ok()
    else:
        assert done.error["code"] == 1
        assert node.calls(verb) == []


@pytest.mark.parametrize("version", ["banana", "2.0.0", "1.2.0", "1.0", "", None])
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS", "GC"])
def test_VER_5_an_unknown_version_is_an_incompatibility(node: Node, verb: str, version: str | None) -> None:
    conf = node.conf(stub(), cniVersion=version)
    done = node.call(verb, conf, node.pod())
    if verb == "ADD" and not version:
        assert done.result["cniVersion"] == "0.1.0", "a conf without version is of the first one"
        return
    assert done.error["code"] == 1
    assert node.calls() == []


@pytest.mark.parametrize("version", [3, {}, []])
def test_VER_5_a_version_that_is_no_string_is_refused(node: Node, version: Any) -> None:
    done = node.call("ADD", node.conf(stub()) | {"cniVersion": version}, node.pod())
    assert done.error["code"] in {1, 6, 7}


@pytest.mark.parametrize("given", [None, ""])
@pytest.mark.parametrize("listed", [False, True], ids=["conf", "conflist"])
def test_VER_6_a_missing_version_of_a_network_is_ours_on_every_verb(
    node: Node, given: str | None, listed: bool
) -> None:
    network: Json = chain("a", {"type": "other"}) if listed else stub("a", kind="other")
    if given is None:
        del network["cniVersion"]
    else:
        network["cniVersion"] = given
    node.network("a", network)
    conf, pod = node.conf(stub(version="0.4.0"), cniVersion="0.4.0"), node.pod()
    node.add(conf, pod, "a").ok()
    node.call("CHECK", conf | {"prevResult": {"cniVersion": "0.4.0"}}, pod).ok()
    node.delete(conf, pod).ok()
    told = [(call["verb"], call["conf"]["cniVersion"]) for call in node.calls() if call["type"] == "other"]
    assert told == [("ADD", "0.4.0"), ("CHECK", "0.4.0"), ("DEL", "0.4.0")]


def _reheaded(node: Node, version: int) -> tuple[Any, bytes]:
    """A journal of two attachments whose header states another version."""
    node.network("a", stub("a"))
    pod = node.pod()
    node.add(node.conf(stub()), pod, "a").ok()
    records = node.journal(pod)
    records[0]["version"] = version
    node.write_journal(pod, records)
    return pod, node.journal_path(pod).read_bytes()


def test_VER_7_a_journal_of_a_later_version_is_undone_and_set_aside_with_a_clear_message(node: Node) -> None:
    pod, content = _reheaded(node, 2)
    done = node.delete(node.conf(stub()), pod)
    done.ok()
    assert sorted(node.ran("DEL")) == ["eth0", "net1"]
    assert re.search(r"version 2\b", done.stderr)
    assert (node.state / "quarantine" / node.journal_path(pod).name).read_bytes() == content


@pytest.mark.parametrize("flag", ["-v", "--version", "-version"])
def test_VER_8_the_version_is_told_without_environment_and_stdin(node: Node, flag: str) -> None:
    done = subprocess.run(
        [node.plugin, flag], stdin=subprocess.DEVNULL, env={}, capture_output=True, text=True, check=True
    )
    assert re.search(r"mooring \S+, commit \S+, built \S+", done.stdout)


def test_VER_8_without_a_command_the_plugin_says_what_it_is(node: Node) -> None:
    done = subprocess.run([node.plugin], stdin=subprocess.DEVNULL, env={}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert json.loads(done.stdout)["code"] == 4
    assert re.search(r"mooring \S+, commit \S+, built \S+", done.stderr)
