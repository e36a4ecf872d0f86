"""URLs of objects, without discovery."""

from __future__ import annotations

import pytest

from mooring.kube import resources


@pytest.mark.parametrize(
    ("resource", "arguments", "expected"),
    [
        (resources.NODES, {"name": "n1"}, "/api/v1/nodes/n1"),
        (resources.PODS, {}, "/api/v1/pods"),
        (resources.PODS, {"namespace": "a"}, "/api/v1/namespaces/a/pods"),
        (
            resources.PODS,
            {"namespace": "a", "name": "b", "subresource": "status"},
            "/api/v1/namespaces/a/pods/b/status",
        ),
        (
            resources.NADS,
            {"namespace": "a", "name": "b"},
            "/apis/k8s.cni.cncf.io/v1/namespaces/a/network-attachment-definitions/b",
        ),
        (resources.INSTALLATIONS, {"name": "default"}, "/apis/mooring.dev/v1alpha1/installations/default"),
        (resources.NODES, {"name": "../secrets"}, "/api/v1/nodes/..%2Fsecrets"),
    ],
)
def test_every_object_has_its_url(resource: resources.Resource, arguments: dict[str, str], expected: str) -> None:
    assert resource.path(**arguments) == expected


def test_a_namespace_for_a_kind_that_has_none_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Node has no namespace"):
        resources.NODES.path(namespace="default")


def test_an_object_of_a_namespaced_kind_needs_its_namespace() -> None:
    with pytest.raises(ValueError, match="Pod 'web' needs a namespace"):
        resources.PODS.path(name="web")


def test_the_core_group_has_no_name() -> None:
    assert (resources.PODS.group, resources.DAEMON_SETS.group) == ("", "apps")
