"""Fixtures of tests on a real cluster: Mooring installed as the README says, and what tests do to it."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.kubectl import Cluster, ask_testbed, eventually, is_up
from tests import rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def installed(name: str, network: str) -> Iterator[Cluster]:
    """Give a cluster of two nodes with the operator and its agents running; one that was up before stays."""
    if os.geteuid() != 0:
        pytest.fail("the end-to-end tests make nodes out of namespaces: they need root")
    found = is_up(name)
    if not found:
        ask_testbed("up", "--name", name, "--nodes", "2", "--node-network", network)
    try:
        _remember(Cluster(name))
        ask_testbed("load-image", ask_testbed("image").splitlines()[-1], "--name", name)
        cluster = Cluster(name)
        cluster.kubectl("apply", "-k", "manifests/default")
        cluster.wait("deployment/mooring-operator", "--namespace=mooring-system", "--for=condition=Available")
        cluster.kubectl("apply", "-f", "examples/installation.yaml")
        cluster.wait("installation/default", "--for=condition=Available")
        log = Path(ask_testbed("audit-log", "--name", name).splitlines()[-1])
        with rights.kept(name, log):
            yield cluster
    finally:
        # A cluster that was up before is somebody's; it stays.
        if not found and not os.environ.get("MOORING_E2E_KEEP"):
            ask_testbed("down", "--name", name)


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


@pytest.fixture
def agents_away(cluster: Cluster) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A block in which no agent runs: no operator to correct the DaemonSet, and a DaemonSet that fits no node."""
    system = ("-n", "mooring-system")

    @contextlib.contextmanager
    def away() -> Iterator[None]:
        replicas = cluster.get("deployment", "mooring-operator", *system)["spec"]["replicas"]
        cluster.kubectl("scale", "deployment", "mooring-operator", *system, "--replicas=0")
        try:
            _gone(cluster, "operator")
            nowhere = {"spec": {"template": {"spec": {"nodeSelector": {"mooring.dev/nowhere": "true"}}}}}
            cluster.kubectl("patch", "daemonset", "mooring-agent", *system, "--type=merge", "-p", json.dumps(nowhere))
            _gone(cluster, "agent")
            yield
        finally:
            cluster.kubectl("scale", "deployment", "mooring-operator", *system, f"--replicas={replicas}")

    return away


def _gone(cluster: Cluster, component: str) -> None:
    selector = f"app.kubernetes.io/component={component}"
    cluster.kubectl("wait", "pod", "-n", "mooring-system", "-l", selector, "--for=delete", "--timeout=60s")


BEFORE = "files-before-mooring"


def files_on(cluster: Cluster, node: str) -> str:
    """Return what is in the folders of a node that Mooring writes to: each file with its hash, and each folder."""
    folders = "/etc/cni/net.d /opt/cni/bin /var/lib/mooring"
    command = f"find {folders} ! -type f; find {folders} -type f -exec sha256sum {{}} +"
    return "\n".join(sorted(cluster.on_node(node, "sh", "-c", command).splitlines()))


def _remember(cluster: Cluster) -> None:
    """Write down what is on the nodes, in the cluster itself: it may be used again with Mooring installed."""
    if not cluster.run("get", "configmap", BEFORE, "-n", "kube-system").returncode:
        return
    names = [node["metadata"]["name"] for node in cluster.get("nodes")["items"]]
    metadata = {"name": BEFORE, "namespace": "kube-system"}
    data = {name: files_on(cluster, name) for name in names}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
