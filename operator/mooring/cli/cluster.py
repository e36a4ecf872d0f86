"""The networks of a live cluster as texts to lint: owns listing them by the caller's kubeconfig; refuses to write.

Each becomes the text that `kubectl get -o yaml` would show, without what the API server keeps for itself, so that a
place in it can be told and underlined.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import yaml

from mooring.kube import errors, resources
from mooring.kube.client import Client
from mooring.linting import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.rules.findings import Severity

#: Written by the API server or by `kubectl apply`, and not by a person.
_METADATA = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_INSTALLATION = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class Networks:
    """The definitions of a cluster by a name for each (`cluster/NAMESPACE/NAME.yaml`), and the severities there.

    `unknown` says why the severities are not known; "" where they are.
    """

    texts: Mapping[str, str]
    severities: Mapping[str, Severity]
    unknown: str = ""


def read() -> Networks:
    """Return the networks of the cluster of the kubeconfig. Raises errors.ApiError."""
    return asyncio.run(_read())


async def _read() -> Networks:
    async with await Client.load() as client:
        return await networks(client)


async def networks(client: Client) -> Networks:
    """Return the networks of a cluster. Raises errors.ApiError."""
    texts: dict[str, str] = {}
    async for page in client.pages(resources.NADS):
        for item in page["items"]:
            metadata = item["metadata"]
            texts[f"cluster/{metadata['namespace']}/{metadata['name']}.yaml"] = shown(item)
    try:
        installation = await client.get(resources.INSTALLATIONS, _INSTALLATION)
    except errors.NotFound:
        return Networks(texts, {})
    except errors.Forbidden as error:
        return Networks(texts, {}, f"its severities are not known, those of the rules are taken: {error.message}")
    written = ((installation.get("spec") or {}).get("admission") or {}).get("severities") or {}
    try:
        return Networks(texts, settings.severities(written, name="Installation default"))
    except settings.SettingsError as error:
        return Networks(texts, {}, f"its severities are those of another version: {error}")


def shown(item: Mapping[str, Any]) -> str:
    """Return the YAML of a definition from a list."""
    metadata = {name: value for name, value in item["metadata"].items() if name not in _METADATA}
    annotations = {name: value for name, value in (metadata.pop("annotations", None) or {}).items() if name != _APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    rest = {name: value for name, value in item.items() if name not in ("apiVersion", "kind", "metadata")}
    whole = {"apiVersion": resources.NADS.api_version, "kind": resources.NADS.kind, "metadata": metadata, **rest}
    return yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are, where YAML allows it."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
