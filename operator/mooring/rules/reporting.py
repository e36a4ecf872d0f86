"""Reporting while a configuration is read: owns turning a JSON path and a code into a finding, and how much is read.

It knows the severities in force and the text of the configuration; it decides nothing. All that is reported is kept,
to the end of the configuration: a bound on findings would be a way around those that come last. What is bounded is
the work (`spend`), and what does not fit into it is refused and never passed (docs/decisions/0080).
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mooring.networks import confs, paths
from mooring.rules import catalogue
from mooring.rules.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Values that are looked at in one configuration; the largest that anybody was seen to write has some hundreds.
BUDGET = 3_000

#: Unknown words of one definition that are compared with the known ones for advice.
ADVICE = 100

#: Of how many findings of a severity the place in the text is looked up: nobody reads more.
_LOCATED = 100

CONFIG = "spec.config"


class TooMuchError(Exception):
    """A configuration holds more than is judged; `path` is where the end came."""

    def __init__(self, path: paths.Path) -> None:
        super().__init__(paths.render(path))
        self.path = path


class Reporter:
    """Collects the findings of one definition, in the order in which they are made."""

    def __init__(self, *, severities: Mapping[str, Severity]) -> None:
        """Take the severities that the administrator set, by code."""
        self._severities = severities
        self._document: confs.Document | None = None
        self._seen: set[tuple[str, str, str]] = set()
        self._told: collections.Counter[Severity] = collections.Counter()
        self._left = BUDGET
        self._advice = ADVICE
        self.findings: list[Finding] = []

    def read(self, document: confs.Document) -> None:
        """Locate what is reported from now on in this document."""
        self._document = document

    def spend(self, values: int, path: paths.Path) -> None:
        """Account for so many values that are about to be looked at; raises TooMuchError when there are too many."""
        self._left -= values
        if self._left < 0:
            raise TooMuchError(path)

    def advise(self) -> bool:
        """Tell whether one more unknown word may be compared with the known ones, which is expensive."""
        self._advice -= 1
        return self._advice >= 0

    def enforces(self, code: str) -> bool:
        """Tell whether a finding of this code is a refusal."""
        return self._severity(code) is Severity.ENFORCE

    def manifest(self, code: str, path: str, message: str, remedy: str) -> None:
        """Report something about the manifest; `path` is dotted."""
        self._add(code, path, message, remedy, None)

    def config(self, code: str, path: paths.Path, message: str, remedy: str, *, mild: bool = False) -> None:
        """Report something at a path of the configuration; `mild` makes a refusal a warning."""
        where = f"{CONFIG}: {paths.render(path)}" if path else CONFIG
        self._add(code, where, message, remedy, path, mild=mild)

    def text(self, code: str, place: paths.Position, message: str, remedy: str) -> None:
        """Report something about the text of the configuration itself."""
        self._add(code, f"{CONFIG}: line {place.line}, column {place.column}", message, remedy, place)

    def _severity(self, code: str) -> Severity:
        rule = catalogue.RULES[code]
        return self._severities.get(code, rule.severity) if rule.relaxable else rule.severity

    def _add(
        self,
        code: str,
        where: str,
        message: str,
        remedy: str,
        place: paths.Path | paths.Position | None,
        *,
        mild: bool = False,
    ) -> None:
        key = (code, where, message)
        if key in self._seen:
            return
        self._seen.add(key)
        severity = self._severity(code)
        if mild and severity is Severity.ENFORCE:
            severity = Severity.WARN
        self._told[severity] += 1
        if isinstance(place, tuple):
            near = self._told[severity] <= _LOCATED
            place = self._document.places.locate(place) if self._document is not None and near else None
        self.findings.append(
            Finding(code=code, severity=severity, path=where, message=message, remedy=remedy, position=place)
        )
