"""The manifests that are measured: a tenth has mistakes, and none has one by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import linting
from mooring.linting import outcomes
from mooring.linting.settings import Settings
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from pathlib import Path


def test_a_tenth_of_the_measured_manifests_has_mistakes(tmp_path: Path) -> None:
    linting.write(tmp_path, 45)
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    outcome = outcomes.judge(texts, Settings())
    assert (len(texts), outcome.judged, outcome.objects(Severity.ENFORCE)) == (5, 45, 5)
    assert outcome.findings == 15
