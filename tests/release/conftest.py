"""The programs of a release for the other processor, and a node whose plugin is that one, run by QEMU."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from testbed import plugin as building
from tests.conformance.conftest import node, programs, reference  # noqa: F401  fixtures

if TYPE_CHECKING:
    from pathlib import Path

QEMU = "qemu-aarch64"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the minutes of a build without any cache."""
    for item in items:
        if "release" in item.path.parts:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of our programs, built for arm64."""
    folder = tmp_path_factory.mktemp("arm64")
    building.build(folder, version="1.2.3", commit="abcdef0", date="2026-01-02T03:04:05Z", architecture="arm64")
    building.build_cri(folder, version="1.2.3", architecture="arm64")
    return folder


@pytest.fixture(scope="session")
def plugin(arm64: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin for arm64 as a program of this machine; what it executes are programs of this machine."""
    script = tmp_path_factory.mktemp("emulated") / building.NAME
    script.write_text(f'#!/bin/sh\nexec {QEMU} {shlex.quote(str(arm64 / building.NAME))} "$@"\n')
    script.chmod(0o755)
    return script
