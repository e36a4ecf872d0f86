"""The work queue, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from mooring.controller.queues import Queue
from mooring.kube import errors
from mooring.kube.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.looptime


@contextlib.asynccontextmanager
async def running(queue: Queue, work: Callable[[str], Awaitable[float | None]]) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(work))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Worker:
    """Notes when it worked on what, and does what it was told to."""

    def __init__(self, *, seconds: float = 0, again: float | None = None) -> None:
        self.done: list[tuple[float, str]] = []
        self.at_once: set[str] = set()
        self.raises: list[Exception] = []
        self._seconds = seconds
        self._again = again

    async def __call__(self, key: str) -> float | None:
        assert key not in self.at_once, "one key, two workers"
        self.at_once.add(key)
        self.done.append((asyncio.get_running_loop().time(), key))
        try:
            await asyncio.sleep(self._seconds)
            if self.raises:
                raise self.raises.pop(0)
            return self._again
        finally:
            self.at_once.discard(key)


async def test_a_key_added_often_is_worked_on_once() -> None:
    queue, worker = Queue(), Worker()
    for _ in range(100):
        queue.add("a")
    async with running(queue, worker):
        await asyncio.sleep(10)
    assert worker.done == [(0, "a")]


async def test_the_earliest_moment_counts() -> None:
    queue, worker = Queue(), Worker()
    queue.add("a", after=60)
    queue.add("a", after=5)
    queue.add("a", after=30)
    async with running(queue, worker):
        await asyncio.sleep(100)
    assert [key for _, key in worker.done] == ["a"]
    assert worker.done[0][0] == pytest.approx(5)


async def test_a_key_added_while_it_is_worked_on_is_worked_on_again_afterwards() -> None:
    queue, worker = Queue(), Worker(seconds=10)
    queue.add("a")
    async with running(queue, worker):
        await asyncio.sleep(5)
        queue.add("a")
        await asyncio.sleep(25)
    assert [moment for moment, _ in worker.done] == [pytest.approx(0), pytest.approx(10)]


async def test_a_slow_key_does_not_hold_up_another() -> None:
    queue, worker = Queue(), Worker(seconds=1000)
    queue.add("slow")
    async with running(queue, worker):
        await asyncio.sleep(1)
        queue.add("other")
        await asyncio.sleep(1)
    assert [key for _, key in worker.done] == ["slow", "other"]


async def test_work_may_ask_to_be_done_again() -> None:
    queue, worker = Queue(), Worker(again=60)
    queue.add("a")
    async with running(queue, worker):
        await asyncio.sleep(150)
    assert [round(moment) for moment, _ in worker.done] == [0, 60, 120]


async def test_failures_are_tried_again_ever_more_rarely_and_forgotten_after_a_success() -> None:
    queue, worker = Queue(pause=Pause(first=1, longest=16)), Worker()
    worker.raises = [errors.Unreachable(message="away") for _ in range(8)]
    queue.add("a")
    async with running(queue, worker):
        await asyncio.sleep(300)
        assert len(worker.done) == 9
        moments = [moment for moment, _ in worker.done]
        pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert all(pause <= 16 for pause in pauses)
        assert pauses[-1] >= 8
        worker.raises = [errors.Unreachable(message="away")]
        queue.add("a")
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(10)
        assert worker.done[-1][0] - before <= 1


async def test_a_fault_of_ours_ends_neither_the_queue_nor_other_work(caplog: pytest.LogCaptureFixture) -> None:
    queue, worker = Queue(), Worker()
    worker.raises = [KeyError("surprise")]
    queue.add("a")
    async with running(queue, worker):
        await asyncio.sleep(1)
        queue.add("b")
        await asyncio.sleep(10)
    assert [key for _, key in worker.done].count("b") == 1
    assert [key for _, key in worker.done].count("a") == 2
    assert "a failed for a reason that Mooring does not know" in caplog.text


async def test_the_pause_that_the_api_server_asks_for_is_kept() -> None:
    queue, worker = Queue(), Worker()
    worker.raises = [errors.TooManyRequests(status=429, message="busy", retry_after=90)]
    queue.add("a")
    async with running(queue, worker):
        await asyncio.sleep(200)
    assert worker.done[1][0] >= 90


async def test_what_was_due_and_waited_is_told() -> None:
    queue, worker = Queue(), Worker()
    queue.add("a")
    queue.add("b", after=100)
    await asyncio.sleep(7)
    assert queue.depth == 1
    async with running(queue, worker):
        await asyncio.sleep(1)
        assert queue.depth == 0
        assert (queue.waits.count, queue.waits.sum) == (1, 7)


async def test_a_conflict_is_tried_again_without_a_word_unless_it_does_not_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue, worker = Queue(pause=Pause(first=1, longest=16)), Worker()
    worker.raises = [errors.Conflict(status=409, message="changed meanwhile") for _ in range(3)]
    queue.add("a")
    async with running(queue, worker):
        await asyncio.sleep(60)
        assert len(worker.done) == 4
        assert not caplog.records
        worker.raises = [errors.Conflict(status=409, message="changed meanwhile") for _ in range(6)]
        queue.add("a")
        await asyncio.sleep(300)
    assert {each.levelname for each in caplog.records} == {"WARNING"}
    assert "changed meanwhile" in caplog.text
