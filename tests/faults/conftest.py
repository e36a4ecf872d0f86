"""A cluster of two nodes for tests that end parts of it: they are slow, and nothing else may use it meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clusters import agents_away, installed, namespace, nodes  # noqa: F401  fixtures
from tests.faults.looks import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.kubectl import Cluster

NAME = os.environ.get("MOORING_FAULTS_NAME", "faults")
NODE_NETWORK = os.environ.get("MOORING_FAULTS_NETWORK", "192.168.245.0/24")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the minutes that it takes to end things and to see them come back."""
    for item in items:
        if "faults" in item.path.parts and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(420))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real cluster with the operator and its agents running."""
    with installed(NAME, NODE_NETWORK) as cluster:
        yield cluster


@pytest.fixture
def places(cluster: Cluster, nodes: list[str]) -> list[Node]:  # noqa: F811  the fixture
    """The nodes, by what can be seen of them without asking anybody."""
    return [Node(cluster, name) for name in nodes]
