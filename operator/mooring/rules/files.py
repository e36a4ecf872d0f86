"""Whole files of manifests: owns finding in them what the rules judge, and telling places in the file.

The same rules as at admission, before anything is applied: for the command line and for CI. What may be filled in
later (kustomize, Helm, Flux) is told apart from what is wrong.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from typing import TYPE_CHECKING

from mooring.networks import manifests, nads
from mooring.rules import definitions, extents, findings, pods, reporting, together

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
    #: Behind the last character of what the finding is about.
    end: paths.Position
    #: Which object of the file, counted from 0.
    number: int


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What was judged of one file, what was found, what was left out and why, and how many of which other kinds."""

    judged: int
    found: tuple[Located, ...]
    skipped: tuple[str, ...]
    others: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Object:
    """An object and which one of its file it is."""

    manifest: Manifest
    number: int


def judge(text: str, *, severities: Mapping[str, Severity] | None = None) -> Report:
    """Judge every definition and every pod (or template of pods) of a file. Raises manifests.NotYAMLError."""
    (report,) = judge_all([manifests.read(text)], severities=severities)
    return report


def judge_all(
    several: Iterable[Iterable[Manifest]], *, severities: Mapping[str, Severity] | None = None
) -> list[Report]:
    """Judge the objects of several files, each as `manifests.read` gives them, and compare their definitions.

    One that stands in several places (a base and its overlays) is compared where it stands first.
    """
    reports: list[Report] = []
    compared: dict[tuple[str, str], tuple[int, _Object]] = {}
    for place, read in enumerate(several):
        report, definitions_ = _judge(read, severities)
        reports.append(report)
        for key, each in definitions_:
            compared.setdefault(key, (place, each))
    together_ = together.compare((each.manifest.value for _, each in compared.values()), severities=severities)
    more: dict[int, list[Located]] = collections.defaultdict(list)
    for key, found in together_.items():
        place, each = compared[key]
        more[place].extend(_locate(each, found))
    return [
        dataclasses.replace(report, found=tuple(sorted((*report.found, *more[place]), key=lambda each: each.place)))
        for place, report in enumerate(reports)
    ]


def _judge(
    read: Iterable[Manifest], severities: Mapping[str, Severity] | None
) -> tuple[Report, list[tuple[tuple[str, str], _Object]]]:
    found: list[Located] = []
    skipped: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    definitions_: list[tuple[tuple[str, str], _Object]] = []
    judged = 0
    for number, manifest in enumerate(read):
        each = _Object(manifest, number)
        kind = manifest.value.get("kind")
        if kind == nads.KIND:
            told = definitions.validate(manifest.value, severities=severities)
            nad = nads.read(manifest.value).nad
            placeholder = _placeholder(nad, told)
            if placeholder:
                skipped.append(f"{subject(manifest)}: {placeholder} is filled in later; judged is what comes of it")
                continue
            if nad is not None:
                definitions_.append(((nad.namespace, nad.name), each))
            found.extend(_locate(each, told))
            judged += 1
        elif isinstance(kind, str) and kind in _TEMPLATES:
            found.extend(_locate(each, _pods(manifest, _TEMPLATES[kind], severities)))
            judged += 1
        else:
            others[kind if isinstance(kind, str) and kind else "(without a kind)"] += 1
    return Report(judged, tuple(found), tuple(skipped), tuple(sorted(others.items()))), definitions_


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


def _placeholder(nad: nads.Nad | None, told: Iterable[Finding]) -> str:
    """Return a placeholder that makes the configuration something else than JSON until it is expanded."""
    if nad is None or not any(finding.code == "MR101" for finding in told):
        return ""
    match = _PLACEHOLDER.search(nad.config)
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


def _locate(each: _Object, found: Iterable[Finding]) -> Iterator[Located]:
    for finding in found:
        place, end = _span(each.manifest, finding)
        yield Located(subject=subject(each.manifest), place=place, finding=finding, end=end, number=each.number)


def _span(manifest: Manifest, finding: Finding) -> tuple[paths.Position, paths.Position]:
    if finding.position is not None:
        nad = nads.read(manifest.value).nad
        start, end = extents.extent(nad.config if nad is not None else "", finding.position.offset, finding.code)
        return manifest.span(tuple(reporting.CONFIG.split(".")), start, end)
    annotation = _ANNOTATION.match(finding.path)
    if annotation is not None:
        return manifest.extent((*annotation["path"].split("."), annotation["key"]))
    return manifest.extent(tuple(finding.path.partition(":")[0].split(".")))
