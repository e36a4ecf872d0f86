"""docs/compatibility.md: owns writing it from the list of behaviours and the names of the tests.

Run `python -m tests.conformance.compatibility` in the root of the repository; a test proves that the file is fresh. A
behaviour counts as there when a test with its id exists: no test is skipped or expected to fail. Refuses ids in names
of tests that nobody described, and runs nothing.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance import evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
BEHAVIOURS = Path(__file__).with_name("behaviours.toml")
PAGE = ROOT / "docs" / "compatibility.md"
_ID = re.compile(r"test_([A-Z]{2,3})_(\d+)_(\w+)")

HEAD = """\
# Compatibility with Multus

<!-- Written by python -m tests.conformance.compatibility; change tests/conformance/behaviours.toml or the tests. -->

What was written for Multus works with Mooring: the definitions, the annotations, the keys of the configuration. This
page says behaviour by behaviour what is right, where the specifications say so (NPWG: the network custom resource
definition standard v1.3; CNI: 1.1.0; "-" where both are silent), what Multus 4.3.0 does there, with the lines of its
sources and of the libraries in it that say so, and which tests prove it of Mooring. The tests run the built plugin as a
runtime does, in real network namespaces: `make test-conformance`; what the agent does is proven by its own tests,
against a real API server. "not yet" means that no test proves it, whatever the code may do. Where the plugin is called
`multus` and does something else for that, the row says both.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Behaviour:
    """One row: its id such as `ADD-4`, what is right, where the specification says so ("" where it is silent).

    Then what Multus does, the lines that say so, and tests without the id: `path::name`.
    """

    id: str
    text: str
    specification: str
    multus: str
    lines: tuple[evidence.Line, ...]
    elsewhere: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """The behaviours that share letters in their ids."""

    title: str
    behaviours: tuple[Behaviour, ...]


def families(document: str) -> list[Family]:
    """Read the list of behaviours. Raises ValueError, with the row's name, where an entry is not complete."""
    read = []
    for letters, table in tomllib.loads(document).items():
        rows = [_behaviour(f"{letters}-{int(number)}", row) for number, row in table.items() if number != "title"]
        read.append(Family(table["title"], tuple(rows)))
    return read


def _behaviour(name: str, row: Mapping[str, Any]) -> Behaviour:
    missing = [key for key in ("behaviour", "multus", "evidence") if not row.get(key)]
    if missing:
        raise ValueError(f"{BEHAVIOURS.name}: {name} has no {' and no '.join(missing)}")
    try:
        lines = evidence.read(row["evidence"])
    except ValueError as err:
        raise ValueError(f"{BEHAVIOURS.name}: {name}: {err}") from err
    specification, elsewhere = row.get("specification", ""), tuple(row.get("elsewhere", ()))
    return Behaviour(name, row["behaviour"], specification, row["multus"], lines, elsewhere)


def names(sources: Iterable[str]) -> Iterator[str]:
    """The names of the test functions in these modules, in order."""
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name


def proofs(found: Iterable[str]) -> dict[str, list[str]]:
    """Group tests by the id in their names: `ADD-4` to what they say, in words."""
    grouped: dict[str, list[str]] = {}
    for name in found:
        match = _ID.fullmatch(name)
        if match:
            letters, number, words = match.groups()
            grouped.setdefault(f"{letters}-{int(number)}", []).append(words.replace("_", " "))
    return grouped


def others(read: Iterable[Family], source: Callable[[str], str]) -> dict[str, list[str]]:
    """Group the tests that have no id in their names; `source` returns a file's text.

    Raises ValueError for one that is not there any more.
    """
    grouped: dict[str, list[str]] = {}
    for behaviour in (behaviour for family in read for behaviour in family.behaviours):
        for reference in behaviour.elsewhere:
            path, _, name = reference.partition("::")
            if name not in names([source(path)]):
                raise ValueError(
                    f"{BEHAVIOURS.name}: {behaviour.id} is said to be proven by {reference}: there is none"
                )
            grouped.setdefault(behaviour.id, []).append(name.removeprefix("test_").replace("_", " "))
    return grouped


def page(read: Sequence[Family], proven: Mapping[str, Sequence[str]]) -> str:
    """Return the page. Raises ValueError for a test whose id is in no table."""
    known = {behaviour.id for family in read for behaviour in family.behaviours}
    unknown = sorted(set(proven) - known)
    if unknown:
        raise ValueError(f"tests carry ids that {BEHAVIOURS.name} does not have: {', '.join(unknown)}")
    missing = sorted(known - set(proven))
    parts = [HEAD, f"{len(known) - len(missing)} of {len(known)} behaviours are proven.\n"]
    for family in read:
        parts.append(f"## {family.title}\n")
        rows = ["| id | behaviour | specification | Multus 4.3.0 | Mooring: tests |", "|---|---|---|---|---|"]
        for behaviour in family.behaviours:
            tests = "<br>".join(proven.get(behaviour.id, ["**not yet**"]))
            multus = f"{behaviour.multus}<br>{'<br>'.join(map(evidence.link, behaviour.lines))}"
            cells = (behaviour.id, behaviour.text, behaviour.specification or "-", multus, tests)
            rows.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def current() -> str:
    """Return the page as it should be now."""
    sources = (path.read_text() for path in sorted(TESTS.rglob("test_*.py")))
    read = families(BEHAVIOURS.read_text())
    proven = proofs(names(sources))
    for behaviour, tests in others(read, lambda path: (ROOT / path).read_text()).items():
        proven.setdefault(behaviour, []).extend(tests)
    return page(read, proven)


if __name__ == "__main__":
    PAGE.write_text(current())
