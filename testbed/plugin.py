"""The plugin as it is built from this checkout. Owns calling `plugin/build`; refuses to know how it builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed import commands, machine
from testbed.kubectl import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

NAME = "mooring"


def build(folder: Path, *, version: str = "development", commit: str = "unknown", date: str = "unknown") -> Path:
    """Build the plugin into a folder and return its path. Raises Failure where that fails."""
    machine.require_go()
    commands.run([CHECKOUT / "plugin" / "build", folder, version, commit, date])
    return folder / NAME
