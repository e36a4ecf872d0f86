"""The `NodeState`: owns the object through which operator and agent talk about one node.

The leader writes its spec, the agent of the node its status. One per selected node, named after it and owned by
the Node, so that it goes with it.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pydantic

from mooring.installing import conditions, standings
from mooring.installing.conditions import Condition
from mooring.installing.installations import API_VERSION
from mooring.installing.models import Model
from mooring.installing.standings import Told

KIND = "NodeState"


class Before(Model):
    """How a node did when it was told its revision; by this it is judged afterwards."""

    revision: str = pydantic.Field("", description="The revision that it worked with; empty where with none.")
    failed_adds: int = pydantic.Field(0, ge=0, description="ADDs that had failed in ten minutes.")
    degraded: bool = pydantic.Field(False, description="Whether it was Degraded already.")
    recovering: bool = pydantic.Field(
        False, description="Whether it left a revision that never was good, whose failures still count for a while."
    )


class NodeStateSpec(Model):
    """What the node should be."""

    revision: str = pydantic.Field(
        "", max_length=253, description="The name of the ConfigMap of the revision to apply; none where empty."
    )
    drain: bool = pydantic.Field(False, description="Whether the agent takes itself off the node.")
    adopted: bool | None = pydantic.Field(
        None, description="Whether Multus is kept from this node: what is left of its confs goes. Absent where not."
    )
    assigned_at: str | None = pydantic.Field(
        None, description="When the node was told this revision.", json_schema_extra={"format": "date-time"}
    )
    before: Before | None = pydantic.Field(
        None, description="How the node did then; absent where it is new and joined the last good revision."
    )


class PrimaryNetwork(Model):
    """The default network that is pinned in the node's conf."""

    name: str = pydantic.Field(description="The name of the network.")
    file: str = pydantic.Field(description="The file of the node's conf folder that it was read from.")


class Runtime(Model):
    """The container runtime, and what the next pod gets from it."""

    name: str = pydantic.Field(description="Its name, as it says itself.")
    version: str = pydantic.Field("", description="Its version, as it says itself.")
    networks: list[str] | None = pydantic.Field(
        None, description="The CNI networks that it has loaded, in its own words; absent where it does not tell."
    )
    cni_version: str | None = pydantic.Field(
        None, description="The highest version of CNI that it parses; it parses all before that too."
    )


class MultusOnNode(Model):
    """What a Multus has on the node."""

    confs: list[str] = pydantic.Field(
        default_factory=list, max_length=20, description="Its files in the folder of confs, by name."
    )
    sandboxes: int = pydantic.Field(0, ge=0, description="How many sandboxes it attached that are still there.")


class Binary(Model):
    """A program in the folder of CNI plugins."""

    name: str = pydantic.Field(description="Its name in the folder of CNI plugins.")
    sha256: str = pydantic.Field(description="Its checksum.")
    version: str = pydantic.Field("", description="As the file itself says; empty where it does not.")
    owner: str = pydantic.Field(
        "", description="mooring or pluginSet/NAME for what the agent installed; empty for what somebody else did."
    )


class AttachedNetwork(Model):
    """A network that pods of this node are attached to; which pods is told by the AttachmentSlices."""

    namespace: str = pydantic.Field("", description="The namespace of its definition; empty where it has none.")
    name: str = pydantic.Field(description="Its name.")
    attachments: int = pydantic.Field(ge=0, description="How many interfaces are attached to it.")


class AbsentInterface(Model):
    """An interface that the node does not have, and that networks name as their master."""

    name: str = pydantic.Field(description="Its name.")
    networks: list[str] = pydantic.Field(max_length=20, description="namespace/name of these networks, the first 20.")


class NodeError(Model):
    """Something that went wrong on this node."""

    time: str = pydantic.Field(description="When.", json_schema_extra={"format": "date-time"})
    reason: str = pydantic.Field(description="What, in one word.")
    message: str = pydantic.Field(description="What, for a person.")


class FailingNetwork(Model):
    """A network with which calls of the container runtime failed in the last ten minutes."""

    network: str = pydantic.Field(description="Its name; empty where a call failed before it came to a network.")
    calls: int = pydantic.Field(ge=1, description="How many calls failed.")
    pods: int = pydantic.Field(ge=0, description="Of how many different pods.")


class PodWithoutNetworks(Model):
    """A pod that runs without the networks it asks for."""

    namespace: str = pydantic.Field(description="The namespace of the pod.")
    name: str = pydantic.Field(description="The name of the pod.")
    uid: str = pydantic.Field(description="The UID of the pod.")
    cause: str = pydantic.Field(description="The reason of its condition mooring.dev/NetworksAttached.")


