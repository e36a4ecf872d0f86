"""The `AttachmentSlice`: owns the object that says who holds which address on one node.

Modelled on EndpointSlice: several for each node, at most 100 entries each, written by the agent of the node and read
by whoever asks about networks in use. Cluster-scoped, and owned by the Node, so that they go with it.
"""

from __future__ import annotations

import re
from typing import Any

import pydantic

from mooring.installing.installations import API_VERSION
from mooring.installing.models import Model

KIND = "AttachmentSlice"
NODE_LABEL = "mooring.dev/node"
MOST = 100
_LONGEST_LABEL = 63


class AttachedPod(Model):
    """The pod, as the container runtime named it."""

    namespace: str = pydantic.Field(description="The namespace of the pod.")
    name: str = pydantic.Field(description="The name of the pod.")
    uid: str | None = pydantic.Field(
        None,
        description="The UID of the pod; of a static pod the hash of its file; absent where the runtime told none.",
    )


class HeldAttachment(Model):
    """One interface of a pod, and what it holds until the network has been detached."""

    pod: AttachedPod = pydantic.Field(description="The pod that the interface is of.")
    network: str = pydantic.Field(
        description="namespace/name of the NetworkAttachmentDefinition; without a slash the name of a network that is "
        "none, such as the default network of the cluster."
    )
    interface: str = pydantic.Field(description="The name of the interface in the pod.")
    addresses: list[str] = pydantic.Field(
        default_factory=list,
        description="The IP addresses of the interface, in the shortest form, with the length of the prefix where the "
        "plugin told one.",
    )
    mac: str | None = pydantic.Field(None, description="The hardware address of the interface, where one is known.")
    device: str | None = pydantic.Field(
        None, description="The device behind the interface, such as a PCI address, where the network has one."
    )
    config_hash: str | None = pydantic.Field(
        None,
        description="The hash of the configuration that the network was attached with. Another one than that of the "
        "NetworkAttachmentDefinition as it is now means that the network was changed since.",
    )
    attached_at: str | None = pydantic.Field(
        None,
        description="When the network was attached, by the clock of the node.",
        json_schema_extra={"format": "date-time"},
    )


class AttachmentSlice(Model):
    """Who holds which address: a part of what is attached on one node, written by the agent of that node."""

    node_name: str = pydantic.Field(
        min_length=1, description="The node that the pods are on. It never changes; lists can be selected by it."
    )
    attachments: list[HeldAttachment] = pydantic.Field(
        default_factory=list,
        max_length=MOST,
        description="The attachments, in no order that means anything: all interfaces of those pods on the node that "
        "have more than the default network.",
    )


def labels(node: str) -> dict[str, str]:
    """Return the labels of a node's slices; a node's name that is too long for a label is in `nodeName` alone."""
    found = {"app.kubernetes.io/name": "mooring", "app.kubernetes.io/managed-by": "mooring-agent"}
    return {**found, NODE_LABEL: node} if len(node) <= _LONGEST_LABEL else found


def owners(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the owner references of the slices of a Node."""
    metadata = node["metadata"]
    return [{"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]}]


def name(node: str, number: int) -> str:
    """Return the name of a node's slice."""
    return f"{node}-{number}"


def is_name(node: str, text: str) -> bool:
    """Return whether this is the name of a slice of the node: of no other, for all that follows the last dash."""
    return text.startswith(f"{node}-") and re.fullmatch(r"[1-9][0-9]{0,5}", text[len(node) + 1 :]) is not None


def desired(node: dict[str, Any], *, number: int, attachments: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a new slice of a Node."""
    own = node["metadata"]["name"]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name(own, number), "labels": labels(own), "ownerReferences": owners(node)},
        "nodeName": own,
        "attachments": attachments,
    }
