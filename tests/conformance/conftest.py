"""The plugin, built once; the recording stub, built once; a node for each test."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import binaries
from tests.conformance import node as nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the plugin and the stub, and return their folder."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [
            *("go", "build", "-trimpath", "-o", str(folder / "mooring")),
            *("-ldflags", "-s -w -X main.version=1.2.3 -X main.commit=abcdef0 -X main.date=2026-01-02T03:04:05Z", "."),
        ],
        cwd=ROOT / "plugin",
        check=True,
    )
    subprocess.run(
        ["go", "build", "-ldflags", "-s -w", "-o", str(folder / "stub"), "stub.go"],
        cwd=Path(__file__).parent / "stub",
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of the reference plugins."""
    return binaries.build(binaries.CNI_PLUGINS)


@pytest.fixture
def node(tmp_path: Path, built: Path, reference: Path) -> Iterator[nodes.Node]:
    """A node of this test alone."""
    made = nodes.Node(tmp_path, built / "mooring", built / "stub", reference)
    yield made
    made.close()
