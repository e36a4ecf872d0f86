"""The CRD of NetworkAttachmentDefinitions: owns the one form in which Mooring creates it.

As the specification v1.3 of the Network Plumbing Working Group and everything written for Multus know it; the same
is in `crds/network-attachment-definitions.yaml` for a person to apply, and a test compares the two. Refuses to be
richer than others' copies: a cluster may get theirs first, or after ours.
"""

from __future__ import annotations

import copy
from typing import Any

from mooring.networks import nads

GROUP = nads.API_VERSION.split("/")[0]
NAME = f"{nads.PLURAL}.{GROUP}"

_TEXT: dict[str, Any] = {"type": "string"}
_SCHEMA: dict[str, Any] = {
    "description": "A network that pods can be attached to, by the annotation k8s.v1.cni.cncf.io/networks.",
    "type": "object",
    "properties": {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {
                "config": {
                    "description": "A CNI configuration or configuration list as JSON; where empty, the network is "
                    "a file of this name on the node.",
                    "type": "string",
                }
            },
        },
    },
}


def definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": nads.PLURAL,
                "singular": "network-attachment-definition",
                "kind": nads.KIND,
                "shortNames": ["nad", "net-attach-def"],
            },
            "versions": [
                {
                    "name": nads.API_VERSION.split("/")[1],
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": copy.deepcopy(_SCHEMA)},
                }
            ],
        },
    }
