"""The `NetworkReport`: owns the object that a person looks at to see how a network does.

One for each NetworkAttachmentDefinition with findings or attachments, of its namespace and name, owned by it so that
it goes with it. The leader of the operator writes it and nobody reads it back but people: it holds no truth of its own.
"""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from mooring.installing.conditions import Condition
from mooring.installing.installations import API_VERSION, Severity
from mooring.installing.models import Model
from mooring.networks import nads

KIND = "NetworkReport"
LABELS = {"app.kubernetes.io/name": "mooring", "app.kubernetes.io/managed-by": "mooring-operator"}
MOST_FINDINGS = 50
MOST_NODES = 20
LONGEST_TEXT = 1024


class Overview(Model):
    """The report in a line, as `kubectl get networkreports` prints it."""

    findings: str = pydantic.Field(description='How many findings of each severity, such as "1 Enforce, 2 Warn".')
    nodes: str = pydantic.Field(description='Nodes that can serve the network, of those that are served: "2/3".')
    addresses: str = pydantic.Field(
        "",
        description='Addresses in use, of those that there are: "5/253"; on the fullest node where each has its own.',
    )


class ReportedFinding(Model):
    """What a rule found in the definition, as admission and `mooring lint` say it."""

    code: str = pydantic.Field(description="The code of the rule, such as MR305.")
    severity: Severity = pydantic.Field(description="What the finding does at admission.")
    path: str = pydantic.Field(description="Where it is in the definition.")
    message: str = pydantic.Field(description="What is wrong.")
    remedy: str = pydantic.Field("", description="What to do about it.")


class Attachments(Model):
    """The pods that are attached to the network."""

    interfaces: int = pydantic.Field(0, ge=0, description="How many interfaces of pods are on the network.")
    pods: int = pydantic.Field(0, ge=0, description="Of how many pods they are.")
    nodes: int = pydantic.Field(0, ge=0, description="On how many nodes these run.")
    stale: int = pydantic.Field(
        0, ge=0, description="How many interfaces were attached with another configuration than the definition has now."
    )


class UnableNode(Model):
    """A node on which a pod of this network would not start."""

    name: str = pydantic.Field(description="The name of the node.")
    reason: str = pydantic.Field(description="What it lacks.")


class ServingNodes(Model):
    """The nodes that Mooring serves, and which of them can serve the network."""

    selected: int = pydantic.Field(0, ge=0, description="How many nodes are served.")
    able: int = pydantic.Field(0, ge=0, description="How many of them are ready and have what the network needs.")
    unable: list[UnableNode] = pydantic.Field(
        default_factory=list, max_length=MOST_NODES, description="The others, the first 20 by name."
    )


class NodeUse(Model):
    """The addresses in use on one node."""

    name: str = pydantic.Field(description="The name of the node.")
    used: int = pydantic.Field(ge=0, description="How many addresses pods of the node hold.")


class Addresses(Model):
    """The addresses of the network."""

    scope: Literal["Node", "Cluster"] | None = pydantic.Field(
        None,
        description="Whether each node has a pool of its own (host-local) or all share one; absent where the IPAM "
        "plugin tells nobody.",
    )
    size: int | None = pydantic.Field(
        None, ge=0, description="How many addresses the pool has; absent where nobody knows, and beyond a billion."
    )
    used: int = pydantic.Field(0, ge=0, description="How many different addresses pods hold.")
    fullest_node: NodeUse | None = pydantic.Field(
        None, description="The node with the most addresses in use, where each has a pool of its own."
    )
    duplicates: list[str] = pydantic.Field(
        default_factory=list, max_length=MOST_NODES, description="Addresses that more than one interface holds."
    )


class NetworkReport(Model):
    """How a network does: what the rules find in it, which nodes can serve it, who is attached, addresses left."""

    overview: Overview = pydantic.Field(description="The report in a line.")
    findings: list[ReportedFinding] = pydantic.Field(
        default_factory=list,
        max_length=MOST_FINDINGS,
        description="What the rules find in the definition, worst first.",
    )
    findings_left_out: int = pydantic.Field(0, ge=0, description="How many findings there are beyond these.")
    attachments: Attachments = pydantic.Field(description="The pods that are attached to it.")
    nodes: ServingNodes = pydantic.Field(description="The nodes that can serve it.")
    addresses: Addresses = pydantic.Field(description="The addresses that it gives.")
    config_hash: str = pydantic.Field("", description="The hash of the configuration, as AttachmentSlices have it.")
    changed_at: str | None = pydantic.Field(
        None,
        description="When the configuration changed last, as far as was seen.",
        json_schema_extra={"format": "date-time"},
    )
    conditions: list[Condition] = pydantic.Field(
        default_factory=list,
        description="Valid: no rule that enforces objects. Served: all nodes can serve it. AddressesLeft: no pool is "
        "used up; NoDuplicates: no address is held twice.",
    )


def desired(nad: dict[str, Any], report: NetworkReport) -> dict[str, Any]:
    """Return the object of a definition's report; `nad` needs its name, namespace and uid."""
    metadata = nad["metadata"]
    owner = {"apiVersion": nads.API_VERSION, "kind": nads.KIND, "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": dict(LABELS),
            "ownerReferences": [owner],
        },
        **report.to_wire(),
    }
