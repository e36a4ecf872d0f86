"""Reading what the driver wrote, and telling it to people."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.kernel2 import linktypes
from tests.kernel2 import delegates, reports

LINES = "\n".join(
    json.dumps(line)
    for line in (
        {"kernel": "6.1", "types": ["ipvlan", "vrf"]},
        {"case": "ipvlan", "verb": "ADD", "passed": True, "seconds": 1.0, "output": ""},
        {"case": "ipvlan", "verb": "DEL", "passed": False, "seconds": 1.0, "output": "a lease is left"},
        {"case": "vrf", "verb": "", "passed": False, "output": "Traceback"},
    )
)


@pytest.fixture
def run() -> reports.Run:
    return reports.Run(where="the second kernel 6.1", seconds=62.4, entries=reports.read(LINES)[1], log="went wrong\n")


class TestReading:
    def test_the_kernel_tells_its_link_types_first(self) -> None:
        assert reports.read(LINES)[0] == {"ipvlan", "vrf"}

    def test_each_verb_of_each_case_has_its_entry(self, run: reports.Run) -> None:
        assert run.entry("ipvlan", "ADD").passed
        assert run.entry("ipvlan", "DEL") == reports.Entry(passed=False, output="a lease is left")

    def test_a_case_that_ended_early_fails_in_each_verb_with_that_end(self, run: reports.Run) -> None:
        assert run.entry("vrf", "CHECK") == reports.Entry(passed=False, output="Traceback")

    def test_a_verb_that_nobody_came_to_fails_with_what_the_driver_printed(self, run: reports.Run) -> None:
        missing = run.entry("ipvlan", "CHECK")
        assert not missing.passed
        assert "went wrong" in missing.output

    @given(st.integers(0, len(LINES)))
    def test_a_driver_may_stop_at_any_byte(self, end: int) -> None:
        types, entries = reports.read(LINES[:end])
        everything = reports.read(LINES)
        assert types <= everything[0]
        assert entries.items() <= everything[1].items()


class TestWhatIsLacking:
    def report(self, **kernels: set[str]) -> reports.Report:
        named = {name.replace("_", " "): frozenset(types) for name, types in kernels.items()}
        return reports.Report(kernels=named, runs={})

    def test_one_kernel_that_has_all_of_them_is_enough(self) -> None:
        report = self.report(this_kernel=set(), the_second={"bond", "ipvlan"})
        assert report.lacking(frozenset({"bond", "ipvlan"})) == ""

    def test_both_kernels_are_named_where_neither_has_it(self) -> None:
        report = self.report(this_kernel={"bond"}, the_second={"bond"})
        assert report.lacking(frozenset({"bond", "vrf"})) == "neither this kernel nor the second has the link type vrf"

    def test_types_that_no_kernel_has_together_are_named_together(self) -> None:
        report = self.report(this_kernel={"bond"}, the_second={"vrf"})
        told = report.lacking(frozenset({"bond", "vrf"}))
        assert told == "neither this kernel nor the second has the link types bond and vrf"

    def test_one_kernel_alone_is_named_alone(self) -> None:
        report = self.report(this_kernel=set())
        assert report.lacking(frozenset({"vrf"})) == "this kernel does not have the link type vrf"


class TestTheTable:
    def test_it_tells_passed_failed_and_what_is_the_reference_plugins_fault(self, run: reports.Run) -> None:
        report = reports.Report(kernels={run.where: frozenset({"ipvlan"})}, runs={"ipvlan": run})
        cases = {"ipvlan": ("ADD", "DEL"), "not-tried": ("ADD",)}
        assert reports.table(report, cases, {"ipvlan": ["ADD"], "not-tried": ["ADD"]}) == [
            "on the second kernel 6.1, 62 s:",
            "  ipvlan     ADD*; FAILED: DEL",
            "* the reference plugin cannot, and its error came back as it is",
        ]

    def test_without_faults_there_is_no_footnote(self, run: reports.Run) -> None:
        report = reports.Report(kernels={}, runs={"ipvlan": run})
        assert reports.table(report, {"ipvlan": ("ADD",)}, {})[-1] == "  ipvlan  ADD"


class TestTheCases:
    EVERY = (*delegates.DELEGATES, delegates.end_to_end({}))

    def test_no_two_have_the_same_name(self) -> None:
        assert len({one.name for one in self.EVERY}) == len(self.EVERY)

    @pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
    def test_each_needs_link_types_that_a_kernel_can_be_asked_for(self, one: delegates.Delegate) -> None:
        assert one.types <= set(linktypes.RECIPES)

    @pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
    def test_each_shows_ADD_CHECK_DEL_and_status(self, one: delegates.Delegate) -> None:  # noqa: N802
        assert {"ADD", "CHECK", "DEL", "status"} <= set(one.verbs) <= set(delegates.END_TO_END)

    @pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
    def test_faults_are_of_verbs_that_are_tried(self, one: delegates.Delegate) -> None:
        assert set(one.faults) <= set(one.verbs)

    def test_without_a_gateway_no_default_route_is_tried(self) -> None:
        assert not [one.name for one in self.EVERY if ("default-route" in one.verbs) != bool(one.gateways)]
