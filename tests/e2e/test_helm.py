"""Mooring by helm, from nothing to nothing, with both versions of it that people have; then by kubectl, twice.

On a cluster of its own: at its end there is no Mooring any more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from testbed.helm import CHART, VERSIONS, Helm
from testbed.kubectl import Cluster, ask_testbed, eventually
from tests.e2e.clusters import files_on
from tests.e2e.objects import bridge, network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = f"{os.environ.get('MOORING_E2E_NAME', 'e2e')}-helm"
SYSTEM = "mooring-system"
CONF = "/etc/cni/net.d/00-multus.conf"
# A canary is watched for a second, not for a minute.
SOON = "--set=installation.spec.rollout.canary.soakSeconds=1"
NADS = "network-attachment-definitions.k8s.cni.cncf.io"
# The operator made it for itself; no release knows of it.
CERTIFICATE = "Secret mooring-webhook-tls"
# kubectl always sends the selector of a budget, equal or not: its API says `patchStrategy: replace`.
ALWAYS_SENT = "poddisruptionbudget.policy/mooring-operator configured"

# The first test waits for the cluster too.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with nothing of Mooring."""
    ask_testbed("up", "--name", NAME, "--nodes", "2", "--node-network", "192.168.239.0/24")
    try:
        ask_testbed("load-image", ask_testbed("image").splitlines()[-1], "--name", NAME)
        made = Cluster(NAME)
        made.kubectl("apply", "-f", "manifests/base/namespace.yaml")
        yield made
    finally:
        if not os.environ.get("MOORING_E2E_KEEP"):
            ask_testbed("down", "--name", NAME)


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> list[str]:
    """The names of the nodes."""
    return sorted(node["metadata"]["name"] for node in cluster.get("nodes")["items"])


@pytest.fixture(scope="module")
def before(cluster: Cluster, nodes: list[str]) -> dict[str, str]:
    """What is on the nodes before Mooring is."""
    return {node: files_on(cluster, node) for node in nodes}


def left(cluster: Cluster) -> list[str]:
    """Return what there is of a release, of its hooks, and of what the operator makes."""
    kinds = "deployments,daemonsets,jobs,configmaps,secrets,serviceaccounts,roles,rolebindings,services,pdb"
    found = cluster.get(kinds, "-n", SYSTEM)["items"]
    roles = cluster.get("clusterroles,clusterrolebindings,validatingwebhookconfigurations,validatingadmissionpolicies")
    names = [f"{each['kind']} {each['metadata']['name']}" for each in (*found, *roles["items"])]
    return sorted(name for name in names if "mooring" in name)


@pytest.mark.parametrize("version", sorted(VERSIONS, reverse=True))
def test_install_test_upgrade_and_uninstall(
    version: str, cluster: Cluster, nodes: list[str], before: dict[str, str], tmp_path: Path
) -> None:
    helm = Helm(version, tmp_path, cluster.kubeconfig)
    there = ("mooring", f"--namespace={SYSTEM}")
    print(helm("install", *there[:1], CHART, there[1], SOON))
    assert cluster.get("installation", "default")["spec"].get("plugin", {}).get("logLevel") != "debug"

    tested = helm.run("test", *there)
    said = tested.stdout + tested.stderr
    print(said)
    assert tested.returncode == 0
    for sentence in (
        f"{len(nodes)} of {len(nodes)} nodes are Ready.",
        "Admission refuses a network that is not JSON.",
        "Admission takes a network without mistakes.",
    ):
        assert sentence in said
    cluster.apply(network("default", "stays", bridge("stays", "10.98.0.0/24")))

    print(helm("upgrade", *there[:1], CHART, there[1], SOON, "--set=installation.spec.plugin.logLevel=debug"))
    for node in nodes:
        eventually(
            lambda node=node: '"logLevel":"debug"' in cluster.on_node(node, "cat", CONF).replace(" ", ""),  # type: ignore[misc]
            seconds=90,
            what=f"the new log level on {node}",
        )

    print(helm("uninstall", *there))
    assert {node: files_on(cluster, node) for node in nodes} == before
    assert cluster.get("nodestates")["items"] == []
    eventually(lambda: left(cluster) == [CERTIFICATE], seconds=30, what="the end of what the release had")
    assert cluster.get("net-attach-def", "stays", "-n", "default")
    assert cluster.get("crd", NADS)


def test_applied_again_by_kubectl_nothing_changes_that_the_operator_wrote(
    cluster: Cluster, before: dict[str, str]
) -> None:
    assert before
    cluster.kubectl("apply", "-k", "manifests/default")
    cluster.wait("deployment/mooring-operator", f"--namespace={SYSTEM}", "--for=condition=Available")
    cluster.kubectl("apply", "-f", "examples/installation.yaml")
    cluster.wait("installation/default", "--for=condition=Available")

    def versions() -> dict[str, Any]:
        found = cluster.get("-k", "manifests/default")["items"]
        # What their controllers write into the status comes whenever it does.
        ours = [each for each in found if each["kind"] not in ("Deployment", "PodDisruptionBudget")]
        return {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in ours}

    earlier = versions()
    [webhook] = cluster.get("validatingwebhookconfiguration", "mooring")["webhooks"]
    assert webhook["clientConfig"]["caBundle"], "the operator has written what no manifest says"
    said = cluster.kubectl("apply", "-k", "manifests/default").splitlines()
    print("\n".join(said))
    assert [line for line in said if not line.endswith(" unchanged")] == [ALWAYS_SENT]
    assert versions() == earlier
