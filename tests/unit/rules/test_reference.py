"""The reference of rules is what the code says."""

from __future__ import annotations

from pathlib import Path

from mooring.rules import catalogue, reference
from mooring.rules.findings import Severity

ROOT = Path(__file__).parents[3]


def test_the_document_is_fresh() -> None:
    written = (ROOT / reference.DOCUMENT).read_text(encoding="utf-8")
    assert written == reference.write(ROOT / reference.CORPUS), "run `make generate`"


def test_every_code_is_in_the_document() -> None:
    text = reference.write(ROOT / reference.CORPUS)
    assert [code for code in catalogue.RULES if f"### {code}: " not in text] == []


def test_every_refusal_and_warning_about_one_configuration_has_an_example() -> None:
    text = reference.write(ROOT / reference.CORPUS)
    for code, rule in catalogue.RULES.items():
        # Of the manifest, of several definitions together, and of one that would fill pages.
        others = ("MR100", "MR203", "MR320", "MR125")
        if not code.startswith("MR5") and rule.severity is not Severity.AUDIT and code not in others:
            section = text.split(f"### {code}: ")[1].split("\n#")[0]
            assert "```json" in section, code
