"""The chart of a release is one that helm takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from releasing import __main__ as releasing
from testbed import versions
from testbed.helm import VERSIONS, Helm

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("helm", sorted(VERSIONS))
def test_helm_reads_the_chart_and_its_version(helm: str, tmp_path: Path) -> None:
    releasing.chart(tmp_path, releasing.CHART, version=versions.project(), seconds=1767323045)
    packed = tmp_path / f"mooring-{versions.project()}.tgz"
    ask = Helm(helm, tmp_path / "home")
    told = yaml.safe_load(ask("show", "chart", str(packed)))
    assert (told["name"], told["version"], told["appVersion"]) == ("mooring", versions.project(), versions.project())
    ask("lint", str(packed))
