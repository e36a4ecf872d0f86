"""Reporting while a configuration is read: owns turning a JSON path and a code into a finding.

It knows the severities in force and the text of the configuration; it decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.networks import confs, paths
from mooring.rules import catalogue
from mooring.rules.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Nobody reads more, and a hostile configuration must not cost more.
LIMIT = 100

CONFIG = "spec.config"


class Reporter:
    """Collects the findings of one definition, in the order in which they are made."""

    def __init__(self, *, severities: Mapping[str, Severity]) -> None:
        """Take the severities that the administrator set, by code."""
        self._severities = severities
        self._document: confs.Document | None = None
        self._seen: set[tuple[str, str, str]] = set()
        self.findings: list[Finding] = []

    def read(self, document: confs.Document) -> None:
        """Locate what is reported from now on in this document."""
        self._document = document

    @property
    def full(self) -> bool:
        """Whether no more findings are taken."""
        return len(self.findings) >= LIMIT

    def manifest(self, code: str, path: str, message: str, remedy: str) -> None:
        """Report something about the manifest; `path` is dotted."""
        self._add(code, path, message, remedy, None)

    def config(self, code: str, path: paths.Path, message: str, remedy: str, *, mild: bool = False) -> None:
        """Report something at a path of the configuration; `mild` makes a refusal a warning."""
        if self.full:
            return
        place = self._document.places.locate(path) if self._document is not None else None
        where = f"{CONFIG}: {paths.render(path)}" if path else CONFIG
        self._add(code, where, message, remedy, place, mild=mild)

    def text(self, code: str, place: paths.Position, message: str, remedy: str) -> None:
        """Report something about the text of the configuration itself."""
        self._add(code, f"{CONFIG}: line {place.line}, column {place.column}", message, remedy, place)

    def _add(
        self,
        code: str,
        path: str,
        message: str,
        remedy: str,
        place: paths.Position | None,
        *,
        mild: bool = False,
    ) -> None:
        key = (code, path, message)
        if self.full or key in self._seen:
            return
        self._seen.add(key)
        rule = catalogue.RULES[code]
        severity = self._severities.get(code, rule.severity) if rule.relaxable else rule.severity
        if mild and severity is Severity.ENFORCE:
            severity = Severity.WARN
        self.findings.append(
            Finding(code=code, severity=severity, path=path, message=message, remedy=remedy, position=place)
        )
