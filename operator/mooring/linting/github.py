"""For a workflow of GitHub Actions: owns the workflow commands that put findings beside the lines of a change.

Source: docs.github.com, workflow commands, "Setting an error message".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mooring.linting.outcomes import Note, Outcome

_COMMANDS = {Severity.ENFORCE: "error", Severity.WARN: "warning", Severity.AUDIT: "notice"}


def render(outcome: Outcome) -> Iterator[str]:
    """Yield one command for each finding and each note, and the total as a line of the log."""
    for file in outcome.files:
        for each in file.found:
            finding = each.finding
            where: dict[str, object] = {"file": file.name, "line": each.place.line, "endLine": each.end.line}
            if each.end.line == each.place.line:
                # Columns are only taken within one line.
                where |= {"col": each.place.column, "endColumn": max(each.place.column, each.end.column - 1)}
            yield _command(
                _COMMANDS[finding.severity],
                where | {"title": f"{finding.code} {each.subject}"},
                f"{finding.path}: {finding.message} {finding.remedy}",
            )
    for note in outcome.unreadable:
        yield _note("error", note)
    for note in outcome.skipped:
        yield _note("notice", note)
    yield outcome.total()


def _note(command: str, note: Note) -> str:
    where: dict[str, object] = {"file": note.name}
    if note.place is not None:
        where |= {"line": note.place.line, "col": note.place.column}
    return _command(command, where, note.message)


def _command(command: str, properties: dict[str, object], message: str) -> str:
    written = ",".join(f"{name}={_escaped(str(item), ':,')}" for name, item in properties.items())
    return f"::{command} {written}::{_escaped(message, '')}"


def _escaped(text: str, more: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" or c in more else c for c in text)
