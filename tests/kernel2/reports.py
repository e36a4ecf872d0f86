"""What the driver reported: owns reading its lines, why something was not tried, and the table of it all. Pure."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of the driver. `where` is the kernel as a person says it, `seconds` what all of it took, boot included;
    `entries` are by case and verb; `log` is what the driver printed."""

    where: str
    seconds: float
    entries: Mapping[tuple[str, str], Entry]
    log: str

    def entry(self, case: str, verb: str) -> Entry:
        """Return the entry of one verb; where the case ended before it, that end."""
        found = self.entries.get((case, verb)) or self.entries.get((case, ""))
        return found or Entry(passed=False, output=f"the driver did not come to it; it printed:\n{self.log}")


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All runs: `kernels` are the kernels that were asked and their link types, `runs` is the run of each case."""

    kernels: Mapping[str, frozenset[str]]
    runs: Mapping[str, Run]

    def lacking(self, types: frozenset[str]) -> str:
        """Return why these link types cannot be tried, or "" where a kernel has them all."""
        if any(types <= present for present in self.kernels.values()):
            return ""
        missing = sorted(types.difference(*self.kernels.values())) or sorted(types)
        subject = " nor ".join(self.kernels)
        has = f"neither {subject} has" if len(self.kernels) > 1 else f"{subject} does not have"
        return f"{has} the link type{'s' if len(missing) > 1 else ''} {' and '.join(missing)}"


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
            entries[said["case"], said["verb"]] = Entry(passed=said["passed"], output=said["output"])
        else:
            types = frozenset(said["types"])
    return types, entries


def table(report: Report, cases: Mapping[str, Iterable[str]], faults: Mapping[str, Iterable[str]]) -> list[str]:
    """Return lines: for each case the verbs that passed and those that failed, by the kernel that they ran on.

    `faults` are the verbs whose pass means that the reference plugin's own error came back.
    """
    width = max(map(len, cases), default=0)
    lines = []
    for run in {run.where: run for run in report.runs.values()}.values():
        lines.append(f"on {run.where}, {run.seconds:.0f} s:")
        for case, verbs in cases.items():
            if report.runs.get(case) is run:
                lines.append(f"  {case:{width}}  {_verbs(run, case, verbs, set(faults.get(case, ())))}")
    if any(set(faults.get(case, ())) & set(verbs) for case, verbs in cases.items() if case in report.runs):
        lines.append("* the reference plugin cannot, and its error came back as it is")
    return lines


def _verbs(run: Run, case: str, verbs: Iterable[str], own: set[str]) -> str:
    passed = [f"{verb}*" if verb in own else verb for verb in verbs if run.entry(case, verb).passed]
    failed = [verb for verb in verbs if not run.entry(case, verb).passed]
    return ", ".join(passed) + (f"; FAILED: {', '.join(failed)}" if failed else "")
