"""Evidence of what Multus does: its form, and that the lines are there."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.conformance import compatibility, evidence

CLAIMS = [
    (behaviour.id, line)
    for family in compatibility.families(compatibility.BEHAVIOURS.read_text())
    for behaviour in family.behaviours
    for line in behaviour.lines
]


def test_lines_of_multus_and_of_its_libraries_are_read() -> None:
    assert evidence.read("cmd/multus/main.go:53, nad-client 1.7.6: pkg/utils/net-attach-def.go:86") == (
        evidence.Line("", "cmd/multus/main.go", 53),
        evidence.Line("nad-client 1.7.6", "pkg/utils/net-attach-def.go", 86),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pkg/types/conf.go",
        "pkg/types/conf.go:0",
        "conf.go:1,conf.go:2",
        "README.md:3",
        "cni 1.2.0: libcni/api.go:1",
    ],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no evidence|is none of the libraries"):
        evidence.read(text)


@cache
def _unpacked(source: evidence.Source) -> Path:
    """Return the folder of a module in Go's cache; skip the test where it is not there."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is missing")
    modules = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    folder = Path(modules) / f"{source.module}@{source.version}"
    if not folder.is_dir():
        pytest.skip(f"not in Go's module cache: go mod download {source.module}@{source.version}")
    return folder


@pytest.mark.parametrize("name", ["", *evidence.LIBRARIES])
def test_every_line_that_is_named_is_there(name: str) -> None:
    claims = [(behaviour, line) for behaviour, line in CLAIMS if line.library == name]
    assert claims, f"no behaviour has evidence in {name or 'Multus'}"
    folder = _unpacked(claims[0][1].source)
    for behaviour, line in claims:
        file = folder / line.path
        assert file.is_file(), f"{behaviour}: {line.path} is not in {folder.name}"
        lines = file.read_text().splitlines()
        assert line.number <= len(lines), f"{behaviour}: {line.path} has {len(lines)} lines, not {line.number}"
        assert lines[line.number - 1].strip(), f"{behaviour}: line {line.number} of {line.path} is empty"


def test_the_libraries_are_those_that_multus_is_built_with() -> None:
    required = (_unpacked(evidence.MULTUS) / "go.mod").read_text().split("\n")
    for source in evidence.LIBRARIES.values():
        assert f"\t{source.module} {source.version}" in required
