"""From the release before to this one and back, as docs/upgrading.md says, with pods that run all the while."""

from __future__ import annotations

import json
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from testbed import releases, versions
from testbed.kubectl import CHECKOUT, eventually

if TYPE_CHECKING:
    from testbed.kubectl import Cluster
    from tests.faults.looks import Interfaces
    from tests.upgrade.conftest import Nodes
    from tests.upgrade.pods import Pods


def test_the_release_before_is_in_this_history_and_is_another_version() -> None:
    release = releases.PREVIOUS
    subprocess.run(["git", "merge-base", "--is-ancestor", release.commit, "HEAD"], cwd=CHECKOUT, check=True)
    project = tomllib.loads((releases.source(release) / "pyproject.toml").read_text())
    assert project["project"]["version"] == release.version != versions.project()


@pytest.mark.usefixtures("upgraded")
def test_an_upgrade_leaves_running_pods_as_they_are(pods: Pods) -> None:
    pods.unchanged()


@pytest.mark.usefixtures("upgraded")
def test_pods_after_the_upgrade_get_their_networks_and_those_of_before_leave_nothing(pods: Pods) -> None:
    pods.make("new")
    pods.unchanged()
    pods.end("old")
    pods.unchanged()


@pytest.mark.usefixtures("upgraded")
def test_every_attachment_is_in_a_slice_after_the_upgrade(pods: Pods, nodes: Nodes) -> None:
    def further(found: dict[str, Interfaces]) -> dict[str, Interfaces]:
        return {name: {key: each[key] for key in each if key != "eth0"} for name, each in found.items()}

    for node in nodes.all:
        made = further({name: seen.interfaces for name, (where, seen) in pods.made.items() if where is node})
        assert made
        eventually(
            lambda node=node, made=made: further(node.sliced(pods.namespace)) == made,  # type: ignore[misc]
            seconds=30,
            what=f"what pods of {node.name} hold in its slices",
        )


@pytest.mark.usefixtures("returned")
def test_the_way_back_leaves_running_pods_as_they_are(pods: Pods) -> None:
    pods.unchanged()


@pytest.mark.usefixtures("returned")
def test_pods_after_the_way_back_get_their_networks_and_those_of_before_leave_nothing(pods: Pods) -> None:
    pods.make("back")
    pods.end("new")
    pods.unchanged()


@pytest.mark.usefixtures("returned")
def test_the_release_before_takes_all_off_the_nodes_that_the_newer_one_brought(
    cluster: Cluster, nodes: Nodes, pods: Pods
) -> None:
    pods.end("kept")
    pods.end("back")
    cluster.kubectl("delete", "installation", "default", "--timeout=120s")
    left = {
        name: sorted(set(now.splitlines()) ^ set(nodes.before[name].splitlines()))
        for name, now in nodes.files().items()
    }
    print(json.dumps(left, indent=1))
    assert nodes.files() == nodes.before
