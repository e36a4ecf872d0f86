"""Programs are started, fed, and waited for; real ones, of the base system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import processes
from testbed import failures

if TYPE_CHECKING:
    from bench.processes import Finished, Steps

SHELL = Path("/bin/sh")


def said(script: str) -> processes.Command:
    """A shell that reads its script from stdin: programs are called without arguments."""
    return processes.Command(SHELL, script.encode() + b"\n", {"PATH": os.environ["PATH"], "WHO": "me"})


def test_output_status_and_times_are_of_that_program() -> None:
    finished = processes.run(said('echo "$WHO"; echo oops >&2; exit 3'))
    assert (finished.status, finished.stdout, finished.stderr) == (3, b"me\n", b"oops\n")
    assert finished.wall > 0


def test_more_than_a_pipe_holds_reaches_the_program_and_comes_back() -> None:
    data = b"x" * 200_000
    assert processes.run(processes.Command(Path("/bin/cat"), data, {})).stdout == data


def test_a_signal_is_a_negative_status() -> None:
    assert processes.run(said("kill -TERM $$")).status == -15


def test_a_missing_program_is_told() -> None:
    with pytest.raises(failures.Failure, match="/nowhere/plugin cannot be started: No such file"):
        processes.run(processes.Command(Path("/nowhere/plugin"), b"", {}))


def counting(seen: list[str], name: str) -> Steps:
    first: Finished = yield said(f"echo {name}-1")
    seen.append(first.stdout.decode().strip())
    second: Finished = yield said(f"echo {name}-2")
    seen.append(second.stdout.decode().strip())


def test_steps_get_the_answer_of_the_one_before() -> None:
    seen: list[str] = []
    taken = processes.one_after_another(counting(seen, "a"))
    assert seen == ["a-1", "a-2"]
    assert taken.wall > 0


@pytest.mark.parametrize("watched", [False, True])
def test_pods_go_at_once_and_each_in_its_order(watched: bool) -> None:
    seen: list[str] = []
    pids: set[int] = set()
    watch = pids.update if watched else None
    processes.all_at_once([counting(seen, name) for name in "abc"], watch=watch)
    assert sorted(seen) == ["a-1", "a-2", "b-1", "b-2", "c-1", "c-2"]
    assert all(seen.index(f"{name}-1") < seen.index(f"{name}-2") for name in "abc")
    assert bool(pids) == watched


def test_a_pod_that_fails_ends_what_the_others_run() -> None:
    def failing() -> Steps:
        yield said("exit 1")
        raise failures.Failure("no")

    def lasting() -> Steps:
        yield said("exec sleep 600")

    with pytest.raises(failures.Failure, match="no"):
        processes.all_at_once([lasting(), failing()])
