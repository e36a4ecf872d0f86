"""The objects that end-to-end tests apply."""

from __future__ import annotations

import json
from typing import Any


def network(namespace: str, name: str, config: dict[str, Any] | str) -> dict[str, Any]:
    """Return a NetworkAttachmentDefinition."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"config": config if isinstance(config, str) else json.dumps(config)},
    }


def bridge(name: str, subnet: str, **options: Any) -> dict[str, Any]:
    """Return the conf of a bridge with addresses by host-local; the CNI network has the NAD's name."""
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "type": "bridge",
        "bridge": f"br{name[-10:]}",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]},
        **options,
    }


def pod(namespace: str, name: str, networks: str | list[dict[str, Any]] | None, node: str) -> dict[str, Any]:
    """Return a pod that sleeps on a node, with the annotation in text or JSON form."""
    annotations = {}
    if networks is not None:
        text = networks if isinstance(networks, str) else json.dumps(networks)
        annotations["k8s.v1.cni.cncf.io/networks"] = text
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "shell", "image": "busybox:1.35", "command": ["sleep", "86400"]}],
        },
    }
