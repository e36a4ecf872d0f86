"""The file from which a cluster is taken away."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed import addresses, failures, processes, state

if TYPE_CHECKING:
    from pathlib import Path

PLAN = addresses.Plan(
    "demo",
    2,
    *(ipaddress.IPv4Network(text) for text in ("192.168.250.0/24", "10.244.0.0/16", "10.96.0.0/16")),
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_TESTBED_CACHE", str(tmp_path))


class TestReadingBack:
    @given(
        st.dictionaries(st.text(max_size=20), st.tuples(st.integers(min_value=1), st.integers(min_value=0))),
        st.booleans(),
    )
    def test_what_was_written_is_read(self, found: dict[str, tuple[int, int]], complete: bool) -> None:
        parts = {part: processes.Process(pid, start) for part, (pid, start) in found.items()}
        written = state.State(PLAN, "boot", parts, complete)
        assert state.parsed(state.dumped(written)) == written

    def test_a_saved_cluster_is_loaded_by_its_name(self) -> None:
        written = state.State(PLAN, "boot")
        written.save()
        assert state.load("demo") == written

    def test_an_unknown_cluster_is_none(self) -> None:
        assert state.load("other") is None


class TestDamage:
    @given(st.one_of(st.text(), st.recursive(st.integers() | st.text(), st.lists).map(json.dumps)))
    def test_what_is_no_state_is_an_error_that_the_loader_knows(self, text: str) -> None:
        with pytest.raises((ValueError, KeyError, TypeError)):
            state.parsed(text)

    def test_a_damaged_file_says_how_to_go_on(self) -> None:
        folder = state.cluster_folder("demo")
        folder.mkdir(parents=True)
        (folder / "state.json").write_text('{"version": 99}')
        with pytest.raises(failures.Failure, match="down"):
            state.load("demo")


class TestWhatRuns:
    def test_a_process_of_this_boot_with_the_right_start_time_runs(self) -> None:
        me = processes.identify(1)
        assert me is not None
        assert state.State(PLAN, state.boot_id(), {"n1": me}).running("n1")

    def test_a_number_that_was_given_to_another_process_does_not(self) -> None:
        me = processes.identify(1)
        assert me is not None
        other = processes.Process(me.pid, me.start + 1)
        assert not state.State(PLAN, state.boot_id(), {"n1": other}).running("n1")

    def test_nothing_of_another_boot_runs(self) -> None:
        me = processes.identify(1)
        assert me is not None
        assert not state.State(PLAN, "another-boot", {"n1": me}).running("n1")
