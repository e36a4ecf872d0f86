"""For a person's shell: owns how findings look there, with the offending place underlined in the manifest."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mooring.linting.outcomes import Outcome
    from mooring.rules.files import Located

#: The longest piece of a line that is shown; a configuration may stand on one line of any length.
_WIDEST = 100


def render(outcome: Outcome) -> Iterator[str]:
    """Yield the lines for standard output."""
    for file in outcome.files:
        lines = file.text.split("\n") if file.found else []
        for each in file.found:
            finding = each.finding
            place = f"{file.name}:{each.place.line}:{each.place.column}"
            yield f"{place}: {finding.severity.value} {finding.code} {each.subject}: {finding.path}"
            yield from underline(lines, each)
            yield f"    {finding.message}"
            yield f"    {finding.remedy}"
    for note in outcome.skipped:
        yield f"skipped {note}"
    if outcome.others:
        yield f"not for the rules: {', '.join(f'{count} {kind}' for kind, count in outcome.others)}"
    yield outcome.total()


def underline(lines: list[str], located: Located) -> Iterator[str]:
    """Yield the line that a finding is about, and one that marks the place in it; nothing where there is none."""
    number = located.place.line
    line = lines[number - 1].rstrip() if number <= len(lines) else ""
    if not line:
        return
    start = min(located.place.column - 1, len(line) - 1)
    end = located.end.column - 1 if located.end.line == number else len(line)
    end = max(start + 1, min(end, len(line)))
    left = 0 if len(line) <= _WIDEST else max(0, min(start - _WIDEST // 3, len(line) - _WIDEST))
    right = min(len(line), left + _WIDEST)
    head, tail = "..." * (left > 0), "..." * (right < len(line))
    margin = f"{number:>6} | "
    before = "".join(_blank(character) for character in line[left:start])
    marked = "".join("^" * _width(character) for character in line[start : min(end, right)])
    yield f"{margin}{head}{''.join(_shown(c) for c in line[left:right])}{tail}"
    yield f"{' ' * 6} | {' ' * len(head)}{before}{marked or '^'}"


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _blank(character: str) -> str:
    return "\t" if character == "\t" else " " * _width(character)


def _shown(character: str) -> str:
    """Return a character, or a mark for one that a terminal would act on."""
    return character if character == "\t" or character.isprintable() else "?"
