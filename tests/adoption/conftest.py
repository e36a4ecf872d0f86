"""A cluster of two nodes that Multus serves, thin or thick, with ten attached pods on each; one for each form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import multus
from testbed.kubectl import Cluster, ask_testbed, is_up
from tests import rights
from tests.adoption.worlds import World

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("MOORING_ADOPTION_NAME", "adoption")
NODE_NETWORK = os.environ.get("MOORING_ADOPTION_NETWORK", "192.168.243.0/24")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each step the minutes that two nodes take."""
    for item in items:
        if "adoption" in item.path.parts and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="module", params=["thin", "thick"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The cluster, with Multus and its pods."""
    if os.geteuid() != 0:
        pytest.fail("these tests make nodes out of namespaces: they need root")
    if is_up(NAME):
        pytest.fail(f"cluster {NAME} is up, and these tests need a new one: python -m testbed down --name {NAME}")
    form: multus.Form = request.param
    ask_testbed("up", "--name", NAME, "--nodes", "2", "--node-network", NODE_NETWORK)
    try:
        ask_testbed("load-image", str(multus.archive()), "--name", NAME)
        ask_testbed("load-image", ask_testbed("image").splitlines()[-1], "--name", NAME)
        world = World(Cluster(NAME), form)
        world.deploy_multus()
        with rights.kept("adoption", Path(ask_testbed("audit-log", "--name", NAME).splitlines()[-1])):
            yield world
    finally:
        if not os.environ.get("MOORING_E2E_KEEP"):
            ask_testbed("down", "--name", NAME)
