"""The reference plugins behind ours, on a kernel that has their link types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel2 import delegates

if TYPE_CHECKING:
    from tests.kernel2 import reports

# The first test waits for the whole run, boot included; the run has a limit of its own.
pytestmark = pytest.mark.timeout(900)


def _every(*of: delegates.Delegate) -> pytest.MarkDecorator:
    # By name: the report's fixture finds out what was asked for.
    params = [pytest.param(one.name, verb, id=f"{one.name}-{verb}") for one in of for verb in one.verbs]
    return pytest.mark.parametrize(("delegate", "verb"), params)


def _show(report: reports.Report, delegate: delegates.Delegate, verb: str) -> None:
    lacking = report.lacking(delegate.types)
    if lacking:
        pytest.skip(lacking)
    run = report.runs[delegate.name]
    entry = run.entry(delegate.name, verb)
    if not entry.passed:
        meaning = delegates.END_TO_END[verb]
        pytest.fail(f"{delegate.name}, {verb}: {meaning}. On {run.where}:\n{entry.output}", pytrace=False)


@_every(*delegates.DELEGATES)
def test_a_delegate_does_what_the_verb_says(report: reports.Report, delegate: str, verb: str) -> None:
    _show(report, next(one for one in delegates.DELEGATES if one.name == delegate), verb)


@_every(delegates.end_to_end({}))
def test_the_example_of_ipvlan_on_a_bond_works_as_it_stands_in_its_file(
    report: reports.Report, delegate: str, verb: str
) -> None:
    assert delegate == delegates.EXAMPLE
    _show(report, delegates.end_to_end({}), verb)
