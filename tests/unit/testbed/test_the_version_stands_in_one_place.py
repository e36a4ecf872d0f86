"""The version of Mooring is said by pyproject.toml, and by everything else after it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from testbed import builder, failures, versions

if TYPE_CHECKING:
    from pathlib import Path

# Where a person or a program reads which image to run. Examples of formats and kept results say their own version.
READ = ("*.md", "Dockerfile", "Makefile", "docs/*.md", "manifests/**/*", "charts/**/*", "examples/**/*")
IMAGE = re.compile(rf"mooring\.dev/mooring:({versions.VERSION})")


@pytest.mark.parametrize("place", versions.PLACES, ids=lambda place: place.path)
def test_every_place_says_what_the_project_says(place: versions.Place) -> None:
    assert versions.said(place) == {versions.project()}, "make generate"


def test_no_other_file_names_an_image_of_another_version() -> None:
    named = {
        str(path.relative_to(versions.CHECKOUT)): set(IMAGE.findall(path.read_text()))
        for pattern in READ
        for path in versions.CHECKOUT.glob(pattern)
        if path.is_file() and path.name != "CHANGELOG.md"
    }
    assert named["README.md"]
    assert {path: found for path, found in named.items() if found - {versions.project()}} == {}


def test_the_image_is_built_with_the_project_s_version() -> None:
    assert builder.name() == f"mooring.dev/mooring:{versions.project()}"


def test_a_new_version_reaches_every_place(tmp_path: Path) -> None:
    for name in {"pyproject.toml", *(place.path for place in versions.PLACES)}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = (versions.CHECKOUT / name).read_text()
        (tmp_path / name).write_text(text)
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace(f'"{versions.project()}"', '"9.8.7-rc.1"'))
    assert set(versions.write(tmp_path)) == {place.path for place in versions.PLACES}
    for place in versions.PLACES:
        assert versions.said(place, tmp_path) == {"9.8.7-rc.1"}
    assert versions.write(tmp_path) == []


def test_a_place_that_lost_its_version_is_told(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(failures.Failure, match="Dockerfile has no version"):
        versions.said(versions.Place("Dockerfile", "ARG VERSION="), tmp_path)
