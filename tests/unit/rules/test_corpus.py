"""The rules against the corpus of golden manifests: what must never be refused, and what is really wrong.

The annotation `mooring.dev/expected` holds the codes of a manifest and, where there is only one, the place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mooring.rules import definitions
from mooring.rules.findings import Finding, Severity

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

CORPUS = Path(__file__).parents[2] / "corpus"


def manifests(folder: str) -> list[ParameterSet]:
    return [
        pytest.param(manifest, id=f"{file.stem}/{manifest['metadata']['name']}")
        for file in sorted((CORPUS / folder).glob("*.yaml"))
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


def expected(manifest: dict[str, Any]) -> tuple[set[str], str]:
    annotations = manifest["metadata"].get("annotations") or {}
    words = annotations.get("mooring.dev/expected", "").split(" ")
    codes = {word for word in words if word.startswith("MR")}
    return codes, " ".join(word for word in words if not word.startswith("MR"))


def spoken(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is not Severity.AUDIT]


@pytest.mark.parametrize("manifest", manifests("good"))
def test_what_people_ship_is_never_refused(manifest: dict[str, Any]) -> None:
    found = spoken(definitions.validate(manifest))
    assert [str(finding) for finding in found if finding.severity is Severity.ENFORCE] == []
    assert {finding.code for finding in found} == expected(manifest)[0]


@pytest.mark.parametrize("manifest", manifests("bad"))
def test_what_is_wrong_is_found_where_it_stands(manifest: dict[str, Any]) -> None:
    found = spoken(definitions.validate(manifest))
    codes, place = expected(manifest)
    assert {finding.code for finding in found} == codes, [str(finding) for finding in found]
    assert codes
    if place:
        assert any(finding.path.endswith(place) for finding in found), [str(finding) for finding in found]


@pytest.mark.parametrize("manifest", manifests("bad"))
def test_every_finding_reads_as_sentences(manifest: dict[str, Any]) -> None:
    for finding in definitions.validate(manifest):
        assert finding.message.endswith("."), finding
        assert finding.remedy.endswith((".", "?")), finding
        assert "\n" not in finding.message + finding.remedy + finding.path, finding


@pytest.mark.parametrize("manifest", manifests("bad"))
def test_every_finding_in_the_configuration_knows_its_place_in_the_text(manifest: dict[str, Any]) -> None:
    for finding in definitions.validate(manifest):
        if finding.path.startswith("spec.config"):
            position = finding.position
            if position is None:
                assert finding.code == "MR100"
                continue
            text = manifest["spec"]["config"]
            lines = text.split("\n")
            assert text[: position.offset].count("\n") == position.line - 1
            assert position.column <= len(lines[position.line - 1]) + 1
