"""ADD and DEL as containerd, CRI-O and cri-dockerd call them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance import runtimes
from tests.conformance.node import ANNOTATIONS, NETWORKS, Json, Node, Pod, stub

if TYPE_CHECKING:
    from tests.conformance.apiservers import Server
    from tests.conformance.node import Outcome

CAPABLE = stub(capabilities=runtimes.CAPABILITIES)


def _filled(text: str, pod: Pod) -> str:
    """Put the sandbox's own in the places that are marked for it."""
    own = {"ID": pod.container, "NAME": pod.name, "NAMESPACE": pod.namespace, "UID": pod.uid, "NETNS": pod.netns}
    for mark, value in own.items():
        text = text.replace(f"@{mark}@", value)
    return text


def _run(node: Node, verb: str, call: runtimes.Call, pod: Pod, conf: Json, networks: str) -> Outcome:
    """Call the plugin as that runtime does."""
    told = {"CNI_ARGS": _filled(call.arguments, pod), "CNI_NETNS": _filled(call.netns, pod)}
    stdin = _filled(call.stdin(conf, {NETWORKS: networks}), pod)
    return node.call(verb, stdin, pod, env={**call.environment, **told})


def _expected(call: runtimes.Call) -> list[str]:
    return ["eth0"] if call.annotations == "null" else ["eth0", "net1"]


@pytest.mark.parametrize("call", runtimes.CALLS, ids=lambda call: call.name)
def test_ADD_9_each_runtimes_way_of_calling_attaches_what_the_pod_asks_for(
    node: Node, server: Server, call: runtimes.Call
) -> None:
    uid = server.pod("web", {NETWORKS: "a"})
    node.network("a", stub("a"), namespace=server.namespace)
    pod = node.pod(namespace=server.namespace, uid=uid)
    conf = node.conf(CAPABLE, kubeconfig=server.kubeconfig)
    _run(node, "ADD", call, pod, conf, "a").ok()
    assert node.ran("ADD") == _expected(call)
    assert node.header(pod)["pod"] == {"namespace": server.namespace, "name": "web", "uid": uid}
    assert len(server.requests()) == (1 if call.annotations == "absent" else 0)
    _run(node, "DEL", call, pod, conf, "a").ok()
    assert node.ran("DEL") == _expected(call)[::-1]
    assert node.left() == []


@pytest.mark.parametrize(
    "call", [call for call in runtimes.CALLS if call.annotations != "absent"], ids=lambda call: call.name
)
def test_RTC_3_what_each_runtime_gives_reaches_the_default_network_as_it_is(node: Node, call: runtimes.Call) -> None:
    node.network("a", stub("a", capabilities=runtimes.CAPABILITIES))
    pod = node.pod()
    _run(node, "ADD", call, pod, node.conf(CAPABLE), "a").ok()
    first, *others = node.calls("ADD")
    given = dict(first["conf"]["runtimeConfig"])
    annotations = given.pop(ANNOTATIONS)
    assert given == json.loads(_filled(json.dumps(call.runtime_config), pod))
    assert annotations == (None if call.annotations == "null" else runtimes.KUBELETS | {NETWORKS: "a"})
    assert len(others) == (0 if call.annotations == "null" else 1)
    assert all("runtimeConfig" not in other["conf"] for other in others)


@pytest.mark.parametrize("call", runtimes.CALLS, ids=lambda call: call.name)
def test_RTC_7_each_runtimes_arguments_and_environment_reach_the_delegates(node: Node, call: runtimes.Call) -> None:
    pod = node.pod()
    conf = node.conf(CAPABLE)
    _run(node, "ADD", call, pod, conf, "").ok()
    environment = node.calls("ADD")[0]["env"]
    assert environment["CNI_ARGS"].startswith(_filled(call.arguments, pod))
    assert call.environment.items() <= environment.items()
    assert environment["CNI_NETNS"] == pod.netns
