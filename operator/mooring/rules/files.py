"""Whole files of manifests: owns finding in them what the rules judge, and telling places in the file.

The same rules as at admission, before anything is applied: for the command line and for CI. What may be filled in
later (kustomize, Helm, Flux) is told apart from what is wrong.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from mooring.networks import manifests, nads
from mooring.rules import definitions, findings, pods, reporting, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mooring.networks import paths
    from mooring.networks.manifests import Manifest
    from mooring.rules.findings import Finding, Severity

#: Where kinds keep the annotations of their pods.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
}
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*[^}]*\}|\{\{.*?\}\}", re.DOTALL)
_ANNOTATION = re.compile(r"(?P<path>.*?)\[(?P<key>[^\]]*/[^\]]*)\]")


@dataclasses.dataclass(frozen=True, slots=True)
class Located:
    """A finding in a file: which object (`NetworkAttachmentDefinition default/storage`), and where in the file."""

    subject: str
    place: paths.Position
    finding: Finding


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What was judged of one file, what was found, and what was left out and why."""

    judged: int
    found: tuple[Located, ...]
    skipped: tuple[str, ...]


def judge(text: str, *, severities: Mapping[str, Severity] | None = None) -> Report:
    """Judge every definition and every pod (or template of pods) of a file. Raises manifests.NotYAMLError."""
    found: list[Located] = []
    skipped: list[str] = []
    read = manifests.read(text)
    judged = 0
    definitions_: list[Manifest] = []
    for manifest in read:
        kind = manifest.value.get("kind")
        if kind == nads.KIND:
            placeholder = _placeholder(manifest)
            if placeholder:
                skipped.append(f"{subject(manifest)}: {placeholder} is filled in later; judged is what comes of it")
                continue
            definitions_.append(manifest)
            found.extend(_locate(manifest, definitions.validate(manifest.value, severities=severities)))
            judged += 1
        elif isinstance(kind, str) and kind in _TEMPLATES:
            found.extend(_locate(manifest, _pods(manifest, _TEMPLATES[kind], severities)))
            judged += 1
    found.extend(_compared(definitions_, severities))
    found.sort(key=lambda located: located.place)
    return Report(judged=judged, found=tuple(found), skipped=tuple(skipped))


def worst(report: Report) -> Severity | None:
    """Return the worst severity in a report."""
    ordered = findings.worst_first(located.finding for located in report.found)
    return ordered[0].severity if ordered else None


def subject(manifest: Manifest) -> str:
    """Return how a person calls an object: its kind, namespace and name."""
    metadata = manifest.value.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    name = fields.get("name") or fields.get("generateName") or "(without a name)"
    namespace = fields.get("namespace")
    return f"{manifest.value.get('kind')} {f'{namespace}/' if namespace else ''}{name}"


def _placeholder(manifest: Manifest) -> str:
    """Return a placeholder that makes the configuration something else than JSON until it is expanded."""
    reading = nads.read(manifest.value)
    if reading.nad is None or not any(f.code == "MR101" for f in definitions.validate(manifest.value)):
        return ""
    match = _PLACEHOLDER.search(reading.nad.config)
    return match.group()[:40] if match is not None else ""


def _pods(manifest: Manifest, template: tuple[str, ...], severities: Mapping[str, Severity] | None) -> list[Finding]:
    here: object = manifest.value
    for step in (*template, "metadata", "annotations"):
        here = here.get(step) if isinstance(here, dict) else None
    metadata = manifest.value.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return pods.validate(
        here if isinstance(here, dict) else {},
        namespace=namespace if isinstance(namespace, str) else "",
        path=".".join((*template, "metadata", "annotations")),
        severities=severities,
    )


def _compared(read: list[Manifest], severities: Mapping[str, Severity] | None) -> Iterator[Located]:
    compared = together.compare((manifest.value for manifest in read), severities=severities)
    for manifest in read:
        nad = nads.read(manifest.value).nad
        if nad is not None:
            yield from _locate(manifest, compared.get((nad.namespace, nad.name), ()))


def _locate(manifest: Manifest, found: Iterable[Finding]) -> Iterator[Located]:
    for finding in found:
        yield Located(subject=subject(manifest), place=_place(manifest, finding), finding=finding)


def _place(manifest: Manifest, finding: Finding) -> paths.Position:
    if finding.position is not None:
        return manifest.inside(tuple(reporting.CONFIG.split(".")), finding.position.offset)
    annotation = _ANNOTATION.match(finding.path)
    if annotation is not None:
        return manifest.locate((*annotation["path"].split("."), annotation["key"]))
    return manifest.locate(tuple(finding.path.partition(":")[0].split(".")))
