"""CustomResourceDefinitions from the pydantic models: owns `crds/*.yaml` of our own kinds.

`python -m mooring.installing.crds` writes them; a test compares what is there with what it would write. Structural
schemas as the API server wants them: no `$ref`, no `title`, no `additionalProperties: false`, `nullable` left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from mooring.installing.attachmentslices import AttachmentSlice
from mooring.installing.installations import GROUP, VERSION, InstallationSpec, InstallationStatus
from mooring.installing.networkreports import NetworkReport
from mooring.installing.nodestates import NodeStateSpec, NodeStateStatus

if TYPE_CHECKING:
    from mooring.installing.models import Model

_HEADER = "# Generated from the models in operator/mooring/installing by `make generate`.\n"
_DROPPED = frozenset({"title", "$defs", "discriminator"})
_COMMON: dict[str, dict[str, Any]] = {
    "apiVersion": {"type": "string", "description": "The group and version of this kind."},
    "kind": {"type": "string", "description": "The kind of the object."},
    # The API server takes no description of this one; kubectl has its own.
    "metadata": {"type": "object"},
}

Column = tuple[str, str, str]  # name, type, JSON path


def _condition(type_name: str) -> str:
    return f'.status.conditions[?(@.type=="{type_name}")].status'


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return one node of a JSON Schema of pydantic's as a node of a structural schema.

    Raises:
        ValueError: a union that a structural schema cannot express.
    """
    if "$ref" in schema:
        referred = definitions[schema["$ref"].rpartition("/")[2]]
        return structural({**referred, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default") or value is False}
        if "default" in schema and schema["default"] is not None:
            rest["default"] = schema["default"]
        if len(options) == 1:
            return structural({**options[0], **rest}, definitions)
        if {option.get("type") for option in options} == {"integer", "string"}:
            limits = {key: value for option in options for key, value in option.items() if key != "type"}
            return structural({**rest, **limits, "x-kubernetes-int-or-string": True}, definitions)
        raise ValueError(f"a structural schema cannot say {schema['anyOf']}")
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if (
            key in _DROPPED
            or (key == "additionalProperties" and value is False)
            or (key == "default" and value is None)
        ):
            continue
        if key == "properties":
            result[key] = {name: structural(each, definitions) for name, each in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            result[key] = structural(value, definitions)
        elif key == "const":
            result["enum"] = [value]
        else:
            result[key] = value
    return result


def schema_of(model: type[Model]) -> dict[str, Any]:
    """Return the structural schema of a model."""
    schema = model.model_json_schema(by_alias=True)
    return structural(schema, schema.get("$defs", {}))


def definition(
    *,
    kind: str,
    plural: str,
    description: str,
    short_names: list[str],
    schema: dict[str, Any],
    columns: list[Column],
    validations: list[dict[str, str]],
    selectable: tuple[str, ...] = (),
    scope: Literal["Cluster", "Namespaced"] = "Cluster",
) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one kind; `selectable` are paths for field selectors."""
    properties = schema["properties"]
    root: dict[str, Any] = {
        "type": "object",
        **schema,
        "description": description,
        "properties": {
            **_COMMON,
            **properties,
        },
    }
    if validations:
        root["x-kubernetes-validations"] = validations
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/name": "mooring"}},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                **({"shortNames": short_names} if short_names else {}),
                "categories": ["mooring"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if "status" in properties else {}),
                    "additionalPrinterColumns": [
                        {"name": name, "type": type_name, "jsonPath": path} for name, type_name, path in columns
                    ],
                    **({"selectableFields": [{"jsonPath": path} for path in selectable]} if selectable else {}),
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def _spec_and_status(spec: type[Model], status: type[Model]) -> dict[str, Any]:
    told = _with_conditions(schema_of(status))
    return {"properties": {"spec": {**schema_of(spec), "default": {}}, "status": told}}


def _with_conditions(schema: dict[str, Any]) -> dict[str, Any]:
    """Make the conditions a map by their type, so that two writers do not overwrite each other's."""
    conditions = schema["properties"]["conditions"]
    conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    conditions.pop("default", None)
    return schema


def definitions() -> dict[str, dict[str, Any]]:
    """Return our CustomResourceDefinitions by the name of their file."""
    age: Column = ("Age", "date", ".metadata.creationTimestamp")
    return {
        "attachmentslices.yaml": definition(
            kind="AttachmentSlice",
            plural="attachmentslices",
            description="Who holds which address: a part of what is attached on one node. The agent of the node writes "
            "it, with at most 100 attachments in one slice; it goes with its Node.",
            short_names=["aslice"],
            schema=schema_of(AttachmentSlice),
            columns=[("Node", "string", ".nodeName"), age],
            validations=[{"rule": "self.nodeName == oldSelf.nodeName", "message": "a slice stays with its node"}],
            selectable=(".nodeName",),
        ),
        "installations.yaml": definition(
            kind="Installation",
            plural="installations",
            description="What Mooring should be on the nodes of this cluster. There is one, named default; the "
            "operator turns it into a revision that the nodes get one after the other, and says in the status how far "
            "it is.",
            short_names=["minst"],
            schema=_spec_and_status(InstallationSpec, InstallationStatus),
            columns=[
                ("Available", "string", _condition("Available")),
                ("Progressing", "string", _condition("Progressing")),
                ("Degraded", "string", _condition("Degraded")),
                ("Revision", "string", ".status.revision"),
                ("Nodes", "integer", ".status.nodes.desired"),
                ("Updated", "integer", ".status.nodes.updated"),
                ("Ready", "integer", ".status.nodes.ready"),
                ("Reason", "string", '.status.conditions[?(@.type=="Progressing")].reason'),
                ("Trouble", "string", '.status.conditions[?(@.type=="Degraded")].reason'),
                age,
            ],
            validations=[
                {
                    "rule": "self.metadata.name == 'default'",
                    "message": "there is one Installation in a cluster, and its name is default",
                }
            ],
        ),
        "networkreports.yaml": definition(
            kind="NetworkReport",
            plural="networkreports",
            description="How a network does: what the rules find in its definition, which nodes can serve it, who is "
            "attached and what is left of its addresses. The operator writes one for each "
            "NetworkAttachmentDefinition with findings or attachments, of the same name; it goes with it.",
            short_names=["netreport"],
            schema=_with_conditions(schema_of(NetworkReport)),
            columns=[
                ("Findings", "string", ".overview.findings"),
                ("Nodes", "string", ".overview.nodes"),
                ("Interfaces", "integer", ".attachments.interfaces"),
                ("Addresses", "string", ".overview.addresses"),
                ("Changed", "date", ".changedAt"),
                age,
            ],
            validations=[],
            scope="Namespaced",
        ),
        "nodestates.yaml": definition(
            kind="NodeState",
            plural="nodestates",
            description="One node: the operator says in the spec which revision it should have, the agent in the "
            "status what it has, and what is wrong there. It is named after its Node, and goes with it.",
            short_names=["mns"],
            schema=_spec_and_status(NodeStateSpec, NodeStateStatus),
            columns=[
                ("Ready", "string", _condition("Ready")),
                ("Wanted", "string", ".spec.revision"),
                ("Revision", "string", ".status.revision"),
                ("Primary", "string", ".status.primaryNetwork.name"),
                ("Failed-Adds", "integer", ".status.failedAdds"),
                ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
                age,
            ],
            validations=[],
        ),
    }


def rendered(document: dict[str, Any]) -> str:
    """Return the text of one file."""
    return _HEADER + str(yaml.safe_dump(document, sort_keys=False, width=120))


def main(arguments: list[str] | None = None) -> int:
    """Write the files into a folder."""
    parser = argparse.ArgumentParser(prog="python -m mooring.installing.crds", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("crds"))
    folder: Path = parser.parse_args(arguments).folder
    for name, document in definitions().items():
        (folder / name).write_text(rendered(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
