"""The agent's DaemonSet: depends on nothing that it looks after."""

from __future__ import annotations

from typing import Any

from mooring.installing import daemonsets, installations
from mooring.installing.installations import InstallationSpec
from mooring.node import cri

OWNER = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Installation", "name": "default", "uid": "7"}


def made(**spec: Any) -> dict[str, Any]:
    return daemonsets.daemon_set(
        InstallationSpec.model_validate(spec), namespace="mooring-system", image="registry/mooring:1", owner=OWNER
    )


def pod(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = made(**spec)["spec"]["template"]["spec"]
    return found


def test_it_needs_no_pod_network_and_no_cluster_dns() -> None:
    found = pod()
    assert (found["hostNetwork"], found["hostPID"], found["dnsPolicy"]) == (True, True, "Default")


def test_it_runs_on_every_node_before_anything_else() -> None:
    found = pod()
    assert {"operator": "Exists"} in found["tolerations"]
    assert found["priorityClassName"] == "system-node-critical"


def test_it_runs_on_the_selected_nodes_only() -> None:
    assert pod(nodeSelector={"pool": "a"})["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "a"}


def test_each_folder_of_the_node_is_seen_below_host() -> None:
    found = pod(paths={"preset": "microk8s", "stateDir": "/srv/mooring"})
    volumes = {volume["name"]: volume["hostPath"]["path"] for volume in found["volumes"]}
    seen = {mount["mountPath"]: volumes[mount["name"]] for mount in found["containers"][0]["volumeMounts"]}
    assert all(inside == f"/host{outside}".rstrip("/") for inside, outside in seen.items())
    assert "/" in seen.values()


def test_no_folder_that_an_installation_names_is_made_or_keeps_the_agent_from_starting() -> None:
    found = pod(paths={"cniBinDir": "/opt/cni/bim"})
    assert {volume["hostPath"]["type"] for volume in found["volumes"]} == {"Directory"}
    assert "/opt/cni/bim" not in str(found)


def test_other_paths_start_no_agent_anew() -> None:
    assert pod(paths={"cniBinDir": "/srv/bin", "cniConfDir": "/srv/conf"}) == pod()


def test_its_probes_ask_on_the_nodes_own_network() -> None:
    container = pod()["containers"][0]
    for name, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[name]["httpGet"] == {"host": "127.0.0.1", "port": 9454, "path": path}


def test_its_image_and_owner_are_given() -> None:
    found = made()
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "registry/mooring:1"
    assert found["metadata"]["ownerReferences"] == [OWNER]


def test_its_selector_is_what_its_pods_carry() -> None:
    found = made()["spec"]
    assert found["selector"]["matchLabels"].items() <= found["template"]["metadata"]["labels"].items()


def test_what_the_admin_says_of_resources_replaces_ours() -> None:
    wanted = {"requests": {"cpu": "1"}}
    assert pod(agent={"resources": wanted})["containers"][0]["resources"] == wanted
    assert pod()["containers"][0]["resources"]["limits"]


def test_the_runtimes_sockets_are_seen_and_nothing_beside_them_can_be_written() -> None:
    found = pod(paths={"preset": "microk8s"})
    paths = {volume["name"]: volume["hostPath"] for volume in found["volumes"]}
    mounts = [mount for mount in found["containers"][0]["volumeMounts"] if mount.get("readOnly")]
    assert {paths[mount["name"]]["path"] for mount in mounts} == {"/run", "/var/snap/microk8s/common/run"}
    # A folder that is not there says that the node has no runtime; it is not made.
    assert {paths[mount["name"]]["type"] for mount in mounts} == {"Directory"}
    assert [volume["hostPath"]["path"] for volume in pod()["volumes"]].count("/run") == 1


def test_each_socket_that_is_looked_for_is_in_a_folder_that_is_mounted() -> None:
    mounted = installations.Paths.model_validate({"preset": "microk8s"}).runtime_folders()
    assert all(any(path.startswith(f"{folder}/") for folder in mounted) for path in cri.SOCKETS)


def test_metrics_are_on_the_nodes_address_only_where_a_port_is_named() -> None:
    (plain,), (measured,) = pod()["containers"], pod(agent={"metricsPort": 9455})["containers"]
    assert "ports" not in plain
    assert not any("metrics" in argument for argument in plain["args"])
    assert measured["ports"] == [{"name": "metrics", "containerPort": 9455, "hostPort": 9455, "protocol": "TCP"}]
    assert "--metrics-port=9455" in measured["args"]
    assert {"name": "HOST_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIP"}}} in (
        measured["env"]
    )


def test_a_log_in_json_is_asked_for() -> None:
    assert "--log-format=json" in pod(agent={"logFormat": "json"})["containers"][0]["args"]
    assert not any("log" in argument for argument in pod(agent={"logFormat": "text"})["containers"][0]["args"])


def test_the_namespaces_that_are_cached_are_handed_over() -> None:
    args = pod(agent={"cachedNamespaces": ["shop", "infra", "shop"]})["containers"][0]["args"]
    assert [each for each in args if "namespace" in each] == ["--cached-namespace=infra", "--cached-namespace=shop"]
    assert not any("namespace" in each for each in pod()["containers"][0]["args"])


def test_the_agent_gives_memory_back() -> None:
    given = {each["name"]: each.get("value") for each in pod()["containers"][0]["env"]}
    assert daemonsets.MEMORY.items() <= given.items()
