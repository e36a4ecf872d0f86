"""The plugin as it is built from this checkout. Owns calling `plugin/build`; refuses to know how it builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed import commands, machine
from testbed.kubectl import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

NAME = "mooring"
WHOLE = "mooring-api"
"""The build that asks the API server itself, and that the other one becomes when something must be asked."""


def build(folder: Path, *, version: str = "development", commit: str = "unknown", date: str = "unknown") -> Path:
    """Build both programs into a folder and return the plugin's path. Raises Failure where that fails."""
    machine.require_go()
    commands.run([CHECKOUT / "plugin" / "build", folder, version, commit, date])
    return folder / NAME
