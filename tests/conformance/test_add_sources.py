"""ADD: what the pod asks for, where that comes from, and when nothing is needed to know it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance import apiservers
from tests.conformance.node import NETWORKS, Json, Node, chain, stub


@pytest.mark.parametrize(
    "runtime",
    [{"io.kubernetes.cri.pod-annotations": value} for value in (dict[str, str](), None)],
    ids=["empty", "null"],
)
def test_ADD_9_annotations_that_the_runtime_gives_are_the_truth_even_when_empty(node: Node, runtime: Json) -> None:
    conf = node.conf(stub(), runtimeConfig=runtime, kubeconfig=str(node.root / "nowhere"))
    node.call("ADD", conf, node.pod()).ok()
    assert node.ran() == ["ADD eth0"]


def test_ADD_9_with_annotations_from_the_runtime_no_kubeconfig_is_needed(node: Node) -> None:
    node.network("a", stub("a"))
    node.add(node.conf(stub()), node.pod(), "a").ok()
    assert node.ran() == ["ADD eth0", "ADD net1"]


@pytest.mark.parametrize("kubeconfig", ["missing", "garbage", "refused"])
def test_ADD_9_without_them_a_server_that_cannot_be_asked_is_an_error_to_try_again(node: Node, kubeconfig: str) -> None:
    path = node.root / "kubeconfig"
    match kubeconfig:
        case "garbage":
            path.write_text("{")
        case "refused":
            path.write_text(
                json.dumps(
                    {
                        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                        "users": [{"name": "u", "user": {}}],
                        "current-context": "x",
                    }
                )
            )
    error = node.call("ADD", node.conf(stub(), kubeconfig=str(path)), node.pod()).error
    assert error["code"] == 11
    assert node.calls() == []


ANSWERS: dict[str, tuple[int, bytes]] = {
    "busy": (500, b""),
    "unavailable": (503, b"{}"),
    "throttled": (429, b""),
    "unknown": (401, b"{}"),
    "forbidden": (403, b"not json"),
    "moved": (302, b""),
    "login": (200, b"<html>please log in</html>"),
    "list": (200, b"[]"),
    "nothing": (200, b"null"),
    "empty": (200, b"{}"),
    "another": (200, b'{"kind": "Pod", "metadata": {"name": "other", "namespace": "another"}}'),
    "cut": (200, b'{"metadata": {'),
    "mistyped": (200, b'{"metadata": {"annotations": ["a"]}}'),
    "endless": (200, b'{"metadata": {"annotations": {"a": "' + b"x" * (16 << 20) + b'"}}}'),
}


def test_ADD_9_an_answer_that_is_no_pod_is_an_error_to_try_again(node: Node) -> None:
    node.netns = None
    with apiservers.answering(node.root, ANSWERS) as kubeconfig:
        conf = node.conf(stub(), kubeconfig=kubeconfig)
        calls = {name: node.start("ADD", conf, node.pod(namespace=name)) for name in ANSWERS}
        errors = {name: call.end().error for name, call in calls.items()}
    assert {name: error["code"] for name, error in errors.items()} == dict.fromkeys(ANSWERS, 11)
    assert node.calls() == []


def test_ADD_9_without_annotations_and_without_kubeconfig_only_delegates_run(node: Node) -> None:
    node.call("ADD", node.conf(stub()), node.pod()).ok()
    assert node.ran() == ["ADD eth0"]


@pytest.mark.parametrize("annotations", [[], "a", {NETWORKS: ["a"]}, {NETWORKS: 3}])
def test_ADD_9_annotations_that_are_no_object_of_strings_are_refused(node: Node, annotations: Any) -> None:
    conf = node.conf(stub(), runtimeConfig={"io.kubernetes.cri.pod-annotations": annotations})
    assert node.call("ADD", conf, node.pod()).error["code"] == 7
    assert node.calls() == []


def test_ADD_10_the_readiness_file_is_waited_for(node: Node) -> None:
    file = node.root / "ready"
    running = node.start("ADD", node.conf(stub(), readinessindicatorfile=str(file)), node.pod())
    file.touch()
    running.end().ok()
    assert node.ran() == ["ADD eth0"]


def test_ADD_10_a_readiness_file_that_never_comes_is_an_error_to_try_again(node: Node) -> None:
    file = str(node.root / "ready")
    conf = node.conf(stub(), readinessindicatorfile=file, readinessTimeout=0.2)
    error = node.add(conf, node.pod()).error
    assert error["code"] == 11
    assert file in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("listed", [False, True], ids=["conf", "conflist"])
def test_ADD_12_a_pod_without_networks_needs_nothing_of_ours_and_sees_the_delegates_own_bytes(
    node: Node, listed: bool
) -> None:
    text = '{ "cniVersion":"1.0.0",\n\t"ips": [ {"address":"10.1.1.2/24"} ], "unknown": 12345678901234567890,"dns":{} }'
    node.answer(other__ADD={"stdout": text})
    network = chain("n", {"type": "stub"}, {"type": "other"}) if listed else stub("n", kind="other")
    # A file stands where the folder of the state would have to be.
    file = node.root / "file"
    file.touch()
    done = node.add(node.conf(network, cniDir=str(file), kubeconfig=str(node.root / "nowhere")), node.pod())
    done.ok()
    assert done.stdout == text
