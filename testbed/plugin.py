"""Our Go programs as they are built from this checkout. Owns calling their `build`; refuses to know how they build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed import commands, machine
from testbed.kubectl import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

NAME = "mooring"
CRI = "mooring-cri"


def build(
    folder: Path,
    *,
    version: str = "development",
    commit: str = "unknown",
    date: str = "unknown",
    architecture: str = "",
    checkout: Path = CHECKOUT,
) -> Path:
    """Build the plugin into a folder and return its path. Raises Failure where that fails.

    `architecture` is Go's name of the processor it is for; empty is this machine's.
    """
    machine.require_go()
    environment = {"GOARCH": architecture} if architecture else {}
    commands.run([checkout / "plugin" / "build", folder, version, commit, date], environment=environment)
    return folder / NAME


def build_cri(folder: Path, *, version: str = "development", architecture: str = "", checkout: Path = CHECKOUT) -> Path:
    """Build the program that asks the runtime into a folder and return its path. Raises Failure where that fails."""
    machine.require_go()
    environment = {"GOARCH": architecture} if architecture else {}
    commands.run([checkout / "cri" / "build", folder, version], environment=environment)
    return folder / CRI
