"""For programs: owns the JSON document of a run, `mooring.dev/lint/v1` (docs/contracts.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mooring.linting.outcomes import Note, Outcome

VERSION = "mooring.dev/lint/v1"


def render(outcome: Outcome) -> str:
    """Return the document; lines and columns count from 1, and the end is that behind the last character."""
    return json.dumps(
        {
            "version": VERSION,
            "findings": [
                {
                    "file": file.name,
                    "line": each.place.line,
                    "column": each.place.column,
                    "endLine": each.end.line,
                    "endColumn": each.end.column,
                    "object": each.subject,
                    "path": each.finding.path,
                    "code": each.finding.code,
                    "severity": each.finding.severity.value,
                    "message": each.finding.message,
                    "remedy": each.finding.remedy,
                }
                for file in outcome.files
                for each in file.found
            ],
            "skipped": _notes(outcome.skipped),
            "unreadable": _notes(outcome.unreadable),
            "totals": {
                "files": len(outcome.files),
                "judged": outcome.judged,
                "refused": outcome.objects(Severity.ENFORCE),
                "warned": outcome.objects(Severity.WARN),
                "findings": outcome.findings,
                "hidden": outcome.hidden,
                "others": dict(outcome.others),
            },
        },
        indent=2,
        ensure_ascii=False,
    )


def _notes(notes: Iterable[Note]) -> list[dict[str, object]]:
    return [
        {"file": note.name, "message": note.message}
        | ({"line": note.place.line, "column": note.place.column} if note.place is not None else {})
        for note in notes
    ]
