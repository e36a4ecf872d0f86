"""The reference plugins behind ours, on a kernel that has their link types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel2 import delegates

if TYPE_CHECKING:
    from tests.kernel2 import reports

# The first test waits for the whole run, boot included; the run has a limit of its own.
pytestmark = pytest.mark.timeout(600)


def _show(report: reports.Report, types: frozenset[str], case: str, verb: str) -> None:
    lacking = report.lacking(types)
    if lacking:
        pytest.skip(lacking)
    entry = report.entry(case, verb)
    if not entry.passed:
        meaning = delegates.END_TO_END[verb]
        pytest.fail(f"{case}, {verb}: {meaning}. On {report.where}:\n{entry.output}", pytrace=False)


@pytest.mark.parametrize(
    ("delegate", "verb"),
    [pytest.param(one, verb, id=f"{one.name}-{verb}") for one in delegates.DELEGATES for verb in one.verbs],
)
def test_a_delegate_does_what_the_verb_says(report: reports.Report, delegate: delegates.Delegate, verb: str) -> None:
    _show(report, delegate.types, delegate.name, verb)


@pytest.mark.parametrize("step", delegates.END_TO_END)
def test_the_example_of_ipvlan_on_a_bond_works_as_it_stands_in_its_file(report: reports.Report, step: str) -> None:
    _show(report, delegates.end_to_end({}).types, delegates.EXAMPLE, step)
