"""SEL and ADD: isolation holds whichever annotation asks; called as Multus the plugin keeps Multus' manners."""

from __future__ import annotations

import pytest

from tests.conformance.node import DEFAULT_NETWORK, NETWORKS, Node, stub


@pytest.mark.parametrize("asked", ["admin", "kube-system/admin", '[{"name": "admin"}]', "foreign/admin"])
def test_SEL_20_isolation_holds_for_the_namespace_that_is_implied_too(node: Node, asked: str) -> None:
    for namespace in ("kube-system", "foreign"):
        node.network("admin", stub("admin"), namespace=namespace)
    conf = node.conf(stub(), namespaceIsolation=True, multusNamespace="kube-system")
    error = node.add(conf, node.pod(), annotations={DEFAULT_NETWORK: asked}).error
    assert error["code"] == 7
    assert DEFAULT_NETWORK in error["msg"]
    assert "globalNamespaces" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ("admin", {"globalNamespaces": "kube-system"}),
        ("kube-system/admin", {"globalNamespaces": "other, kube-system"}),
        ("tenant/admin", {}),
        ("admin", {"multusNamespace": "tenant"}),
    ],
)
def test_SEL_20_a_global_namespace_and_the_pods_own_are_open_to_the_default_network(
    node: Node, asked: str, keys: dict[str, str]
) -> None:
    for namespace in ("kube-system", "tenant"):
        node.network("admin", stub("admin", kind="other"), namespace=namespace)
    conf = node.conf(stub(), namespaceIsolation=True, **keys)
    node.add(conf, node.pod(namespace="tenant"), annotations={DEFAULT_NETWORK: asked}).ok()
    assert [call["type"] for call in node.calls()] == ["other"]


def test_SEL_20_the_plugin_called_multus_lets_the_default_network_pass_as_multus_does(node: Node) -> None:
    (node.root / "multus").symlink_to(node.plugin)
    for namespace in ("kube-system", "foreign"):
        node.network("admin", stub("admin", kind="other"), namespace=namespace)
    conf = node.conf(stub(), namespaceIsolation=True)
    for asked in ("admin", "foreign/admin"):
        node.forget_calls()
        program = node.root / "multus"
        node.add(conf, node.pod(), annotations={DEFAULT_NETWORK: asked}, program=program).ok()
        assert [call["type"] for call in node.calls()] == ["other"]
        assert node.add(conf, node.pod(), annotations={NETWORKS: "foreign/admin"}, program=program).error["code"] == 7
