"""What the code imports is what pyproject.toml asks for, by name and not by way of another library."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
#: How a distribution is called whose module has another name.
DISTRIBUTIONS = importlib.metadata.packages_distributions()


def imported() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "operator" / "mooring").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name.split(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"mooring"}


def normal(name: str) -> str:
    """Return a distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {normal(re.split(r"[^\w.-]", each)[0]) for each in project["dependencies"]}


def test_every_library_that_is_imported_is_declared_and_every_declared_one_is_imported() -> None:
    assert {normal(DISTRIBUTIONS[module][0]) for module in imported()} == declared()


def test_every_declared_library_is_in_both_locks() -> None:
    for lock in ("runtime", "dev"):
        lines = (ROOT / "locks" / f"{lock}.txt").read_text().splitlines()
        pinned = {normal(line.split("==")[0]) for line in lines if "==" in line}
        assert declared() <= pinned
