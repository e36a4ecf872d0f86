"""One cluster of two nodes for all end-to-end tests, with Mooring installed as the README says."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from testbed.kubectl import Cluster, eventually, is_up, testbed

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "e2e"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real cluster with the operator and its agents running."""
    if os.geteuid() != 0:
        pytest.fail("the end-to-end tests make nodes out of namespaces: they need root")
    if not is_up(NAME):
        testbed("up", "--name", NAME, "--nodes", "2", "--node-network", "192.168.249.0/24")
    try:
        testbed("load-image", testbed("image").splitlines()[-1], "--name", NAME)
        cluster = Cluster(NAME)
        cluster.kubectl("apply", "-k", "manifests/default")
        cluster.wait("deployment/mooring-operator", "--namespace=mooring-system", "--for=condition=Available")
        cluster.kubectl("apply", "-f", "examples/installation.yaml")
        cluster.wait("installation/default", "--for=condition=Available")
        yield cluster
    finally:
        if not os.environ.get("MOORING_E2E_KEEP"):
            testbed("down", "--name", NAME)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    eventually(
        lambda: cluster.run("get", "serviceaccount", "default", "-n", name).returncode == 0,
        seconds=30,
        what=f"the service account of namespace {name}",
    )
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def nodes(cluster: Cluster) -> list[str]:
    """The names of the nodes."""
    return sorted(node["metadata"]["name"] for node in cluster.get("nodes")["items"])
