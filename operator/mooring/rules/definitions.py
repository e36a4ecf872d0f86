"""Judging one NetworkAttachmentDefinition: owns the order in which the rule families are asked.

The one entry point for admission, audit and command line. Pure and total: any value gives findings, none an
exception; all problems are told at once, as far as what is left can be read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mooring.networks import confs, nads
from mooring.rules import chains, findings, plugins, reporting, shape, wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.rules.findings import Finding, Severity


_RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def validate(manifest: Mapping[str, object], *, severities: Mapping[str, Severity] | None = None) -> list[Finding]:
    """Return the findings of a manifest (as parsed from YAML or a review), worst first.

    `severities` are the administrator's, by code.
    """
    report = reporting.Reporter(severities=severities or {})
    reading = nads.read(manifest)
    for problem in reading.problems:
        report.manifest("MR100", problem.path, problem.message, problem.remedy)
    if reading.nad is not None:
        _resource(reading.nad, report)
        if reading.nad.config:
            _configuration(reading.nad, report)
    return findings.worst_first(report.findings)


def _configuration(nad: nads.Nad, report: reporting.Reporter) -> None:
    try:
        document = confs.parse(nad.config)
    except confs.NotJSONError as error:
        report.text(
            "MR101", error.place, f"The configuration is not JSON: {error.problem}, at {error.excerpt}.", error.hint
        )
        return
    report.read(document)
    conf = shape.check(document, report)
    for plugin in conf.plugins:
        if report.full:
            return
        plugins.check(plugin, conf, nad, report)
    chains.check(conf, report)


def _resource(nad: nads.Nad, report: reporting.Reporter) -> None:
    if nad.resource_name and not _RESOURCE.fullmatch(nad.resource_name):
        report.manifest(
            "MR202",
            f"metadata.annotations[{nads.RESOURCE_NAME}]",
            f"{wording.quote(nad.resource_name)} is not the name of a resource.",
            "Write it as the node lists it: domain/name, such as intel.com/sriov_vf.",
        )
