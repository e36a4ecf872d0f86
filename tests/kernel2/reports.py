"""What the driver reported: owns reading its lines and the table that a person sees. Pure."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One verb of one case: whether it passed, and what its commands printed."""

    passed: bool
    output: str
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All of them. `where` is the kernel as a person says it, `seconds` what all of it took, boot included;
    `types` are the link types of that kernel, `own` those of this machine's; `log` is what the driver printed."""

    where: str
    seconds: float
    types: frozenset[str]
    own: frozenset[str]
    entries: Mapping[tuple[str, str], Entry]
    log: str

    def lacking(self, types: Iterable[str]) -> str:
        """Return why these link types cannot be tried, or "" where they can."""
        missing = sorted(set(types) - self.types)
        if not missing:
            return ""
        also = "" if self.where.startswith("this machine's") else "neither this machine's kernel nor "
        verb = "has" if also else "does not have"
        return f"{also}{self.where} {verb} the link type {' and '.join(missing)}"

    def entry(self, case: str, verb: str) -> Entry:
        """Return the entry of one verb; where the case ended before it, that end."""
        found = self.entries.get((case, verb)) or self.entries.get((case, ""))
        return found or Entry(passed=False, output=f"the driver did not come to it; it printed:\n{self.log}")


def read(lines: str) -> tuple[frozenset[str], dict[tuple[str, str], Entry]]:
    """Return the kernel's link types, and the entries by case and verb; a last line that is torn is left out."""
    types: frozenset[str] = frozenset()
    entries = {}
    for line in lines.splitlines():
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            break
        if "case" in said:
            entry = Entry(passed=said["passed"], output=said["output"], seconds=said.get("seconds", 0.0))
            entries[said["case"], said["verb"]] = entry
        else:
            types = frozenset(said["types"])
    return types, entries


def table(report: Report, cases: Mapping[str, tuple[str, ...]], faults: Mapping[str, Iterable[str]]) -> list[str]:
    """Return lines: for each case the verbs that passed, then those that failed or could not be tried.

    `faults` are the verbs whose pass means that the reference plugin's own error came back.
    """
    width = max(map(len, cases), default=0)
    lines = [f"on {report.where}, {report.seconds:.0f} s"]
    for case, verbs in cases.items():
        if not any(key[0] == case for key in report.entries):
            lines.append(f"{case:{width}}  not tried")
            continue
        own = set(faults.get(case, ()))
        passed = [f"{verb}*" if verb in own else verb for verb in verbs if report.entry(case, verb).passed]
        failed = [verb for verb in verbs if not report.entry(case, verb).passed]
        said = ", ".join(passed) + (f"; FAILED: {', '.join(failed)}" if failed else "")
        lines.append(f"{case:{width}}  {said}")
    if any(faults.values()):
        lines.append("* the reference plugin cannot, and its error came back as it is")
    return lines
