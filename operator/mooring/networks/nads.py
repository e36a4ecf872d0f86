"""NetworkAttachmentDefinitions: owns how a manifest becomes the few things that matter here.

pydantic models the envelope. It refuses a manifest whose shape the API server would refuse or silently prune,
and takes everything that people leave out: the namespace, the whole `spec`, `annotations: null`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import pydantic

API_VERSION = "k8s.cni.cncf.io/v1"
KIND = "NetworkAttachmentDefinition"
PLURAL = "network-attachment-definitions"
RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"


@dataclasses.dataclass(frozen=True, slots=True)
class Nad:
    """What a definition says. `namespace` is "" where the manifest has none; `config` is "" where absent."""

    namespace: str
    name: str
    config: str
    resource_name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the envelope: where (dotted path), what, and what to write instead."""

    path: str
    message: str
    remedy: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a manifest, and what is wrong with it. `nad` is None where too little is left."""

    nad: Nad | None
    problems: tuple[Problem, ...]


_Text = Annotated[str, pydantic.Field(strict=True)]


class _Metadata(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore")

    name: _Text = ""
    generateName: _Text | None = None  # noqa: N815  the API's spelling
    namespace: _Text | None = None
    annotations: dict[str, object] | None = None


class _Spec(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore")

    config: _Text | None = None


class _Envelope(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore")

    apiVersion: Literal["k8s.cni.cncf.io/v1"]  # noqa: N815  the API's spelling
    kind: Literal["NetworkAttachmentDefinition"]
    metadata: _Metadata
    spec: _Spec | None = None


_REMEDIES = {
    "apiVersion": f"Write `apiVersion: {API_VERSION}`.",
    "kind": f"Write `kind: {KIND}`.",
    "metadata": "Write `metadata:` with a `name`.",
    "spec": "Write `spec:` with a `config`.",
    "spec.config": "Write the CNI configuration as one string: `config: |` and the JSON indented below it.",
}


def read(manifest: Mapping[str, object]) -> Reading:
    """Read a manifest as parsed from YAML or from an admission review. Never raises."""
    problems = list(_misplaced(manifest))
    try:
        envelope = _Envelope.model_validate(manifest)
    except pydantic.ValidationError as error:
        problems.extend(
            _problem(item["loc"], item["msg"]) for item in error.errors(include_url=False, include_input=False)
        )
        return Reading(nad=_salvage(manifest), problems=tuple(problems))
    annotations = envelope.metadata.annotations or {}
    resource_name = annotations.get(RESOURCE_NAME, "")
    if not isinstance(resource_name, str):
        problems.append(
            Problem(
                path=f"metadata.annotations[{RESOURCE_NAME}]",
                message="The value of an annotation must be a text.",
                remedy="Put the value into quotes.",
            )
        )
        resource_name = ""
    nad = Nad(
        namespace=envelope.metadata.namespace or "",
        name=envelope.metadata.name,
        config=(envelope.spec.config or "") if envelope.spec is not None else "",
        resource_name=resource_name,
    )
    return Reading(nad=nad, problems=tuple(problems))


def _salvage(manifest: Mapping[str, object]) -> Nad | None:
    """Take the configuration out of a broken envelope, so that all mistakes are told at once."""
    spec = manifest.get("spec")
    config = spec.get("config") if isinstance(spec, Mapping) else None
    if not isinstance(config, str) or manifest.get("kind") != KIND:
        return None
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return Nad(namespace="", name=name if isinstance(name, str) else "", config=config, resource_name="")


def _problem(location: tuple[int | str, ...], message: str) -> Problem:
    path = ".".join(str(step) for step in location) or "."
    if path == "spec.config":
        message = "The configuration must be a string that holds JSON; here it is something else."
    else:
        message = message.rstrip(".") + "."
    remedy = _REMEDIES.get(path, "Write the field as the API documents it.")
    return Problem(path=path, message=message, remedy=remedy)


def _misplaced(manifest: Mapping[str, object]) -> list[Problem]:
    """Find a configuration that the API server would prune: a capital in its name, or a wrong nesting."""
    spec = manifest.get("spec")
    fields = spec if isinstance(spec, Mapping) else {}
    if fields.get("config") is not None:
        return []
    found = [
        Problem(
            path=f"spec.{key}",
            message=f"There is no field `{key}`: the API server drops it, and the network has no configuration.",
            remedy="Write `config` in lower case.",
        )
        for key in fields
        if isinstance(key, str) and key != "config" and key.lower() == "config"
    ]
    if isinstance(manifest.get("config"), str):
        found.append(
            Problem(
                path="config",
                message="`config` stands beside `spec`: the API server drops it, and the network has none.",
                remedy="Move `config` into `spec`.",
            )
        )
    return found
