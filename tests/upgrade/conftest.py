"""A cluster that has the release before, then this one, then the release before again. Its tests are in this order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from testbed import builder, releases, versions
from testbed.kubectl import CHECKOUT, Cluster, ask_testbed, eventually
from tests.e2e.clusters import files_on
from tests.faults.looks import Node
from tests.upgrade.pods import Pods

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = os.environ.get("MOORING_UPGRADE_NAME", "upgrade")
NODE_NETWORK = os.environ.get("MOORING_UPGRADE_NETWORK", "192.168.244.0/24")
NAMESPACE = "upgraded"
PAGE = CHECKOUT / "docs/upgrading.md"
SYSTEM = ("-n", "mooring-system")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time of a cluster, an installation and a roll-out."""
    for item in items:
        if "upgrade" in item.path.parts:
            item.add_marker(pytest.mark.timeout(300))


def commands(title: str) -> list[list[str]]:
    """Return the kubectl commands that the page has below a title. Fails where it has none."""
    _, _, text = PAGE.read_text().partition(f"\n## {title}\n")
    found = [shlex.split(line) for line in re.findall(r"^    (kubectl .*)$", text.partition("\n## ")[0], re.MULTILINE)]
    assert found, f"{PAGE} has no commands below {title!r}"
    return found


class Nodes:
    """What is installed on a cluster: follows the page that says how to change it, and waits for the nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.all = [Node(cluster, each["metadata"]["name"]) for each in cluster.get("nodes")["items"]]
        self.before = self.files()

    def files(self) -> dict[str, str]:
        return {node.name: files_on(self.cluster, node.name) for node in self.all}

    def follow(self, title: str, checkout: Path) -> None:
        """Run what the page says below a title, in a checkout."""
        for command in commands(title):
            words = [str(self.cluster.kubectl_path), *command[1:], f"--kubeconfig={self.cluster.kubeconfig}"]
            done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, timeout=120, check=False)
            print(f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}")
            assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"

    def wait(self, version: str) -> None:
        """Wait until operator, agents, plugins and revisions are those of a version, and all nodes are Ready."""
        image = builder.name(version)
        eventually(
            lambda: {each["spec"]["containers"][0]["image"] for each in self._pods()} == {image},
            seconds=120,
            what=f"that nothing but {image} runs",
        )
        for node in self.all:
            eventually(lambda node=node: self._revised(node, image), seconds=90, what=f"{image} on {node.name}")  # type: ignore[misc]
            assert node.run("/opt/cni/bin/mooring", "-v").split()[1].rstrip(",") == version
        self.cluster.wait("installation/default", "--for=condition=Available")
        self.cluster.wait("installation/default", "--for=condition=Progressing=False")
        self.cluster.wait("installation/default", "--for=condition=Degraded=False")

    def _pods(self) -> list[dict[str, dict[str, list[dict[str, str]]]]]:
        return list(self.cluster.get("pods", *SYSTEM)["items"])

    def _revised(self, node: Node, image: str) -> bool:
        state = self.cluster.get("nodestate", node.name)
        applied = state.get("status", {}).get("revision", "")
        if not applied or applied != state["spec"]["revision"] or not node.ready() or node.agent() is None:
            return False
        text = self.cluster.get("configmap", applied, *SYSTEM)["data"]["revision.json"]
        return f'"image":"{image}"' in text


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes that have both images, and nothing installed."""
    ask_testbed("up", "--name", NAME, "--nodes", "2", "--node-network", NODE_NETWORK)
    try:
        for archive in (ask_testbed("image", "--previous"), ask_testbed("image")):
            ask_testbed("load-image", archive.splitlines()[-1], "--name", NAME)
        yield Cluster(NAME)
    finally:
        if not os.environ.get("MOORING_E2E_KEEP"):
            ask_testbed("down", "--name", NAME)


@pytest.fixture(scope="session")
def nodes(cluster: Cluster) -> Nodes:
    """The nodes, as they are without Mooring."""
    return Nodes(cluster)


@pytest.fixture(scope="session")
def pods(cluster: Cluster, nodes: Nodes) -> Pods:
    """Pods on two further networks; those of the fixtures below are made while their version is installed."""
    return Pods(cluster, nodes.all, NAMESPACE)


@pytest.fixture(scope="session")
def previous(cluster: Cluster, nodes: Nodes, pods: Pods) -> None:
    """The release before, as its own manifests install it, and pods of its time."""
    checkout = releases.source(releases.PREVIOUS)
    cluster.kubectl("apply", "-k", str(checkout / "manifests/default"))
    cluster.wait("deployment/mooring-operator", *SYSTEM, "--for=condition=Available")
    cluster.kubectl("apply", "-f", str(checkout / "examples/installation.yaml"))
    soak = '{"spec": {"rollout": {"canary": {"soakSeconds": 5}}}}'
    cluster.kubectl("patch", "installation", "default", "--type=merge", "-p", soak)
    nodes.wait(releases.PREVIOUS.version)
    pods.make("kept")
    pods.make("old")


@pytest.fixture(scope="session")
def upgraded(nodes: Nodes, pods: Pods, previous: None) -> None:
    """This version, as the page says; pods of its time are made and one of the time before ends in the test."""
    assert previous is None
    nodes.follow("To this version", CHECKOUT)
    nodes.wait(versions.project())


@pytest.fixture(scope="session")
def returned(nodes: Nodes, upgraded: None) -> None:
    """The release before again, as the page says."""
    assert upgraded is None
    nodes.follow("Back to the version before", releases.source(releases.PREVIOUS))
    nodes.wait(releases.PREVIOUS.version)
