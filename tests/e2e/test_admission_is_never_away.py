"""Clients that apply networks all the while see no failure when a replica of the operator leaves, or renews.

Of one that is killed they lose what it had in hand, and no more.

What came of their requests is printed for each event (`pytest -s`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from testbed.kubectl import eventually
from tests.applying import applying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.kubectl import Cluster

SYSTEM = ("-n", "mooring-system")
CLIENTS = 5
OPERATOR = "app.kubernetes.io/component=operator"
# Lists the processes of a pod's operator: "holder" listens, "operator" is its child.
PROCESSES = """
for p in /proc/[0-9]*; do
  tr '\\0' '\\n' <$p/environ 2>/dev/null | grep -qx POD_NAME=%s || continue
  tr '\\0' ' ' <$p/cmdline | grep -q -- --webhook-listener && echo operator ${p#/proc/} || echo holder ${p#/proc/}
done
"""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def two_ready(cluster: Cluster) -> Iterator[None]:
    """Two replicas are ready, before and after."""
    yield
    eventually(lambda: ready(cluster) == 2, seconds=90, what="two ready replicas")


def ready(cluster: Cluster) -> int:
    return int(cluster.get("deployment", "mooring-operator", *SYSTEM)["status"].get("readyReplicas", 0))


def leader(cluster: Cluster) -> str:
    return str(cluster.get("lease", "mooring-operator", *SYSTEM)["spec"]["holderIdentity"])


@contextlib.contextmanager
def unfelt(
    cluster: Cluster, namespace: str, event: str, capsys: pytest.CaptureFixture[str], *, lost: int = 0
) -> Iterator[None]:
    """Apply networks while the block runs, from five clients; so many may fail as are `lost`."""
    eventually(lambda: ready(cluster) == 2, seconds=90, what="two ready replicas")
    with applying(cluster.kubeconfig, namespace, clients=CLIENTS, pause=0.05) as outcome:
        eventually(lambda: len(outcome.seconds) > 20, seconds=30, what="the first requests")
        yield
        before = len(outcome.seconds)
        eventually(lambda: len(outcome.seconds) > before + 20, seconds=30, what="requests afterwards")
    with capsys.disabled():
        print(f"\n{event}: {outcome}")
    assert len(outcome.failures) <= lost, outcome.failures


def test_a_rolling_update(cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    with unfelt(cluster, namespace, "rolling update", capsys):
        cluster.kubectl("rollout", "restart", "deployment/mooring-operator", *SYSTEM)
        cluster.kubectl("rollout", "status", "deployment/mooring-operator", *SYSTEM, "--timeout=120s")
        eventually(lambda: len(pods(cluster)) == 2, seconds=60, what="the end of the old replicas")


def test_a_drained_node(cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = leader(cluster)
    node = pods(cluster)[name]
    with unfelt(cluster, namespace, "node drained", capsys):
        try:
            cluster.kubectl(
                "drain", node, f"--pod-selector={OPERATOR}", "--delete-emptydir-data", "--ignore-daemonsets"
            )
            eventually(lambda: name not in pods(cluster) and ready(cluster) == 2, seconds=90, what="another replica")
        finally:
            cluster.kubectl("uncordon", node)


def test_a_renewed_certificate(cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A Secret that somebody deletes is the hardest renewal: there is nothing of the one before."""

    def trusted() -> str:
        found = cluster.get("validatingwebhookconfiguration", "mooring")
        return str(found["webhooks"][0]["clientConfig"]["caBundle"])

    def shown() -> dict[str, int]:
        told = "serves with another certificate"
        return {name: cluster.kubectl("logs", name, *SYSTEM).count(told) for name in pods(cluster)}

    with unfelt(cluster, namespace, "certificate renewed", capsys):
        before, logged = trusted(), shown()
        cluster.kubectl("delete", "secret", "mooring-webhook-tls", *SYSTEM)
        eventually(lambda: trusted() != before, seconds=30, what="another caBundle")
        each_once = {name: count + 1 for name, count in logged.items()}
        eventually(lambda: shown() == each_once, seconds=60, what="the new certificate in every replica")


def test_a_killed_leader(cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = leader(cluster)
    with unfelt(cluster, namespace, "leader killed twice", capsys, lost=2 * CLIENTS):
        for _ in range(2):
            killed = processes(cluster, name)["operator"]
            cluster.on_node(pods(cluster)[name], "kill", "-9", *killed)
            another(cluster, name, killed)
    (found,) = cluster.get("pod", name, *SYSTEM)["status"]["containerStatuses"]
    assert found["restartCount"] == 0


def another(cluster: Cluster, pod: str, killed: list[str]) -> None:
    """Wait until another process runs in place of those that were killed."""
    eventually(lambda: processes(cluster, pod)["operator"] not in ([], killed), seconds=30, what="another process")


def pods(cluster: Cluster) -> dict[str, str]:
    """Return the node of each replica."""
    found = cluster.get("pods", *SYSTEM, "-l", OPERATOR)["items"]
    return {each["metadata"]["name"]: each["spec"].get("nodeName", "") for each in found}


def processes(cluster: Cluster, pod: str) -> dict[str, list[str]]:
    """Return the processes of a replica: holder and operator."""
    found: dict[str, list[str]] = {"holder": [], "operator": []}
    for line in cluster.on_node(pods(cluster)[pod], "sh", "-c", PROCESSES % pod).splitlines():
        kind, process = line.split()
        found[kind].append(process)
    return found
