"""For code scanning: owns the outcome as SARIF 2.1.0, as GitHub takes it.

Source: the OASIS standard "Static Analysis Results Interchange Format", 2.1.0; docs.github.com, "SARIF support for
code scanning". What could not be read or was skipped are notifications of the run: only findings are results.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from typing import TYPE_CHECKING

from mooring.rules import catalogue
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mooring.linting.outcomes import Note, Outcome
    from mooring.rules.files import Located
    from mooring.rules.findings import Rule

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ENFORCE: "error", Severity.WARN: "warning", Severity.AUDIT: "note"}


def render(outcome: Outcome, *, version: str) -> str:
    """Return the log; `version` is that of Mooring."""
    told = sorted({each.finding.code for file in outcome.files for each in file.found})
    run = {
        "tool": {
            "driver": {"name": "Mooring", "version": version, "rules": [_rule(catalogue.RULES[code]) for code in told]}
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not outcome.unreadable,
                "toolExecutionNotifications": [
                    *_notifications(outcome.unreadable, "error"),
                    *_notifications(outcome.skipped, "note"),
                ],
            }
        ],
        "results": [
            _result(file.name, each, told.index(each.finding.code)) for file in outcome.files for each in file.found
        ],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} `mooring rules {rule.code}` explains it."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": ["kubernetes", "cni"]},
    }


def _result(name: str, each: Located, index: int) -> dict[str, Any]:
    finding = each.finding
    identity = "\n".join((finding.code, each.subject, finding.path))
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.path}: {finding.message} {finding.remedy}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(name)},
                    "region": {
                        "startLine": each.place.line,
                        "startColumn": each.place.column,
                        "endLine": each.end.line,
                        "endColumn": each.end.column,
                    },
                },
                "logicalLocations": [{"fullyQualifiedName": f"{each.subject}: {finding.path}", "kind": "object"}],
            }
        ],
        # The same finding stays the same alert when the file is moved or other lines change.
        "partialFingerprints": {"mooringFinding/v1": hashlib.sha256(identity.encode()).hexdigest()[:32]},
    }


def _notifications(notes: Iterable[Note], level: str) -> list[dict[str, Any]]:
    return [
        {
            "level": level,
            "message": {"text": str(note)},
            "locations": [
                {
                    "physicalLocation": {"artifactLocation": {"uri": _uri(note.name)}}
                    | (
                        {"region": {"startLine": note.place.line, "startColumn": note.place.column}}
                        if note.place is not None
                        else {}
                    )
                }
            ],
        }
        for note in notes
    ]


def _uri(name: str) -> str:
    """Return a path as a reference relative to the root of the repository, which has no `./` and no blanks."""
    if name == "-":
        return "stdin"
    return ("file://" if name.startswith("/") else "") + urllib.parse.quote(name.removeprefix("./"))
