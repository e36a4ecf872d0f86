"""What a node runs and what its files say: containerd, kubelet, kube-proxy, the primary network.

Owns the configuration of these, and which folders are a node's own. Refuses to start anything:
it returns files, mounts and command lines.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from testbed import binaries, images, pki

if TYPE_CHECKING:
    from pathlib import Path

    from testbed import addresses

# Folders of the node's own, over the machine's. Without its own logs folders, one kubelet deletes another's logs.
OWN_FOLDERS = (
    "/etc/cni/net.d",
    "/etc/kubernetes",
    "/opt/cni/bin",
    "/var/lib/cni",
    "/var/lib/mooring",
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/log/pods",
    "/var/log/containers",
    "/var/tmp",
)
# What kubelet would otherwise write into the machine's kernel.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
PRIMARY_CONFLIST = "10-pod-network.conflist"

_CONTAINERD = """\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE nobody may lower an oom score, and runc dies of trying.
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"
  max_conf_num = 1

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""

# The form of before 2.0.
_CONTAINERD_1 = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
  max_conf_num = 1

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def binds(folder: Path) -> dict[str, Path]:
    """Return a node's own folders: where it sees them, and where they are. They are made if needed."""
    found = {target: folder / "root" / target.strip("/") for target in OWN_FOLDERS}
    for source in found.values():
        source.mkdir(parents=True, exist_ok=True)
    return found


def write_files(plan: addresses.Plan, number: int, folder: Path, authority: pki.Authority, programs: Path) -> None:
    """Write a new node's configuration, credentials, plugins and primary network."""
    node = plan.node_names()[number - 1]
    (folder / "root/etc/kubernetes/manifests").mkdir(parents=True, exist_ok=True)
    server = f"https://{plan.api_address}:6443"
    own = binds(folder)
    for source in (programs / "cni").iterdir():
        shutil.copy2(source, own["/opt/cni/bin"])
    conflist = json.dumps(primary_network(plan, number), indent=2)
    (own["/etc/cni/net.d"] / PRIMARY_CONFLIST).write_text(conflist + "\n")
    containerd = _CONTAINERD_1 if binaries.oldest() else _CONTAINERD
    (folder / "containerd.toml").write_text(containerd.format(pause=images.PAUSE))
    # Pods get this one: the machine's name servers are out of their reach.
    (folder / "resolv.conf").write_text("")
    kubelet = authority.sign(f"kubelet-{node}", user=f"system:node:{node}", groups=["system:nodes"])
    authority.kubeconfig(folder / "kubelet.kubeconfig", server, kubelet)
    configuration = kubelet_configuration(plan, node, folder, authority.pair.certificate)
    (folder / "kubelet.json").write_text(json.dumps(configuration, indent=1))
    proxy = authority.sign(f"kube-proxy-{node}", user="system:kube-proxy")
    authority.kubeconfig(folder / "kube-proxy.kubeconfig", server, proxy)


def primary_network(plan: addresses.Plan, number: int) -> dict[str, object]:
    """Return the conflist of a node's primary network: a bridge with the node's own /24."""
    return {
        "cniVersion": "1.0.0",
        "name": "pod-network",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(plan.pod_subnet(number))}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet_configuration(plan: addresses.Plan, node: str, folder: Path, authority: Path) -> dict[str, object]:
    """Return a KubeletConfiguration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{plan.cgroup(node)}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "staticPodPath": "/etc/kubernetes/manifests",
        "clusterDNS": [plan.dns_address],
        "clusterDomain": "cluster.local",
        "resolvConf": str(folder / "resolv.conf"),
        # A full disk of a developer's machine is no reason to evict pods or images: nothing could be pulled again.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
    }


def containerd_command(folder: Path, programs: Path) -> list[str | Path]:
    """Return containerd's command line."""
    return [programs / "containerd", "--config", folder / "containerd.toml"]


def kubelet_command(plan: addresses.Plan, number: int, folder: Path, programs: Path) -> list[str | Path]:
    """Return kubelet's command line."""
    return [
        programs / "kubelet",
        f"--config={folder / 'kubelet.json'}",
        f"--kubeconfig={folder / 'kubelet.kubeconfig'}",
        f"--hostname-override={plan.node_names()[number - 1]}",
        f"--node-ip={plan.node_address(number)}",
    ]


def proxy_command(plan: addresses.Plan, number: int, folder: Path, programs: Path) -> list[str | Path]:
    """Return kube-proxy's command line; connection tracking's limits are the machine's and stay as they are."""
    return [
        programs / "kube-proxy",
        f"--kubeconfig={folder / 'kube-proxy.kubeconfig'}",
        f"--hostname-override={plan.node_names()[number - 1]}",
        f"--cluster-cidr={plan.pod_network}",
        "--proxy-mode=iptables",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]
