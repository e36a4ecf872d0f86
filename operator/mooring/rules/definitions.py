"""Judging one NetworkAttachmentDefinition: owns the order in which the rule families are asked.

The one entry point for admission, audit and command line. Pure and total: any value gives findings, none an
exception; all problems are told at once, as far as what is left can be read. What is too large to be judged within
the time of an admission review is refused, whatever stands in it: a configuration is judged to its end or not taken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mooring.networks import confs, nads, paths
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
            try:
                _configuration(reading.nad, report)
            except reporting.TooMuchError as much:
                # A finding of its own report: what was found so far is a beginning, and the places in it are costly.
                report = reporting.Reporter(severities=severities or {})
                report.config(
                    "MR125",
                    (),
                    f"The configuration holds more than {reporting.BUDGET} values that plugins read, at "
                    f"{wording.shorten(paths.render(much.path))}; so many cannot be judged before they are taken.",
                    "Write several definitions, or longer prefixes and ranges instead of many single ones.",
                )
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