class PodsWithoutNetworks(Model):
    """The pods of this node that run without the networks they ask for."""

    count: int = pydantic.Field(ge=0, description="How many there are.")
    pods: list[PodWithoutNetworks] = pydantic.Field(default_factory=list, max_length=20, description="The first 20.")


class NodeStateStatus(Model):
    """What the node is."""

    observed_generation: int | None = pydantic.Field(None, description="The generation of the spec that this is about.")
    heartbeat_time: str | None = pydantic.Field(
        None,
        description="When the agent wrote this; at the latest five minutes after the time before.",
        json_schema_extra={"format": "date-time"},
    )
    revision: str | None = pydantic.Field(None, description="The revision that is applied.")
    primary_network: PrimaryNetwork | None = pydantic.Field(
        None, description="The default network that is pinned in the node's conf."
    )
    conf_hash: str | None = pydantic.Field(None, description="sha256: and the checksum of 00-multus.conf.")
    conf_file: str | None = pydantic.Field(
        None, description="The name of our conf; another one than 00-multus.conf while a rival sorts before that."
    )
    distribution: str | None = pydantic.Field(
        None, description="The distribution of Kubernetes that the node looks like, by the name of its paths.preset."
    )
    rivals: list[str] = pydantic.Field(
        default_factory=list, max_length=20, description="Files of the conf folder that sort before 00-multus.conf."
    )
    multus: MultusOnNode | None = pydantic.Field(
        None, description="What a Multus has on the node; absent where there is nothing of it."
    )
    runtime: Runtime | None = pydantic.Field(
        None, description="The container runtime, and what the next pod gets from it."
    )
    binaries: list[Binary] = pydantic.Field(
        default_factory=list, max_length=100, description="The programs in the folder of CNI plugins, the first 100."
    )
    link_types: list[str] | None = pydantic.Field(
        None,
        max_length=32,
        description="Types of network interfaces that the kernel makes, or has a module for; absent where not known.",
    )
    absent_interfaces: list[AbsentInterface] = pydantic.Field(
        default_factory=list, max_length=20, description="Interfaces that networks name and that are not there."
    )
    networks: list[AttachedNetwork] = pydantic.Field(
        default_factory=list, description="The networks that pods of this node are attached to."
    )
    failed_adds: int = pydantic.Field(0, ge=0, description="ADDs that failed in the last ten minutes.")
    failures: list[FailingNetwork] = pydantic.Field(
        default_factory=list, max_length=20, description="What failed in the last ten minutes, the worst network first."
    )
    pods_without_networks: PodsWithoutNetworks | None = pydantic.Field(
        None, description="Absent while every pod has the networks that it asks for."
    )
    last_errors: list[NodeError] = pydantic.Field(
        default_factory=list, max_length=10, description="What went wrong last on this node."
    )
    conditions: list[Condition] = pydantic.Field(
        default_factory=list, description="Ready: pods of this node get their networks; others say why not."
    )


def selected(node: dict[str, Any], *, node_selector: dict[str, str]) -> bool:
    """Say whether a Node has all the labels of the selector."""
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in node_selector.items())


def desired(node: dict[str, Any], told: Told, *, drain: bool = False, adopted: bool = False) -> dict[str, Any]:
    """Return the NodeState of a Node, to be applied with the operator's field manager."""
    metadata = node["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": metadata["name"],
            "labels": {"app.kubernetes.io/name": "mooring", "app.kubernetes.io/managed-by": "mooring-operator"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]},
            ],
        },
        "spec": _spec(told, drain=drain, adopted=adopted).to_wire(),
    }


def told(spec: dict[str, Any]) -> Told:
    """Return what a node was told, from the spec of its NodeState as it is on the wire."""
    parsed = NodeStateSpec.model_validate(
        {key: spec[key] for key in ("revision", "assignedAt", "before") if spec.get(key)}
    )
    before = standings.Before(**parsed.before.model_dump()) if parsed.before else None
    at = datetime.datetime.fromisoformat(parsed.assigned_at) if parsed.assigned_at else None
    return Told(parsed.revision, at, before)


def _spec(told: Told, *, drain: bool, adopted: bool) -> NodeStateSpec:
    return NodeStateSpec(
        revision=told.revision,
        drain=drain,
        adopted=adopted or None,
        assigned_at=conditions.rfc3339(told.at) if told.at else None,
        before=Before(**dataclasses.asdict(told.before)) if told.before else None,
    )
