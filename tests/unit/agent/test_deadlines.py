"""A pass that hangs is told of with what it waits for, is not begun a second time, and takes nobody with it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import loops, threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Hung:
    """A file system that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def look(self, path: Path) -> None:
        self.asked += 1
        self.answers.wait()


class Looking(loops.Reconciler):
    name = "looking"
    reason = "NotSeen"
    deadline = 0.01

    def __init__(self, look: Callable[[Path], None]) -> None:
        super().__init__(on_health=lambda: None)
        self._look = look
        self.done = 0

    async def reconcile(self) -> float | None:
        await asyncio.to_thread(self._look, Path("/host/etc/cni/net.d"))
        self.done += 1
        self.report(settled=True)
        return None


@contextlib.asynccontextmanager
async def running(*reconcilers: loops.Reconciler, hung: Hung, most: int = 4) -> AsyncIterator[None]:
    asyncio.get_running_loop().set_default_executor(threads.Threads(most=most))
    tasks = [asyncio.create_task(each.run()) for each in reconcilers]
    try:
        yield
    finally:
        hung.answers.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def eventually(probe: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not probe():  # noqa: ASYNC110  a thread changes what is asked for
            await asyncio.sleep(0.005)


async def test_a_hung_file_system_is_a_problem_that_names_what_hangs_and_ends_with_it() -> None:
    hung = Hung()
    looking = Looking(hung.look)
    async with running(looking, hung=hung):
        await eventually(lambda: looking.health.problem)
        assert looking.health.problem == (
            "looking has been at one pass for more than 0 s: test_deadlines.Hung.look /host/etc/cni/net.d "
            "has not returned: the file system or the kernel there may hang"
        )
        await eventually(lambda: looking.overdue)
        hung.answers.set()
        await eventually(lambda: looking.done and not looking.overdue)
        assert looking.health == loops.Health(settled=True)


async def test_a_pass_that_hangs_is_not_begun_again_however_often_it_is_woken() -> None:
    hung = Hung()
    looking = Looking(hung.look)
    async with running(looking, hung=hung):
        await eventually(lambda: looking.health.problem)
        for _ in range(50):
            looking.wake()
            await asyncio.sleep(0)
        assert hung.asked == 1


async def test_reconcilers_that_hang_leave_threads_to_those_that_do_not() -> None:
    hung = Hung()
    stuck = [Looking(hung.look) for _ in range(20)]
    well = Looking(lambda path: None)
    async with running(*stuck, well, hung=hung, most=threads._MOST):
        await eventually(lambda: all(each.health.problem for each in stuck))
        before = well.done
        well.wake()
        await eventually(lambda: well.done > before)
        assert well.health == loops.Health(settled=True)


class Asking(loops.Reconciler):
    name = "asking"
    reason = "NotAnswered"
    deadline = 0.01

    def __init__(self) -> None:
        super().__init__(on_health=lambda: None)
        self.answer = asyncio.Event()

    async def reconcile(self) -> float | None:
        await self._ask()
        return None

    async def _ask(self) -> None:
        await self.answer.wait()


async def test_a_slow_api_server_is_a_warning_and_what_was_known_stays() -> None:
    asking = Asking()
    asking.report(settled=True, problem="the disk is full")
    async with running(asking, hung=Hung()):
        await eventually(lambda: asking.health.warning)
        assert asking.health.problem == "the disk is full"
        assert asking.health.warning.startswith("asking has been at one pass for more than 0 s: it waits in ")
        asking.answer.set()
        await eventually(lambda: not asking.health.warning)
        assert asking.health == loops.Health(settled=True, problem="the disk is full")


async def test_ending_does_not_wait_for_what_hangs() -> None:
    hung = Hung()
    looking = Looking(hung.look)
    asyncio.get_running_loop().set_default_executor(threads.Threads(most=1))
    task = asyncio.create_task(looking.run())
    await eventually(lambda: hung.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not hung.answers.is_set()
    hung.answers.set()


async def test_durations_and_failures_are_counted() -> None:
    class Failing(Looking):
        async def reconcile(self) -> float | None:
            raise OSError("the disk is full")

    failing = Failing(lambda path: None)
    async with running(failing, hung=Hung()):
        await eventually(lambda: failing.failures)
    assert failing.durations.count >= 1
    assert failing.durations.buckets()[-1] == ("+Inf", failing.durations.count)


def describe_me(number: int, path: Path) -> None:
    """Do nothing."""


def test_a_call_is_described_with_its_paths() -> None:
    path = Path("/host/x")
    assert threads.describe(path.exists) == "pathlib.Path.exists /host/x"
    assert threads.describe(functools.partial(describe_me, 3), path) == "test_deadlines.describe_me /host/x"
