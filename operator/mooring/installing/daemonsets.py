"""The agent's DaemonSet: owns how an Installation becomes pods on nodes.

The agent needs nothing of the networks that it looks after: host network, no cluster DNS, tolerates everything. It
is not on the pod path, so replacing its pods disturbs nobody. The node's file system is mounted at `/host`, as a whole:
a folder that an Installation names is then there or not, which can be told (decision 0068).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mooring.installing.installations import Agent, InstallationSpec

NAME = "mooring-agent"
HEALTH_PORT = 9454
LABELS = {"app.kubernetes.io/name": "mooring", "app.kubernetes.io/component": "agent"}
#: How the C library keeps memory: one heap for all threads, and what is free at its end goes back at once. By itself it
#: keeps a heap for each thread, and after many pods each holds some free memory for good.
MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
DEFAULT_RESOURCES = {"requests": {"cpu": "20m", "memory": "80Mi"}, "limits": {"memory": "256Mi"}}


def _node() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the volume of the node's file system, and where the agent sees it.

    A folder of its own for each path would be made where it does not exist: by the kubelet (`DirectoryOrCreate`), or
    by the runtime where the kubelet does not look (no type); with type `Directory` the agent would not even start to
    say what is missing. And a change of `paths` would start every agent anew, before its node's turn.
    """
    volume = {"name": "node", "hostPath": {"path": "/", "type": "Directory"}}
    # What somebody mounts on the node later is seen too.
    return volume, {"name": "node", "mountPath": "/host", "mountPropagation": "HostToContainer"}


def _runtime_path(index: int, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the volume of a folder in which runtimes listen, and where the agent sees it: it only connects.

    The folder and not the socket: a runtime that is started again makes another one. It is there or the node has no
    runtime; making the folders of runtimes that a node does not have would be a lie about it.
    """
    name = f"runtime-{index}"
    volume = {"name": name, "hostPath": {"path": path, "type": "Directory"}}
    mount = {
        "name": name,
        "mountPath": f"/host{path}",
        "mountPropagation": "HostToContainer",
        "readOnly": True,
    }
    return volume, mount


def _options(agent: Agent) -> list[str]:
    """Return the arguments that an Installation asks for beside those that are always there."""
    metrics = [] if agent.metrics_port is None else [f"--metrics-port={agent.metrics_port}"]
    log = [] if agent.log_format == "text" else [f"--log-format={agent.log_format}"]
    return [*metrics, *log, *(f"--cached-namespace={each}" for each in sorted(set(agent.cached_namespaces)))]


def _probe(path: str, **more: int) -> dict[str, Any]:
    return {"httpGet": {"host": "127.0.0.1", "port": HEALTH_PORT, "path": path}, **more}


def daemon_set(spec: InstallationSpec, *, namespace: str, image: str, owner: dict[str, Any]) -> dict[str, Any]:
    """Return the DaemonSet, to be applied with the operator's field manager.

    Args:
        spec: the Installation's.
        namespace: the operator's own.
        image: the operator's own, so that both are one version.
        owner: the ownerReference to the Installation.
    """
    mounted = [_node()]
    mounted += [_runtime_path(index, path) for index, path in enumerate(spec.paths.runtime_folders())]
    resources = spec.agent.resources.to_wire() if spec.agent.resources else DEFAULT_RESOURCES
    container = {
        "name": "agent",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "agent",
            "--host-root=/host",
            f"--state-dir={spec.paths.state_dir}",
            f"--health-port={HEALTH_PORT}",
            *_options(spec.agent),
        ],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}},
            {
                "name": "POD_NAMESPACE",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            },
            {"name": "HOST_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIP"}}},
            *({"name": name, "value": value} for name, value in MEMORY.items()),
        ],
        # Installing binaries and confs on the node is its work: root, and privileged because nodes with SELinux or
        # AppArmor keep anything less away from these folders.
        "securityContext": {"privileged": True, "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False},
        "resources": resources,
        "startupProbe": _probe("/healthz", periodSeconds=2, failureThreshold=60),
        "livenessProbe": _probe("/healthz", periodSeconds=20, timeoutSeconds=5, failureThreshold=3),
        "readinessProbe": _probe("/readyz", periodSeconds=2, timeoutSeconds=2, failureThreshold=2),
        "volumeMounts": [mount for _, mount in mounted],
    }
    if (port := spec.agent.metrics_port) is not None:
        # In the host's network it is the node's: saying so keeps two pods from asking for the same one.
        container["ports"] = [{"name": "metrics", "containerPort": port, "hostPort": port, "protocol": "TCP"}]
    pod = {
        "serviceAccountName": NAME,
        "hostNetwork": True,
        "hostPID": True,
        "dnsPolicy": "Default",
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": 10,
        "nodeSelector": {"kubernetes.io/os": "linux", **spec.node_selector},
        "tolerations": [{"operator": "Exists"}, *(toleration.to_wire() for toleration in spec.tolerations)],
        "containers": [container],
        "volumes": [volume for volume, _ in mounted],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "labels": {**LABELS, "app.kubernetes.io/managed-by": "mooring-operator"},
            "ownerReferences": [owner],
        },
        "spec": {
            "selector": {"matchLabels": dict(LABELS)},
            "minReadySeconds": 2,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": pod},
        },
    }
