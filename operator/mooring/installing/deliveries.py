"""How plugin sets reach the nodes: owns the DaemonSet that brings one set, and which of them there are to be.

Each set of each revision in use has a DaemonSet of its own, named by its content. Its pods put the binaries into the
folder `HANDOVER` of the node's state folder, under their checksums; the agent takes them from there. So the agent's pod
depends on no foreign image, and a set never changes under a node that has not the new revision yet.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pydantic

from mooring.installing.pluginsets import PluginSet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mooring.installing.installations import InstallationSpec

PREFIX = "mooring-set-"
HANDOVER = "pluginsets"
"""The folder below the state folder."""
COMPONENT = {"app.kubernetes.io/name": "mooring", "app.kubernetes.io/component": "plugin-set"}
LABELS = {**COMPONENT, "app.kubernetes.io/managed-by": "mooring-operator"}
SET_LABEL = "mooring.dev/plugin-set"
PROGRAM = "/usr/libexec/mooring/mooring-deliver"
_SET, _TOOLS, _OUT = "/mooring-set", "/mooring-tools", "/mooring-handover"
_RESOURCES = {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
_KUBELET = (1, 35)
_RUNTIMES = {"containerd": (2, 1), "cri-o": (1, 31)}


def image_volumes(nodes: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether every node can mount an image, by its `status.nodeInfo`; not where there is none.

    Kubernetes has ImageVolume switched on from 1.35 on. No kubelet is newer than its API server, so the kubelets'
    version speaks for both.
    """
    known = [
        _at_least(str(node.get("kubeletVersion") or "").removeprefix("v"), _KUBELET)
        and _runtime_can(str(node.get("containerRuntimeVersion") or ""))
        for node in nodes
    ]
    return bool(known) and all(known)


def daemon_sets(
    spec: InstallationSpec,
    documents: Iterable[str],
    *,
    namespace: str,
    image: str,
    owner: dict[str, Any],
    mount_images: bool,
    draining: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Return the DaemonSets by name, to be applied with the operator's field manager.

    Args:
        spec: the Installation's.
        documents: the revisions in use, the Installation's own first: of two that name the same content, its word on
            how that is fetched counts.
        namespace: the operator's own.
        image: the operator's own, which holds the program that copies.
        owner: the ownerReference to the Installation.
        mount_images: what `delivery: Auto` means.
        draining: names of nodes that are given back; there it would put again what the agent takes away.
    """
    made: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for document in documents:
        for each, folder in _sets(document):
            content = _content(each, folder)
            if content in seen:
                continue
            seen.add(content)
            mounting = each.delivery == "ImageVolume" or (each.delivery == "Auto" and mount_images)
            pod = _pod(each, folder=folder, image=image, mounting=mounting)
            digest = hashlib.sha256(json.dumps([content, pod], sort_keys=True).encode()).hexdigest()[:8]
            name = f"{PREFIX}{each.name}-{digest}"
            labels = {**COMPONENT, SET_LABEL: each.name, "mooring.dev/content": digest}
            made[name] = {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": {**LABELS, SET_LABEL: each.name},
                    "ownerReferences": [owner],
                },
                "spec": {
                    "selector": {"matchLabels": labels},
                    # Where its pods run may change, and starts none of them anew; all else is in its name.
                    "updateStrategy": {"type": "OnDelete"},
                    "template": {"metadata": {"labels": labels}, "spec": {**pod, **_placement(spec, draining)}},
                },
            }
    return made


def is_delivery(daemon_set: Mapping[str, Any]) -> bool:
    """Say whether a DaemonSet is one that brings a plugin set."""
    labels = daemon_set["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in COMPONENT.items())


def _sets(document: str) -> list[tuple[PluginSet, str]]:
    """Return the sets of a revision, each with the state folder; nothing for a document of before there were sets."""
    try:
        content = json.loads(document)
        folder = str(content["paths"]["stateDir"])
        return [(PluginSet.model_validate(each), folder) for each in content.get("pluginSets") or ()]
    except (ValueError, KeyError, TypeError, AttributeError, pydantic.ValidationError):
        return []  # written by nobody who calls himself the operator; its node says that it cannot be read


def _content(each: PluginSet, folder: str) -> str:
    """Return what is brought to where: of two revisions that say the same, one DaemonSet serves."""
    binaries = sorted([binary.path, binary.sha256] for binary in each.binaries)
    return json.dumps([each.name, each.image, binaries, folder])


def _placement(spec: InstallationSpec, draining: Collection[str]) -> dict[str, Any]:
    placed: dict[str, Any] = {
        "nodeSelector": {"kubernetes.io/os": "linux", **spec.node_selector},
        "tolerations": [{"operator": "Exists"}, *(toleration.to_wire() for toleration in spec.tolerations)],
    }
    if draining:
        away = [{"key": "metadata.name", "operator": "NotIn", "values": [name]} for name in sorted(draining)]
        terms = {"nodeSelectorTerms": [{"matchFields": away}]}
        placed["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    return placed


def _pod(each: PluginSet, *, folder: str, image: str, mounting: bool) -> dict[str, Any]:
    programs = sorted({f"{binary.sha256}={binary.path}" for binary in each.binaries})
    out = {"name": "handover", "mountPath": _OUT}
    security: dict[str, Any] = {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        # Where there is SELinux, nothing less may write into a folder of the node.
        "seLinuxOptions": {"type": "spc_t"},
    }
    container: dict[str, Any] = {
        "name": "deliver",
        "resources": _RESOURCES,
        # A checksum that is wrong is then told by the pod's own status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    volumes: list[dict[str, Any]] = [
        {"name": "handover", "hostPath": {"path": f"{folder.rstrip('/')}/{HANDOVER}", "type": "DirectoryOrCreate"}}
    ]
    more: dict[str, Any] = {}
    if mounting:
        container |= {
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": [PROGRAM, f"-to={_OUT}", f"-from={_SET}", *programs],
            "securityContext": {**security, "capabilities": {"drop": ["ALL"], "add": ["SYS_CHROOT"]}},
            "volumeMounts": [out, {"name": "set", "mountPath": _SET, "readOnly": True}],
        }
        volumes.append({"name": "set", "image": {"reference": each.image}})
    else:
        tools = {"name": "tools", "mountPath": _TOOLS}
        copy = f"{_TOOLS}/{PROGRAM.rpartition('/')[2]}"
        container |= {
            "image": each.image,
            "command": [copy, f"-to={_OUT}", *programs],
            "securityContext": security,
            "volumeMounts": [out, {**tools, "readOnly": True}],
        }
        volumes.append({"name": "tools", "emptyDir": {}})
        more["initContainers"] = [
            {
                "name": "tools",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": [PROGRAM, f"-copy-self={copy}"],
                "securityContext": security,
                "resources": _RESOURCES,
                "volumeMounts": [tools],
            }
        ]
    if each.image_pull_secrets:
        more["imagePullSecrets"] = [{"name": name} for name in each.image_pull_secrets]
    return {
        # A node that has no CNI plugin yet gives a pod no network of its own. It asks nobody for anything.
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": volumes,
        **more,
    }


def _runtime_can(version: str) -> bool:
    runtime, _, number = version.partition("://")
    return runtime in _RUNTIMES and _at_least(number.removeprefix("v"), _RUNTIMES[runtime])


def _at_least(version: str, least: tuple[int, int]) -> bool:
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= least
