"""The artefacts of a release: a chart as helm packs it, and checksums of everything."""

from __future__ import annotations

import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from releasing import __main__ as releasing
from testbed import commands, failures

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "templates").mkdir(parents=True)
    (top / "Chart.yaml").write_text("name: mooring\n")
    (top / "templates/operator.yaml").write_text("kind: Deployment\n")
    return top


def test_a_chart_is_packed_below_its_name_with_the_same_bytes_each_time(chart: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        releasing.chart(tmp_path / name, chart, version="1.2.3", seconds=1767323045)
        made.append(tmp_path / name / "mooring-1.2.3.tgz")
    assert made[0].read_bytes() == made[1].read_bytes()
    with tarfile.open(made[0]) as archive:
        assert archive.getnames() == ["mooring/Chart.yaml", "mooring/templates/operator.yaml"]
        assert {entry.mtime for entry in archive} == {1767323045}


def test_every_artefact_has_a_checksum_that_sha256sum_confirms(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    releasing.sums(tmp_path)
    check = ["sha256sum", "--check", "--strict", releasing.SUMS]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "a: OK\nb: OK\n"


def test_what_is_not_committed_is_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: " M README.md\n")
    with pytest.raises(failures.Failure, match=r"not as it has them: \[' M README.md'\]"):
        releasing.commit()
