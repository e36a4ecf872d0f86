"""A reconciler looks when it is asked, when time has passed, and again after it failed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from mooring.agent import loops, supervising
from mooring.kube import errors

pytestmark = pytest.mark.looptime


class Counter(loops.Reconciler):
    name = "counter"
    reason = "NotCounted"
    period = 100.0

    def __init__(self) -> None:
        self.told = 0
        super().__init__(on_health=self.count)
        self.looks: list[float] = []
        self.failing: list[Exception] = []
        self.wanted: float | None = None

    def count(self) -> None:
        self.told += 1

    async def reconcile(self) -> float | None:
        self.looks.append(asyncio.get_running_loop().time())
        if self.failing:
            raise self.failing.pop(0)
        self.report(settled=True)
        return self.wanted


@contextlib.asynccontextmanager
async def running(reconciler: loops.Reconciler):  # type: ignore[no-untyped-def]
    task = asyncio.create_task(reconciler.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_looks_at_once_and_then_each_period_a_little_spread() -> None:
    counter = Counter()
    async with running(counter):
        await asyncio.sleep(1000)
    gaps = [after - before for before, after in itertools.pairwise(counter.looks)]
    assert counter.looks[0] == 0
    assert all(90 <= gap <= 100 for gap in gaps)
    assert len(set(gaps)) > 1


async def test_many_wakes_before_a_look_are_one_look() -> None:
    counter = Counter()
    async with running(counter):
        await asyncio.sleep(1)
        for _ in range(10):
            counter.wake()
        await asyncio.sleep(1)
    assert counter.looks == [0, 1]


async def test_a_wake_during_a_look_is_not_lost() -> None:
    counter = Counter()
    original = counter.reconcile

    async def reconcile() -> float | None:
        if len(counter.looks) == 0:
            counter.wake()
        return await original()

    counter.reconcile = reconcile  # type: ignore[method-assign]
    async with running(counter):
        await asyncio.sleep(1)
    assert len(counter.looks) == 2


async def test_it_may_ask_for_an_earlier_look() -> None:
    counter = Counter()
    counter.wanted = 5
    async with running(counter):
        await asyncio.sleep(11)
    assert counter.looks == [0, 5, 10]


async def test_failures_make_it_wait_longer_each_time_and_are_told_once() -> None:
    counter = Counter()
    counter.failing = [OSError("the disk is full")] * 8
    async with running(counter):
        await asyncio.sleep(30)
        assert counter.health == loops.Health(problem="the disk is full")
        assert counter.told == 1
        await asyncio.sleep(170)
    gaps = [after - before for before, after in itertools.pairwise(counter.looks[:8])]
    for failures, gap in enumerate(gaps, start=1):
        whole = min(30, 0.5 * 2 ** (failures - 1))
        assert whole / 2 <= gap <= whole
    assert counter.health == loops.Health(settled=True)


async def test_the_pause_that_the_api_server_asks_for_is_kept() -> None:
    counter = Counter()
    counter.failing = [errors.TooManyRequests(status=429, message="busy", retry_after=90)]
    async with running(counter):
        await asyncio.sleep(100)
    assert len(counter.looks) == 2
    assert counter.looks[1] >= 90


async def test_a_wake_does_not_shorten_the_pause_after_a_failure() -> None:
    counter = Counter()
    counter.failing = [OSError("x")]
    async with running(counter):
        await asyncio.sleep(0.1)
        counter.wake()
        await asyncio.sleep(0.1)
        assert len(counter.looks) == 1


async def test_a_fault_of_ours_is_told_as_one_and_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    counter = Counter()
    counter.failing = [KeyError("uid")]
    async with running(counter):
        await asyncio.sleep(0.1)
        assert "a fault in the agent: KeyError" in counter.health.problem
        assert "Traceback" in caplog.text
        await asyncio.sleep(10)
    assert counter.health == loops.Health(settled=True)


async def test_a_fault_where_pods_get_their_networks_all_the_same_is_a_warning() -> None:
    class Beside(Counter):
        fails_as = "warning"

    beside = Beside()
    beside.failing = [KeyError("uid")]
    async with running(beside):
        await asyncio.sleep(0.1)
        assert beside.health == loops.Health(settled=True, warning="a fault in the agent: KeyError: 'uid'")
        await asyncio.sleep(10)
    assert beside.health == loops.Health(settled=True)


async def test_a_task_that_dies_is_started_again_while_the_others_go_on() -> None:
    starts: list[float] = []
    changes: list[dict[str, str]] = []
    supervisor = supervising.Supervisor(on_change=lambda: changes.append(dict(supervisor.dead)))

    async def fragile() -> None:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) <= 3:
            raise RuntimeError("broken")
        await asyncio.sleep(1000)

    counter = Counter()
    task = asyncio.create_task(supervisor.run({"fragile": fragile, "counter": counter.run}))
    await asyncio.sleep(500)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(starts) == 4
    assert starts[3] - starts[2] > starts[1] - starts[0]
    assert changes[0] == {"fragile": "a fault in the agent: RuntimeError: broken"}
    assert changes[-1] == {}
    assert len(counter.looks) >= 5


async def test_a_task_that_ends_is_started_again_too() -> None:
    starts = 0

    async def short() -> None:
        nonlocal starts
        starts += 1

    supervisor = supervising.Supervisor(on_change=lambda: None)
    task = asyncio.create_task(supervisor.run({"short": short}))
    await asyncio.sleep(10)
    assert supervisor.dead == {"short": "it ended"}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert starts > 2
