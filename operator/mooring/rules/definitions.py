"""Judging one NetworkAttachmentDefinition: owns the order in which the rule families are asked.

The one entry point for admission, audit and command line. Pure and total: any value gives findings, none an
exception; all problems are told at once, as far as what is left can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.networks import confs, nads
from mooring.rules import findings, notes, shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.rules.findings import Finding, Severity


def validate(manifest: Mapping[str, object], *, severities: Mapping[str, Severity] | None = None) -> list[Finding]:
    """Return the findings of a manifest (as parsed from YAML or a review), worst first.

    `severities` are the administrator's, by code.
    """
    noted = notes.Notes(severities=severities or {})
    reading = nads.read(manifest)
    for problem in reading.problems:
        noted.manifest("MR100", problem.path, problem.message, problem.remedy)
    if reading.nad is not None and reading.nad.config:
        _configuration(reading.nad, noted)
    return findings.worst_first(noted.findings)


def _configuration(nad: nads.Nad, noted: notes.Notes) -> None:
    try:
        document = confs.parse(nad.config)
    except confs.NotJSONError as error:
        noted.text(
            "MR101", error.place, f"The configuration is not JSON: {error.problem}, at {error.excerpt}.", error.hint
        )
        return
    noted.read(document)
    shape.check(document, noted)
