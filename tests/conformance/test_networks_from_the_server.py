"""NAD and ADD against a real API server: what is asked of it, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import NETWORKS, Node, stub

if TYPE_CHECKING:
    from tests.conformance.apiservers import Server


def _path(server: Server, kind: str, name: str) -> str:
    group = "/api/v1" if kind == "pods" else "/apis/k8s.cni.cncf.io/v1"
    return f"{group}/namespaces/{server.namespace}/{kind}/{name}"


def test_NAD_6_a_missing_network_fails_the_add_with_an_event_and_the_next_try_finds_it(
    node: Node, server: Server
) -> None:
    node.beat(age=31)
    uid = server.pod()
    pod = node.pod(namespace=server.namespace, uid=uid)
    conf = node.conf(stub(), kubeconfig=server.kubeconfig)
    for _ in range(3):
        error = node.add(conf, pod, "late").error
        assert f"{server.namespace}/late" in error["msg"]
    assert node.calls() == []
    (event,) = server.events()
    assert (event["type"], event["reason"]) == ("Warning", "NoNetworkFound")
    assert event["involvedObject"]["uid"] == uid
    assert f"{server.namespace}/late" in event["message"]
    server.network("late", stub("late"))
    node.add(conf, pod, "late").ok()
    assert node.ran() == ["ADD eth0", "ADD net1"]


def test_NAD_6_where_an_agent_keeps_the_cache_fresh_the_event_is_left_to_it(node: Node, server: Server) -> None:
    pod = node.pod(namespace=server.namespace, uid=server.pod())
    assert node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, "late").status != 0
    assert server.requests() == [("get", _path(server, "network-attachment-definitions", "late"))]
    [failure] = node.failures()
    assert (failure["reason"], failure["network"]) == ("NoNetworkFound", f"{server.namespace}/late")


def test_NAD_7_a_network_outside_a_fresh_cache_costs_one_request(node: Node, server: Server) -> None:
    server.network("a", stub("a", served=True))
    pod = node.pod(namespace=server.namespace)
    node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, "a").ok()
    assert server.requests() == [("get", _path(server, "network-attachment-definitions", "a"))]
    assert node.calls()[1]["conf"]["served"] is True


def test_NAD_7_instead_of_a_stale_copy_the_server_is_asked(node: Node, server: Server) -> None:
    node.beat(age=31)
    node.network("a", stub("a", copied=True), namespace=server.namespace)
    server.network("a", stub("a", served=True))
    pod = node.pod(namespace=server.namespace)
    node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, "a").ok()
    assert server.requests() == [("get", _path(server, "network-attachment-definitions", "a"))]
    assert node.calls()[1]["conf"]["served"] is True


def test_NAD_7_a_stale_copy_of_a_deleted_network_does_not_serve(node: Node, server: Server) -> None:
    node.beat(age=31)
    node.network("a", stub("a"), namespace=server.namespace)
    pod = node.pod(namespace=server.namespace, uid=server.pod())
    assert node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, "a").status != 0
    assert node.calls() == []


def test_NAD_7_with_annotations_and_a_fresh_cache_nothing_is_asked_of_the_server(node: Node, server: Server) -> None:
    node.network("a", stub("a"), namespace=server.namespace)
    conf, pod = node.conf(stub(), kubeconfig=server.kubeconfig), node.pod(namespace=server.namespace)
    node.add(conf, pod, "a,a").ok()
    node.delete(conf, pod).ok()
    assert server.requests() == []


def test_ADD_7_a_pod_that_the_server_does_not_know_is_an_error_to_try_again(node: Node, server: Server) -> None:
    pod = node.pod(namespace=server.namespace, name="nobody")
    error = node.call("ADD", node.conf(stub(), kubeconfig=server.kubeconfig), pod).error
    assert error["code"] == 11
    assert f"{server.namespace}/nobody" in error["msg"]
    assert node.calls() == []
    assert set(server.requests()) == {("get", _path(server, "pods", "nobody"))}


def test_ADD_7_a_pod_that_appears_while_the_call_waits_is_attached(node: Node, server: Server) -> None:
    server.network("a", stub("a"))
    pod = node.pod(namespace=server.namespace, uid="")
    running = node.start("ADD", node.conf(stub(), kubeconfig=server.kubeconfig), pod)
    while ("get", _path(server, "pods", "web")) not in server.requests():
        pass
    server.pod("web", {NETWORKS: "a"})
    running.end().ok()
    assert node.ran() == ["ADD eth0", "ADD net1"]


@pytest.mark.parametrize(
    ("annotations", "accepted"),
    [
        ({}, False),
        ({"kubernetes.io/config.source": "api"}, False),
        ({"kubernetes.io/config.source": "file"}, True),
        ({"kubernetes.io/config.mirror": "b2f8", "kubernetes.io/config.source": "file"}, True),
    ],
)
def test_ADD_8_another_uid_is_refused_except_for_static_pods(
    node: Node, server: Server, annotations: dict[str, str], accepted: bool
) -> None:
    uid = server.pod("web", annotations)
    conf, pod = node.conf(stub(), kubeconfig=server.kubeconfig), node.pod(namespace=server.namespace, uid="other")
    done = node.call("ADD", conf, pod)
    assert (done.status == 0) is accepted
    if not accepted:
        assert "other" in done.error["msg"]
        assert uid in done.error["msg"]
        assert node.calls() == []


def test_ADD_8_a_sandbox_without_uid_gets_the_one_of_the_server(node: Node, server: Server) -> None:
    uid = server.pod()
    pod = node.pod(namespace=server.namespace, uid="")
    node.call("ADD", node.conf(stub(), kubeconfig=server.kubeconfig), pod).ok()
    assert node.header(pod)["pod"] == {"namespace": server.namespace, "name": "web", "uid": uid}


def test_ADD_9_without_annotations_from_the_runtime_the_server_is_asked(node: Node, server: Server) -> None:
    server.network("a", stub("a"))
    uid = server.pod("web", {NETWORKS: "a"})
    pod = node.pod(namespace=server.namespace, uid=uid)
    node.call("ADD", node.conf(stub(), kubeconfig=server.kubeconfig), pod).ok()
    assert node.ran() == ["ADD eth0", "ADD net1"]
    assert server.requests()[0] == ("get", _path(server, "pods", "web"))
