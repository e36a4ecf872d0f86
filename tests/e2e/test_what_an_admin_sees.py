"""What an administrator finds after the installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbed.kubectl import eventually

if TYPE_CHECKING:
    from testbed.kubectl import Cluster

SYSTEM = ("-n", "mooring-system")


def test_installation_and_nodestates_have_readable_columns(cluster: Cluster, nodes: list[str]) -> None:
    installation = cluster.kubectl("get", "installation").splitlines()
    assert installation[0].split()[0] == "NAME"
    assert {"AVAILABLE", "REVISION", "NODES"} <= set(installation[0].split()), installation[0]
    header, *states = cluster.kubectl("get", "nodestates").splitlines()
    assert {"READY", "REVISION"} <= set(header.split()), header
    assert sorted(line.split()[0] for line in states) == nodes

    def told() -> bool:
        _, *states = cluster.kubectl("get", "nodestates").splitlines()
        return all("True" in line and "mooring-revision-" in line and "pod-network" in line for line in states)

    eventually(told, seconds=30, what="readiness, revision and primary network of each node")


def test_the_operator_runs_non_root_with_a_read_only_root_and_no_capabilities(cluster: Cluster) -> None:
    pod = cluster.get("pods", *SYSTEM, "-l", "app.kubernetes.io/component=operator")["items"][0]
    security = pod["spec"]["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["allowPrivilegeEscalation"] is False
    identity = cluster.kubectl("exec", pod["metadata"]["name"], *SYSTEM, "--", "id", "-u").strip()
    assert identity not in ("", "0")


def test_no_role_of_ours_has_a_wildcard(cluster: Cluster) -> None:
    roles = [
        role
        for kind in ("clusterroles", "roles")
        for role in cluster.get(kind, "-A")["items"]
        if role["metadata"]["name"].startswith("mooring")
    ]
    assert roles
    for role in roles:
        rules: list[dict[str, Any]] = role["rules"] or []
        for rule in rules:
            assert not any("*" in str(entry) for values in rule.values() for entry in values), role["metadata"]["name"]


def test_the_agents_daemonset_is_made_by_the_operator(cluster: Cluster) -> None:
    daemonset = cluster.get("daemonset", "mooring-agent", *SYSTEM, "--show-managed-fields")
    managers = {entry["manager"] for entry in daemonset["metadata"]["managedFields"]}
    assert "mooring-operator" in managers
    assert daemonset["metadata"]["ownerReferences"][0]["kind"] == "Installation"


def test_no_log_of_ours_holds_a_trace(cluster: Cluster) -> None:
    pods = cluster.get("pods", *SYSTEM)["items"]
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods} >= {"agent", "operator"}
    for pod in pods:
        log = cluster.kubectl("logs", pod["metadata"]["name"], *SYSTEM)
        assert "Traceback" not in log, log[-3000:]


def test_each_replica_tells_its_numbers_and_one_of_them_leads(cluster: Cluster) -> None:
    pods = cluster.get("pods", "-n", "mooring-system", "-l", "app.kubernetes.io/component=operator")["items"]
    names = [pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    leaders = []
    for name in names:
        path = f"/api/v1/namespaces/mooring-system/pods/{name}:8080/proxy/metrics"
        told = cluster.kubectl("get", "--raw", path)
        assert "\nmooring_operator_ready 1.0\n" in told
        leaders += [name] * ("\nmooring_operator_leader 1.0\n" in told)
    assert len(leaders) == 1
