"""`mooring rules`: owns listing the catalogue and explaining one rule, for a person's shell."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mooring.rules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mooring.rules.findings import Rule


def table(codes: Sequence[str] = ()) -> Iterator[str]:
    """Yield one line for each rule whose code begins with one of `codes`; for each rule when there are none."""
    for rule in catalogue.RULES.values():
        if not codes or rule.code.startswith(tuple(codes)):
            yield f"{rule.code}  {rule.severity.value:<7}  {rule.title}"


def explain(code: str) -> Iterator[str]:
    """Yield the lines that explain the rule of this code, which there must be."""
    rule = catalogue.RULES[code]
    yield f"{rule.code}: {rule.title}"
    yield ""
    yield from textwrap.wrap(rule.why, 100)
    yield ""
    yield _severity(rule)


def _severity(rule: Rule) -> str:
    if not rule.relaxable:
        return f"Severity: {rule.severity.value}, always: nothing could read such an object."
    return (
        f"Severity: {rule.severity.value}. Another one in the cluster: spec.admission.severities of the Installation; "
        f"here: --severity {rule.code}=Warn, or severities in .mooring.toml."
    )
