"""The plugin as it is shipped: built from plugin/ with the image's flags. Owns what version and
commit a measurement is of."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

from bench import networks, node
from testbed import commands, machine, plugin

CHECKOUT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """A built plugin. `commit` ends in `+changes` where plugin/ differed from it; `size` is in bytes."""

    path: Path
    version: str
    commit: str
    size: int


def commit() -> str:
    """Return the last commit that touched plugin/, `unknown` outside a git checkout."""
    found = commands.run(["git", "log", "-1", "--format=%h", "--", "plugin"], cwd=CHECKOUT, check=False).strip()
    if not found:
        return "unknown"
    changes = commands.run(["git", "status", "--porcelain", "--", "plugin"], cwd=CHECKOUT, check=False).strip()
    return f"{found}+changes" if changes else found


def built(folder: Path) -> Plugin:
    """Build the plugin into a folder. Raises Failure where Go is missing or the build fails."""
    machine.require_go()
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    source = commit()
    linked = plugin.build(folder / "linked", version=version, commit=source, date="1970-01-01T00:00:00Z")
    return Plugin(node.copied(linked, folder / plugin.NAME), version, source, linked.stat().st_size)


def nothing(folder: Path) -> Path:
    """Build the plugin that does nothing, under the name of the delegates, and return the folder it is in.

    Raises Failure where Go is missing or the build fails.
    """
    machine.require_go()
    linked, programs = folder / "linked-nothing", folder / "nothing"
    commands.run(
        ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", linked, "nothing.go"],
        cwd=Path(__file__).parent / "nothing",
        environment={"CGO_ENABLED": "0"},
    )
    programs.mkdir()
    node.copied(linked, programs / networks.PLUGIN)
    return programs


def given(path: Path, folder: Path) -> Plugin:
    """Copy a plugin that somebody built already into a folder. Raises Failure where it does not run."""
    copy = node.copied(path, folder / plugin.NAME)
    return Plugin(copy, commands.run([copy, "--version"]).strip(), "given", copy.stat().st_size)
