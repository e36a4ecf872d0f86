"""What crosses the plugin's border: the environment in, errors, logs and files of the contract out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.conformance.node import NETWORKS, Json, Node, stub

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTRACT = Path(__file__).parents[2] / "plugin" / "contract"


@pytest.mark.parametrize(
    "environment",
    [
        {"CNI_CONTAINERID": None},
        {"CNI_CONTAINERID": ""},
        {"CNI_CONTAINERID": "a/b"},
        {"CNI_CONTAINERID": ".."},
        {"CNI_IFNAME": None},
        {"CNI_IFNAME": "../eth0"},
        {"CNI_IFNAME": "sixteen-bytes-xx"},
        {"CNI_IFNAME": "eth0:1"},
        {"CNI_NETNS": None},
        {"CNI_PATH": None},
        {"CNI_COMMAND": "add"},
        {"CNI_COMMAND": "ADD DEL"},
        {"CNI_COMMAND": None},
    ],
    ids=str,
)
def test_a_missing_or_impossible_variable_is_refused_with_code_4(node: Node, environment: Mapping[str, Any]) -> None:
    error = node.call("ADD", node.conf(stub()), node.pod(), env=environment).error
    assert error["code"] == 4
    assert next(iter(environment)) in error["msg"]
    assert node.calls() == []
    assert node.left() == []


@pytest.mark.parametrize("netns", ["/proc/self/ns/net", "/nowhere", "/etc/passwd", "/"])
def test_what_is_no_network_namespace_of_a_pod_is_refused_before_anything_runs(node: Node, netns: str) -> None:
    error = node.add(node.conf(stub()), node.pod(), env={"CNI_NETNS": netns}).error
    assert netns in error["msg"]
    assert node.calls() == []
    assert node.left() == []


def test_a_delegate_is_given_the_environment_of_the_runtime_and_nothing_else_of_cni(node: Node) -> None:
    pod = node.pod()
    node.add(node.conf(stub()), pod, env={"HTTPS_PROXY": "http://p", "CNI_SOMETHING": "x"}).ok()
    environment = node.calls()[0]["env"]
    assert environment["HTTPS_PROXY"] == "http://p"
    names = {name for name in environment if name.startswith("CNI_")}
    assert names == {f"CNI_{name}" for name in ("ARGS", "COMMAND", "CONTAINERID", "IFNAME", "NETNS", "PATH")}
    assert environment["CNI_PATH"].split(":") == [str(node.bin)]


def test_what_a_delegate_says_on_stderr_reaches_the_runtimes_log_within_bounds(node: Node) -> None:
    node.answer(stub__ADD={"stderr": "a remark\n" + "x" * (1 << 20)})
    done = node.add(node.conf(stub()), node.pod())
    done.ok()
    assert "a remark" in done.stderr
    assert len(done.stderr) < 200_000


@pytest.mark.parametrize("level", ["error", "verbose"])
def test_no_secret_of_a_network_is_in_logs_errors_or_failures(node: Node, level: str) -> None:
    log = node.root / "log"
    secret: Json = {"kubernetes": {"k8s_auth_token": "hunter2"}, "args": {"cni": {"password": "hunter2"}}}
    node.network("a", stub("a", kind="other", **secret))
    conf = node.conf(stub(**secret), logLevel=level, logFile=str(log))
    done, pod = node.add(conf, node.pod(), "a"), node.pod()
    done.ok()
    node.answer(other__ADD={"error": {"code": 7, "msg": "no"}}, other__DEL={"error": {"code": 7, "msg": "no"}})
    failed = node.add(conf, pod, "a")
    undone = node.delete(conf, pod)
    assert failed.status == undone.status == 1
    texts = [done.stderr, failed.stderr, failed.stdout, undone.stderr, undone.stdout, log.read_text()]
    assert not [text for text in [*texts, json.dumps(node.failures())] if "hunter2" in text]


def test_files_that_hold_configurations_are_for_root_alone(node: Node) -> None:
    node.network("a", stub("a"))
    node.answer(stub__DEL={"error": {"code": 7, "msg": "no"}})
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    assert node.delete(conf, pod).status == 1
    folders = [node.state / name for name in ("attachments", "results")]
    files = [path for folder in folders for path in folder.iterdir()] + [node.state / "failures.jsonl"]
    assert len(files) == 4
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}


def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((CONTRACT / f"{name}.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def test_the_journal_of_every_state_keeps_the_contract(node: Node) -> None:
    for name in ("a", "b"):
        node.network(name, stub(name, capabilities={"ips": True}))
    conf = node.conf(stub())
    request = [{"name": "a", "ips": ["10.0.0.1/24"], "default-route": []}, {"name": "b", "interface": "größe"}]
    validator = _validator("journal")
    attached, undoing = node.pod(), node.pod()
    for pod in (attached, undoing):
        node.add(conf, pod, request).ok()
    node.answer(stub__DEL__net1={"error": {"code": 7, "msg": "no", "details": "d"}})
    assert node.delete(conf, undoing).status == 1
    rolled = node.pod()
    node.answer(stub__ADD__net1={"error": {"code": 7, "msg": "no"}}, stub__DEL={"error": {"code": 7, "msg": "no"}})
    assert node.add(conf, rolled, request).status == 1
    kinds = set()
    for pod in (attached, undoing, rolled):
        for record in node.journal(pod):
            validator.validate(record)
            kinds.add((record["type"], record.get("verb"), "error" in record))
    assert kinds == {
        ("header", None, False),
        ("intents", None, False),
        *((kind, verb, False) for kind in ("begun", "result") for verb in ("ADD", "DEL")),
        *(("result", verb, True) for verb in ("ADD", "DEL")),
    }


def test_a_failed_call_is_one_line_of_failures_that_keeps_the_contract(node: Node) -> None:
    node.network("a", stub("a"))
    conf, pod = node.conf(stub(), cniVersion="1.1.0"), node.pod()
    node.answer(
        stub__ADD__net1={"error": {"code": 11, "msg": "no\nluck", "details": "d"}},
        stub__CHECK={"error": {"code": 7, "msg": "no"}},
    )
    assert node.add(conf, pod, "a").status == 1
    node.add(conf, pod).ok()
    assert node.call("CHECK", conf | {"prevResult": {"cniVersion": "1.0.0"}}, pod).status == 1
    node.delete(conf, pod).ok()
    failures = node.failures()
    validator = _validator("failure")
    for failure in failures:
        validator.validate(failure)
    assert [(failure["verb"], failure["network"], failure["code"]) for failure in failures] == [
        ("ADD", "default/a", 11),
        ("CHECK", "pod-network", 7),
    ]
    assert failures[0]["containerID"] == pod.container
    assert failures[0]["pod"] == {"namespace": "default", "name": "web", "uid": pod.uid}
    assert "no\nluck" in failures[0]["msg"]


def test_the_failures_are_bounded_and_the_newest_stay(node: Node) -> None:
    line = json.dumps({"version": 1, "filler": "x" * 1000})
    (node.state / "failures.jsonl").write_text(f"{line}\n" * 1050)
    assert node.add(node.conf(stub(kind="nowhere")), node.pod()).status == 1
    failures = node.failures()
    assert (node.state / "failures.jsonl").stat().st_size <= 1 << 20
    assert "nowhere" in failures[-1]["msg"]
    assert len(failures) > 100


def test_failures_of_many_calls_at_once_are_all_there(node: Node) -> None:
    conf = node.conf(stub(kind="nowhere"))
    calls = [node.start("ADD", conf, node.pod(), annotations={NETWORKS: ""}) for _ in range(30)]
    assert {call.end().status for call in calls} == {1}
    assert len(node.failures()) == 30
