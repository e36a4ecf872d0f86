"""One cluster of two nodes for all end-to-end tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clusters import agents_away, installed, namespace, nodes  # noqa: F401  fixtures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.kubectl import Cluster

NAME = os.environ.get("MOORING_E2E_NAME", "e2e")
NODE_NETWORK = os.environ.get("MOORING_E2E_NETWORK", "192.168.249.0/24")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real cluster with the operator and its agents running."""
    with installed(NAME, NODE_NETWORK) as cluster:
        yield cluster
