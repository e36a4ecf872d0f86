"""NAD and CFG: what a pod may ask for at most, and what that costs the node."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import apiservers
from tests.conformance.node import DEFAULT_NETWORK, NETWORKS, Json, Node, Outcome, Pod, chain, stub

if TYPE_CHECKING:
    from tests.conformance.apiservers import Server

MEBIBYTE = 1 << 20
# The API server refuses more than this in all annotations of an object, keys included.
ANNOTATIONS_BYTES = 256 * 1024
# A process that Python starts is charged with Python's own memory: this one is small, and forks.
LAUNCHER = """
import os, sys
child = os.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _measured(node: Node, verb: str, conf: Json, pod: Pod, annotations: dict[str, str]) -> tuple[Outcome, int]:
    """Call the plugin; return what came of it and the most memory that it had, in bytes."""
    command, environment, stdin = node.command(verb, conf, pod, annotations=annotations)
    assert command[0] == "nsenter"
    file = node.root / "rss"
    launcher = [sys.executable, "-S", "-c", LAUNCHER, str(file), "/usr/bin/nsenter", *command[1:]]
    done = subprocess.run(launcher, input=stdin, env=environment, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr), int(file.read_text())


@pytest.mark.parametrize("listed", [False, True], ids=["text", "JSON"])
@pytest.mark.parametrize(("keys", "most"), [({}, 64), ({"maxNetworks": 2}, 2)])
def test_CFG_9_more_networks_than_a_pod_may_have_are_refused_before_anything_is_looked_up(
    node: Node, keys: Json, most: int, listed: bool
) -> None:
    node.netns = None
    with apiservers.absent(node.root) as away:
        conf = node.conf(stub(), kubeconfig=away.kubeconfig, **keys)
        names = ["nowhere"] * (most + 1)
        error = node.add(conf, node.pod(), [{"name": name} for name in names] if listed else ",".join(names)).error
        assert away.knocks() == 0
    assert error["code"] == 7
    for word in (NETWORKS, f" {most + 1} ", f" {most} ", "maxNetworks"):
        assert word in error["msg"]
    assert node.calls() == []


def test_CFG_9_as_many_networks_as_a_pod_may_have_are_attached_beside_the_default_ones(node: Node) -> None:
    for name in ("one", "two"):
        node.network(name, stub(name), namespace="kube-system")
    node.network("a", stub("a"))
    conf = node.conf(stub(), maxNetworks=3, defaultNetworks=["one", "two"])
    node.add(conf, node.pod(), "a,a,a").ok()
    assert len(node.calls("ADD")) == 6


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", [3], 1025, True])
def test_CFG_9_a_bound_that_is_no_whole_number_is_refused(node: Node, value: Any) -> None:
    error = node.add(node.conf(stub(), maxNetworks=value), node.pod()).error
    assert error["code"] == 7
    assert "$.maxNetworks" in error["msg"]


def test_NAD_9_a_network_that_is_asked_for_often_is_looked_up_once(node: Node, server: Server) -> None:
    server.network("a", stub("a"))
    pod = node.pod(namespace=server.namespace)
    request = [{"name": "a", "cni-args": {"number": number}} for number in range(3)]
    node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, request).ok()
    assert len(server.requests()) == 1
    given = [call["conf"].get("args", {}).get("cni") for call in node.calls()]
    assert given == [None, {"number": 0}, {"number": 1}, {"number": 2}], "no request sees another one's arguments"


def _large(size: int, plugins: int = 1) -> Json:
    return chain("large", *[stub("large", filling="x" * (size // plugins)) for _ in range(plugins)])


@pytest.mark.parametrize(
    ("network", "request_"),
    [
        (_large(200 * 1024), [{"name": "large"}] * 64),
        (_large(1000, 500), [{"name": "large", "cni-args": {"x": "y" * 20_000}}]),
        (_large(1000, 100), [{"name": "large"}] * 64),
        (chain("large", *[stub("large")] * 2000), [{"name": "large"}]),
    ],
    ids=["large networks", "large arguments", "many plugins in all", "many plugins in one"],
)
def test_NAD_9_networks_that_are_too_large_together_are_refused_before_anything_runs(
    node: Node, network: Json, request_: Any
) -> None:
    node.network("large", network)
    error = node.add(node.conf(stub()), node.pod(), request_).error
    assert error["code"] == 7
    assert "default/large" in error["msg"]
    assert "at most 1024" in error["msg"] or "4 MiB or 1024 plugins" in error["msg"]
    assert node.calls() == []


def _filled(text: str, item: str) -> str:
    """Repeat an item until no more goes into an annotation."""
    room = ANNOTATIONS_BYTES - len(NETWORKS) - len(text)
    return (item + ",") * (room // (len(item) + 1) - 1) + item


def _object_of(entries: str) -> str:
    return '[{"name": "a", "cni-args": {' + entries + "}}]"


def _many_arguments() -> str:
    room = ANNOTATIONS_BYTES - len(NETWORKS) - 100
    return _object_of(",".join(f'"{number:05}":1' for number in range(room // 10)))


def _large_elements(name: str) -> str:
    element = {"name": name, "cni-args": {"x": ""}}
    room = (ANNOTATIONS_BYTES - len(NETWORKS)) // 64 - len(json.dumps(element)) - 4
    element["cni-args"] = {"x": "y" * room}
    return json.dumps([element] * 64)


LARGEST = {
    "names": _filled("", "a"),
    "objects": "[" + _filled("[]", "{}") + "]",
    "numbers": "[" + _filled("[]", "3") + "]",
    "named objects": "[" + _filled("[]", '{"name":"a"}') + "]",
    "arguments": _many_arguments(),
    "large elements": _large_elements("a"),
    "unknown keys": '[{"name":"a",' + ",".join(f'"{number:05}":1' for number in range(25_000)) + "}]",
    "addresses": '[{"name":"a","ips":[' + _filled("x" * 100, '"10.0.0.1"') + "]}]",
    "64 of a network of 200 KB": ",".join(["large"] * 64),
    "64 of a network that just fits": ",".join(["fits"] * 64),
    "64 that just fit with large arguments": _large_elements("both"),
}


@pytest.mark.parametrize("key", [NETWORKS, DEFAULT_NETWORK], ids=["networks", "default"])
@pytest.mark.parametrize("what", list(LARGEST))
def test_NAD_9_the_largest_annotation_takes_less_than_64_mebibytes(node: Node, what: str, key: str) -> None:
    node.network("a", chain("a", stub("a"), stub("a", kind="other")), namespace="kube-system")
    node.network("a", chain("a", stub("a"), stub("a", kind="other")))
    node.network("large", _large(200 * 1024))
    node.network("fits", _large(4 * MEBIBYTE // 64 - 500))
    node.network("both", _large(3 * MEBIBYTE // 64, plugins=2))
    conf, pod = node.conf(stub()), node.pod()
    text = LARGEST[what]
    assert len(text) + len(NETWORKS) <= ANNOTATIONS_BYTES
    done, memory = _measured(node, "ADD", conf, pod, {key: text})
    assert "goroutine" not in done.stderr
    assert memory < 64 * MEBIBYTE, f"{memory / MEBIBYTE:.0f} MiB, status {done.status}"
    undone, memory = _measured(node, "DEL", conf, pod, {key: text})
    undone.ok()
    assert memory < 64 * MEBIBYTE, f"{memory / MEBIBYTE:.0f} MiB to undo it"
