"""How container runtimes call a plugin: environment and stdin, one entry for each kind of call.

The shapes are those of containerd 1.7 and 2.x (pod annotations under their capability, null where the pod has none;
arguments in any order, its code keeps them in a map), of CRI-O through ocicni (the same capability, only where the
pod has annotations; a trailing address argument on request) and of cri-dockerd (no UID, no annotations, the network
namespace of a process). Owns nothing that a test decides: `@...@` stands for what is the test's own.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

CAPABILITIES = {
    "bandwidth": True,
    "cgroupPath": True,
    "dns": True,
    "io.kubernetes.cri.pod-annotations": True,
    "portMappings": True,
}
KUBELETS = {
    "kubernetes.io/config.seen": "2026-11-21T09:00:00.000000000Z",
    "kubernetes.io/config.source": "api",
}
DNS = {
    "servers": ["10.96.0.10"],
    "searches": ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"],
    "options": ["ndots:5"],
}
DOCKER_DNS = {"servers": ["10.96.0.10"], "searches": ["default.svc.cluster.local"], "options": ["ndots:5"]}
CGROUP = "/kubepods/besteffort/pod@UID@"
PORTS = [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}]


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One runtime's way of calling. `annotations` is what it says of the pod's: "given", "null" or "absent"."""

    name: str
    arguments: str
    netns: str
    annotations: str
    runtime_config: Mapping[str, Any]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def stdin(self, conf: Json, annotations: Mapping[str, str]) -> str:
        """Return what the plugin reads: keys in order, as the runtimes' library writes them."""
        given = dict(self.runtime_config)
        if self.annotations == "given":
            given["io.kubernetes.cri.pod-annotations"] = KUBELETS | dict(annotations)
        elif self.annotations == "null":
            given["io.kubernetes.cri.pod-annotations"] = None
        document = conf | {"capabilities": CAPABILITIES} | ({"runtimeConfig": given} if given else {})
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


CALLS = [
    Call(
        "containerd",
        "IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=@ID@;K8S_POD_NAME=@NAME@;K8S_POD_NAMESPACE=@NAMESPACE@;"
        "K8S_POD_UID=@UID@",
        "@NETNS@",
        "given",
        {"cgroupPath": CGROUP, "dns": DNS},
        {"NOTIFY_SOCKET": "/run/systemd/notify", "HTTPS_PROXY": "http://proxy.example:3128", "LANG": "C.UTF-8"},
    ),
    Call(
        "containerd, arguments in another order",
        "K8S_POD_UID=@UID@;K8S_POD_NAMESPACE=@NAMESPACE@;IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=@ID@;"
        "K8S_POD_NAME=@NAME@",
        "@NETNS@",
        "given",
        {"cgroupPath": CGROUP, "dns": DNS, "portMappings": PORTS, "bandwidth": {"IngressRate": 1000}},
    ),
    Call(
        "containerd, a pod without annotations",
        "K8S_POD_NAMESPACE=@NAMESPACE@;K8S_POD_NAME=@NAME@;K8S_POD_INFRA_CONTAINER_ID=@ID@;K8S_POD_UID=@UID@;"
        "IgnoreUnknown=1",
        "@NETNS@",
        "null",
        {"cgroupPath": CGROUP},
    ),
    Call(
        "CRI-O",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=@NAMESPACE@;K8S_POD_NAME=@NAME@;K8S_POD_INFRA_CONTAINER_ID=@ID@;"
        "K8S_POD_UID=@UID@",
        "@NETNS@",
        "given",
        {"cgroupPath": "/kubepods.slice/kubepods-pod@UID@.slice", "portMappings": []},
        {"CNI_NETNS_OVERRIDE": "true"},
    ),
    Call(
        "cri-dockerd",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=@NAMESPACE@;K8S_POD_NAME=@NAME@;K8S_POD_INFRA_CONTAINER_ID=@ID@",
        "@NETNS@",
        "absent",
        {"dns": DOCKER_DNS, "portMappings": []},
    ),
    Call(
        "cri-dockerd, nothing to tell",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=@NAMESPACE@;K8S_POD_NAME=@NAME@;K8S_POD_INFRA_CONTAINER_ID=@ID@",
        "@NETNS@",
        "absent",
        {},
    ),
]
