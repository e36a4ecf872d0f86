"""`mooring lint`: owns reading files of manifests and printing what the rules find in them; refuses to judge itself.

The same rules, codes and words as at admission, before anything is applied: for a person's shell and for CI.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.networks import manifests
from mooring.rules import files
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def run(names: Sequence[str], *, strict: bool) -> int:
    """Lint files and folders, `-` being standard input; return the exit status.

    0: nothing that admission would refuse; 1: something it would, or with `strict` any warning; 2: a file could not
    be read.
    """
    judged = refused = warned = unreadable = 0
    for name in names:
        for path in _files(name):
            try:
                report = files.judge(sys.stdin.read() if path is None else path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, manifests.NotYAMLError) as error:
                print(f"{path or '-'}: {error}", file=sys.stderr)
                unreadable += 1
                continue
            judged += report.judged
            for located in report.found:
                finding = located.finding
                refused += finding.severity is Severity.ENFORCE
                warned += finding.severity is Severity.WARN
                place = f"{path or '-'}:{located.place.line}:{located.place.column}"
                print(f"{place}: {finding.severity.value} {finding.code} {located.subject}: {finding.path}")
                print(f"    {finding.message}\n    {finding.remedy}")
            for note in report.skipped:
                print(f"{path or '-'}: skipped {note}")
    print(f"{judged} object{'s' * (judged != 1)} judged: {refused} to be refused, {warned} with a warning")
    if unreadable:
        return 2
    return 1 if refused or (strict and warned) else 0


def _files(name: str) -> Iterator[Path | None]:
    """Yield the files that a name stands for; None is standard input."""
    if name == "-":
        yield None
        return
    path = Path(name)
    if path.is_dir():
        yield from (each for each in sorted(path.rglob("*")) if each.suffix in _SUFFIXES and each.is_file())
    else:
        yield path
