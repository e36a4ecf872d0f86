"""What came of a run: owns judging texts together, the totals of objects, and the exit status.

Pure: texts come in with their names, and how the outcome is shown is for text.py, records.py, sarif.py, github.py.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from typing import TYPE_CHECKING

from mooring.networks import manifests, paths
from mooring.rules import files
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mooring.linting.settings import Settings
    from mooring.rules.files import Located

_TEMPLATE = re.compile(r"\{\{-?\s.*?\}\}|\{\{-?[^{}]*\}\}")

#: Said of a chart's template, wherever it is met.
UNEXPANDED = "a template that Helm expands; judge what comes of it: helm template CHART | mooring lint -"


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """Something that was said of a file and is no finding: that it was skipped, or cannot be read."""

    name: str
    message: str
    place: paths.Position | None = None

    def __str__(self) -> str:
        where = f":{self.place.line}:{self.place.column}" if self.place is not None else ""
        return f"{self.name}{where}: {self.message}"


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that was judged, its text, and what is told of it, in the order of the text."""

    name: str
    text: str = dataclasses.field(repr=False)
    judged: int
    found: tuple[Located, ...]

    def objects(self, severity: Severity) -> int:
        """Return how many objects have a finding of this severity and none that is worse."""
        worst: dict[int, Severity] = {}
        order = list(Severity)
        for each in self.found:
            known = worst.get(each.number, Severity.AUDIT)
            worst[each.number] = min(known, each.finding.severity, key=order.index)
        return sum(each is severity for each in worst.values())


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a run has to say."""

    files: tuple[File, ...]
    skipped: tuple[Note, ...]
    unreadable: tuple[Note, ...]
    #: How many objects of which kinds are not for the rules.
    others: tuple[tuple[str, int], ...]
    #: Findings of rules that were not selected.
    hidden: int

    @property
    def judged(self) -> int:
        """How many objects were judged."""
        return sum(file.judged for file in self.files)

    @property
    def findings(self) -> int:
        """How many findings are told."""
        return sum(len(file.found) for file in self.files)

    def objects(self, severity: Severity) -> int:
        """Return how many objects have this severity as their worst."""
        return sum(file.objects(severity) for file in self.files)

    def status(self, *, strict: bool, allow_empty: bool) -> int:
        """Return the exit status.

        0: nothing that admission would refuse. 1: something it would, or with `strict` any warning. 2: something could
        not be read, or without `allow_empty` there was no object to judge.
        """
        if self.unreadable or not (self.judged or allow_empty):
            return 2
        return 1 if self.objects(Severity.ENFORCE) or (strict and self.objects(Severity.WARN)) else 0

    def total(self) -> str:
        """Return the sentence that ends a run."""
        objects, read, findings = self.judged, len(self.files), self.findings
        told = f"{findings} finding{'s' * (findings != 1)}"
        if self.hidden:
            told += f", {self.hidden} of ignored rules not shown"
        return (
            f"{objects} object{'s' * (objects != 1)} in {read} file{'s' * (read != 1)} judged: "
            f"{self.objects(Severity.ENFORCE)} to be refused, {self.objects(Severity.WARN)} with a warning ({told})"
        )


def judge(
    texts: Mapping[str, str], settings: Settings, *, skipped: Sequence[Note] = (), unreadable: Sequence[Note] = ()
) -> Outcome:
    """Judge texts by name, and the definitions of all of them together; the notes are of those who read them."""
    left, broken = list(skipped), list(unreadable)
    read: dict[str, list[manifests.Manifest]] = {}
    for name, text in texts.items():
        try:
            read[name] = manifests.read(text)
        except manifests.NotYAMLError as error:
            template = _TEMPLATE.search(text)
            if template is not None:
                place = paths.position(text, template.start())
                left.append(Note(name, UNEXPANDED, place))
            else:
                broken.append(Note(name, f"not YAML: {error.problem}", error.place))
    reports = files.judge_all(read.values(), severities=settings.severities)
    others: collections.Counter[str] = collections.Counter()
    judged: list[File] = []
    hidden = 0
    for name, report in zip(read, reports, strict=True):
        others.update(dict(report.others))
        left.extend(Note(name, each) for each in report.skipped)
        told = _told(report.found, settings)
        hidden += len(report.found) - len(told)
        judged.append(File(name=name, text=texts[name], judged=report.judged, found=told))
    return Outcome(tuple(judged), tuple(left), tuple(broken), tuple(sorted(others.items())), hidden)


def _told(found: Iterable[Located], settings: Settings) -> tuple[Located, ...]:
    return tuple(each for each in found if settings.tells(each.finding.code))
