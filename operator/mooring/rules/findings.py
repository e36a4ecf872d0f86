"""Findings: owns what the rules engine says, to admission, to the audit and to the command line alike.

A finding names its rule by a stable code. Severities come from the catalogue and may be set otherwise by the
administrator; this module decides nothing about networks.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mooring.networks import paths


class Severity(enum.StrEnum):
    """What a finding does: refuse at admission, warn there, or only appear in reports."""

    ENFORCE = "Enforce"
    WARN = "Warn"
    AUDIT = "Audit"


_ORDER = {Severity.ENFORCE: 0, Severity.WARN: 1, Severity.AUDIT: 2}


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the catalogue: its stable code, default severity, title, and why it exists.

    A rule that is not `relaxable` stays as it is whatever the administrator says: nothing could read the object.
    """

    code: str
    severity: Severity
    title: str
    why: str
    relaxable: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with one object.

    `path` is the place in the manifest (`spec.config: $.plugins[0].mtu`), `message` one sentence on what is
    wrong, `remedy` one on what to write instead, `position` where the value begins in the text of
    `spec.config`, where that is known.
    """

    code: str
    severity: Severity
    path: str
    message: str
    remedy: str
    position: paths.Position | None = None

    def __str__(self) -> str:
        return f"{self.code} {self.path}: {self.message} {self.remedy}"


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by severity; the order within a severity is kept, it is that of the manifest."""
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def of(findings: Iterable[Finding], severity: Severity) -> list[Finding]:
    """Return the findings of one severity."""
    return [finding for finding in findings if finding.severity is severity]
