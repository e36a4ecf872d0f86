"""Distributions of Kubernetes: owns where each keeps its CNI files, and how a node shows which one it is.

Pure: from facts about a node to a name and to folders. Refuses to decide anything: an administrator's `paths` are what
the agent follows, and the runtime's own word counts for more than what a distribution usually does.

docs/distributions.md has the same table with its sources.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = {"cniBinDir": "/opt/cni/bin", "cniConfDir": "/etc/cni/net.d"}
PRESETS: dict[str, dict[str, str]] = {
    "kubeadm": DEFAULT,
    "kind": DEFAULT,
    "k3s": {"cniBinDir": "/var/lib/rancher/k3s/data/cni", "cniConfDir": "/var/lib/rancher/k3s/agent/etc/cni/net.d"},
    "rke2": DEFAULT,
    "talos": DEFAULT,
    "openshift": {"cniBinDir": "/var/lib/cni/bin", "cniConfDir": "/etc/kubernetes/cni/net.d"},
    "microk8s": {
        "cniBinDir": "/var/snap/microk8s/current/opt/cni/bin",
        "cniConfDir": "/var/snap/microk8s/current/args/cni-network",
    },
}
_OLD_K3S = "/var/lib/rancher/k3s/data/current/bin"
# From which patch of each minor version on k3s keeps plugins where they stay; all later minors do.
_K3S_SINCE = {28: 15, 29: 10, 30: 6, 31: 2}

_KUBEADM_FILE = "/var/lib/kubelet/kubeadm-flags.env"
_MICROK8S_FOLDER = "/var/snap/microk8s/current"
MARKS = (_KUBEADM_FILE, _MICROK8S_FOLDER)
"""Paths of the node whose being there says something."""

_K8S_VERSION = re.compile(r"v1\.([0-9]{1,4})\.([0-9]{1,4})", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What a node shows of itself."""

    os_image: str = ""
    kubelet_version: str = ""
    provider_id: str = ""
    labels: frozenset[str] = frozenset()
    """The names of the Node's labels and annotations."""
    paths: frozenset[str] = frozenset()
    """Those of `MARKS` that are there."""


def facts(node: Mapping[str, Any], *, paths: frozenset[str]) -> Facts:
    """Return what a Node object shows, and what was found of `MARKS`."""
    metadata, info = node.get("metadata") or {}, (node.get("status") or {}).get("nodeInfo") or {}
    return Facts(
        os_image=str(info.get("osImage") or ""),
        kubelet_version=str(info.get("kubeletVersion") or ""),
        provider_id=str((node.get("spec") or {}).get("providerID") or ""),
        labels=frozenset(metadata.get("labels") or {}) | frozenset(metadata.get("annotations") or {}),
        paths=paths,
    )


def detect(found: Facts) -> str:
    """Return the name of the distribution, one of `PRESETS`; "" where nothing shows it.

    The surest marks first: kind, for one, is made by kubeadm too.
    """
    marks = (
        ("k3s", "+k3s" in found.kubelet_version),
        ("rke2", "+rke2" in found.kubelet_version),
        ("kind", found.provider_id.startswith("kind://")),
        ("talos", found.os_image.startswith("Talos")),
        ("openshift", "machineconfiguration.openshift.io/currentConfig" in found.labels),
        ("openshift", "CoreOS" in found.os_image and "node.openshift.io/os_id" in found.labels),
        ("microk8s", "microk8s.io/cluster" in found.labels or _MICROK8S_FOLDER in found.paths),
        ("kubeadm", "kubeadm.alpha.kubernetes.io/cri-socket" in found.labels or _KUBEADM_FILE in found.paths),
    )
    return next((name for name, shown in marks if shown), "")


def folders(distribution: str, kubelet_version: str = "") -> dict[str, str]:
    """Return `cniBinDir` and `cniConfDir` of a distribution, in this version where it matters."""
    known = PRESETS.get(distribution, DEFAULT)
    number = _K8S_VERSION.match(kubelet_version)
    if distribution == "k3s" and number is not None:
        minor, patch = int(number[1]), int(number[2])
        if minor < min(_K3S_SINCE) or patch < _K3S_SINCE.get(minor, 0):
            return {**known, "cniBinDir": _OLD_K3S}
    return dict(known)


def advice(found: Facts, *, bin_dir: str, conf_dir: str) -> str:
    """Return in a sentence which preset to set where these folders are not the distribution's; "" where they are."""
    name = detect(found)
    usual = folders(name, found.kubelet_version)
    if not name or (usual["cniBinDir"], usual["cniConfDir"]) == (bin_dir.rstrip("/"), conf_dir.rstrip("/")):
        return ""
    remedy = f"paths.preset to {name}"
    if usual != PRESETS[name]:
        remedy += f" and paths.cniBinDir to {usual['cniBinDir']}"
    return (
        f"This node looks like {name}, which has its CNI plugins in {usual['cniBinDir']} and its confs in "
        f"{usual['cniConfDir']}, and the revision says {bin_dir} and {conf_dir}: set {remedy} in the Installation"
    )
