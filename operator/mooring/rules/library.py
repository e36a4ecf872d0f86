"""The library of plugin types: owns loading the JSON Schemas, once, and looking a type up by its name.

The schemas describe what the plugins' own decoders take (their sources are named in them), not what would be
nice. Beside JSON Schema they use: `x-mooring` (role, aliases, source, complete, ipam, elsewhere, hints, example) and
`x-mild` on an option that the plugin does not refuse though it makes no sense, `x-anycase` on words that it takes in
any case. `$comment` names the source that a schema was compared with.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
from typing import TYPE_CHECKING, Literal

import jsonschema

from mooring.rules import formats

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, object]
Role = Literal["main", "ipam", "meta"]


@dataclasses.dataclass(frozen=True, slots=True)
class Type:
    """A known plugin type.

    `complete` tells that the schema lists every option (a vendor's may have more by now), `needs_ipam` that a main
    plugin fails without addresses, `fills_ipam` that it writes the IPAM section itself or adds to it, `elsewhere` that
    it is used in the other place as well (an IPAM plugin alone, or another one for its addresses), `hints` what to
    write instead of options that people expect here.
    """

    name: str
    role: Role
    aliases: tuple[str, ...]
    source: str
    complete: bool
    needs_ipam: bool
    fills_ipam: bool
    elsewhere: bool
    hints: Mapping[str, str]
    example: Mapping[str, object]
    schema: Schema
    validator: jsonschema.Draft202012Validator


#: Types met in public repositories that have no schema here: not misspelt ones of those that have.
UNDESCRIBED = frozenset(
    {
        "afxdp", "antrea", "aws-cni", "azure-vnet", "azure-vnet-ipam", "egress-router", "gke", "host-local-ipam",
        "ipvtap", "kube-router", "linkerd-cni", "macvtap", "netkit", "ovn4nfvk8s-cni", "ovs-mirror-consumer",
        "ovs-mirror-producer", "rdma", "tap-device", "tc-redirect-tap", "vxlan", "weave-ipam",
    }
)  # fmt: skip


@functools.cache
def types() -> Mapping[str, Type]:
    """Return every known type by its name; aliases are not in it."""
    return {entry.name: entry for entry in _load()}


@functools.cache
def _by_name() -> Mapping[str, Type]:
    return {name: entry for entry in types().values() for name in (entry.name, *entry.aliases)}


@functools.cache
def names(role: Role | None = None) -> tuple[str, ...]:
    """Return the names that a type may be meant to be: those of a role, or all, with aliases and undescribed ones."""
    known = tuple(name for name in sorted(_by_name()) if role is None or _by_name()[name].role == role)
    return known if role is not None else (*known, *sorted(UNDESCRIBED))


def find(name: str, role: Role | None = None) -> Type | None:
    """Return the type of this name or alias, if there is one, and it has the role."""
    entry = _by_name().get(name)
    if entry is not None and role == "ipam" and entry.role != "ipam":
        return None
    if entry is not None and role != "ipam" and role is not None and entry.role == "ipam":
        return None
    return entry


@functools.cache
def base() -> Type:
    """Return what every plugin has in common, for types that nobody described."""
    common = _document("common")
    definitions = common["$defs"]
    assert isinstance(definitions, dict)  # noqa: S101  a file of ours
    schema = _inline(definitions["conf"], definitions)
    return Type(
        name="",
        role="main",
        aliases=(),
        source="",
        complete=False,
        needs_ipam=False,
        fills_ipam=False,
        elsewhere=False,
        hints={},
        example={},
        schema=schema,
        validator=_validator(schema),
    )


def _load() -> list[Type]:
    definitions = _document("common")["$defs"]
    assert isinstance(definitions, dict)  # noqa: S101  a file of ours
    shared = base().schema["properties"]
    assert isinstance(shared, dict)  # noqa: S101  a file of ours
    found = []
    for file in sorted(_folder().iterdir(), key=lambda file: file.name):
        name = file.name.removesuffix(".json")
        if name == "common" or name == file.name:
            continue
        document = _document(name)
        meta = document["x-mooring"]
        assert isinstance(meta, dict)  # noqa: S101  a file of ours
        schema = _inline({key: document[key] for key in document if not key.startswith(("$", "x-"))}, definitions)
        if meta["role"] != "ipam":
            options = schema["properties"]
            assert isinstance(options, dict)  # noqa: S101  a file of ours
            schema["properties"] = {**shared, **options}
        found.append(
            Type(
                name=name,
                role=meta["role"],
                aliases=tuple(meta.get("aliases", ())),
                source=meta["source"],
                complete=meta["complete"],
                needs_ipam=meta.get("ipam") == "required",
                fills_ipam=meta.get("ipam") == "filled",
                elsewhere=bool(meta.get("elsewhere")),
                hints=meta.get("hints", {}),
                example=meta["example"],
                schema=schema,
                validator=_validator(schema),
            )
        )
    return found


def _folder() -> importlib.resources.abc.Traversable:
    return importlib.resources.files("mooring.rules") / "schemas"


def _document(name: str) -> Schema:
    document: Schema = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return document


def _inline(schema: Schema, definitions: Schema) -> Schema:
    """Replace references by what they refer to, so that a schema can be walked without a resolver."""
    return {key: _expand(value, definitions) for key, value in _followed(schema, definitions).items()}


def _followed(schema: Schema, definitions: Schema) -> Schema:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    target = definitions[reference.rpartition("/")[2]]
    assert isinstance(target, dict)  # noqa: S101  a file of ours
    own = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_followed(target, definitions), **own}


def _expand(value: object, definitions: Schema) -> object:
    if isinstance(value, dict):
        return _inline(value, definitions)
    if isinstance(value, list):
        return [_expand(item, definitions) for item in value]
    return value


def _validator(schema: Schema) -> jsonschema.Draft202012Validator:
    checker = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    kind = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator, type_checker=checker
    )
    validator: jsonschema.Draft202012Validator = kind(schema, format_checker=formats.CHECKER)
    return validator


def _is_integer(_: object, value: object) -> bool:
    # Go refuses 1.0 and 1e3 for an int, so a number that was written as a float is none, and nor is a larger one.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
