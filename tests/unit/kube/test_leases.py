"""Leadership, over an API server in memory and in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import errors
from mooring.kube.leases import Election

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.looptime


class Shelf:
    """Holds one Lease as the API server would; `away` holds who cannot reach it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.away: set[str] = set()

    def seen_by(self, who: str) -> Reach:
        return Reach(self, who)


class Reach:
    """The Lease as one candidate reaches it."""

    def __init__(self, shelf: Shelf, who: str) -> None:
        self._shelf = shelf
        self._who = who

    async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
        await self._travel()
        if self._shelf.lease is None:
            raise errors.NotFound(status=404)
        return copy.deepcopy(self._shelf.lease)

    async def create(self, _: Any, body: dict[str, Any], **__: Any) -> dict[str, Any]:
        await self._travel()
        if self._shelf.lease is not None:
            raise errors.Conflict(status=409, reason="AlreadyExists")
        return self._store(copy.deepcopy(body))

    async def patch(self, _: Any, __: str, patch: dict[str, Any], **___: Any) -> dict[str, Any]:
        await self._travel()
        assert self._shelf.lease is not None
        if patch["metadata"]["resourceVersion"] != self._shelf.lease["metadata"]["resourceVersion"]:
            raise errors.Conflict(status=409)
        merged = copy.deepcopy(self._shelf.lease)
        merged["spec"] |= patch["spec"]
        return self._store(merged)

    def _store(self, lease: dict[str, Any]) -> dict[str, Any]:
        self._shelf.version += 1
        lease["metadata"]["resourceVersion"] = str(self._shelf.version)
        self._shelf.lease = lease
        return copy.deepcopy(lease)

    async def _travel(self) -> None:
        await asyncio.sleep(0.01)
        if self._who in self._shelf.away:
            raise errors.Unreachable(message="away")


class Candidate:
    """An election of one replica, and when it began and ceased to lead."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self.history: list[tuple[float, bool]] = []
        self.election = Election(
            shelf.seen_by(name),  # type: ignore[arg-type]  # it answers alike
            namespace="mooring-system",
            name="mooring-operator",
            identity=name,
            changed=lambda leading: self.history.append((asyncio.get_running_loop().time(), leading)),
        )
        self.task: asyncio.Task[None] | None = None

    async def end(self, *, crashed: bool = False) -> None:
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        if not crashed:
            await self.election.release()


@contextlib.asynccontextmanager
async def candidates(shelf: Shelf, *names: str) -> AsyncIterator[list[Candidate]]:
    made = [Candidate(shelf, name) for name in names]
    for candidate in made:
        candidate.task = asyncio.create_task(candidate.election.run())
        await asyncio.sleep(0.1)
    try:
        yield made
    finally:
        for candidate in made:
            await candidate.end(crashed=True)


async def test_the_first_leads_and_the_second_waits() -> None:
    async with candidates(Shelf(), "a", "b") as (first, second):
        await asyncio.sleep(600)
        assert [leading for _, leading in first.history] == [True]
        assert second.history == []
        assert (first.election.changes, second.election.changes) == (1, 0)


async def test_by_the_clock_a_term_ends_also_before_the_loop_has_seen_it() -> None:
    async with candidates(Shelf(), "a") as (first,):
        await asyncio.sleep(60)
        assert first.election.holds
        assert first.task is not None
        first.task.cancel()
        await asyncio.sleep(11)
        assert first.election.leading
        assert not first.election.holds


async def test_one_that_ends_well_is_followed_within_seconds() -> None:
    shelf = Shelf()
    async with candidates(shelf, "a", "b") as (first, second):
        await asyncio.sleep(60)
        before = asyncio.get_running_loop().time()
        await first.end()
        await asyncio.sleep(5)
        assert second.history[0][1] is True
        assert second.history[0][0] - before < 4
    assert shelf.lease is not None
    assert shelf.lease["spec"]["leaseTransitions"] == 2


async def test_one_that_crashes_is_followed_when_its_promise_has_run_out() -> None:
    async with candidates(Shelf(), "a", "b") as (first, second):
        await asyncio.sleep(60)
        before = asyncio.get_running_loop().time()
        await first.end(crashed=True)
        await asyncio.sleep(30)
        assert 12 < second.history[0][0] - before < 20


async def test_one_that_cannot_renew_stops_before_another_begins() -> None:
    shelf = Shelf()
    async with candidates(shelf, "a", "b") as (first, second):
        await asyncio.sleep(60)
        shelf.away.add("a")
        await asyncio.sleep(60)
        (_, began), (stopped, _) = first.history
        assert began is True
        assert stopped < second.history[0][0]
        assert not first.election.leading


async def test_one_that_was_away_for_a_moment_goes_on_to_lead() -> None:
    shelf = Shelf()
    async with candidates(shelf, "a", "b") as (first, second):
        await asyncio.sleep(60)
        shelf.away |= {"a", "b"}
        # Renewed 2.4 s before and tried again 2.4 s after, at the worst, it is still within the ten that it may.
        await asyncio.sleep(5)
        shelf.away.clear()
        await asyncio.sleep(60)
        assert [leading for _, leading in first.history] == [True]
        assert second.history == []


async def test_after_the_api_server_was_away_for_long_exactly_one_leads() -> None:
    shelf = Shelf()
    async with candidates(shelf, "a", "b") as both:
        await asyncio.sleep(60)
        shelf.away |= {"a", "b"}
        await asyncio.sleep(300)
        assert [candidate.election.leading for candidate in both] == [False, False]
        shelf.away.clear()
        await asyncio.sleep(60)
        assert sorted(candidate.election.leading for candidate in both) == [False, True]


async def test_a_process_that_starts_anew_in_the_same_pod_leads_at_once() -> None:
    shelf = Shelf()
    async with candidates(shelf, "a") as (first,):
        await asyncio.sleep(10)
        await first.end(crashed=True)
    async with candidates(shelf, "a") as (again,):
        await asyncio.sleep(1)
        assert again.election.leading


async def test_a_lease_that_somebody_deleted_is_made_again() -> None:
    shelf = Shelf()
    async with candidates(shelf, "a") as (only,):
        await asyncio.sleep(10)
        shelf.lease = None
        await asyncio.sleep(10)
        assert shelf.version > 6
        assert [leading for _, leading in only.history] == [True]


async def test_a_lease_that_cannot_be_renewed_is_told_once_and_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    async with candidates(shelf, "a"):
        await asyncio.sleep(60)
        shelf.away.add("a")
        await asyncio.sleep(60)
        shelf.away.clear()
        await asyncio.sleep(60)
        shelf.away.add("a")
        await asyncio.sleep(60)
    told = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(told) == 2
    assert all(text.endswith("away") for text in told)
