"""Ending processes: the right ones, and only those."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from testbed import processes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


class TestEnding:
    def test_a_process_is_ended(self, sleeper: subprocess.Popen[bytes]) -> None:
        found = processes.identify(sleeper.pid)
        assert found is not None
        assert found.alive()
        assert processes.end([found], grace=5) == []
        assert not found.alive()

    def test_one_that_is_not_reaped_yet_counts_as_ended(self, sleeper: subprocess.Popen[bytes]) -> None:
        found = processes.identify(sleeper.pid)
        assert found is not None
        processes.end([found], grace=0)
        assert processes.identify(sleeper.pid) is None

    def test_another_process_with_the_same_number_is_left_alone(self, sleeper: subprocess.Popen[bytes]) -> None:
        found = processes.identify(sleeper.pid)
        assert found is not None
        assert processes.end([processes.Process(found.pid, found.start - 1)], grace=0) == []
        assert found.alive()

    def test_a_number_without_a_process_is_nothing(self) -> None:
        assert processes.identify(2**22 + 1) is None
        assert processes.end([processes.Process(2**22 + 1, 5)], grace=0) == []
