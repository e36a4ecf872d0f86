"""Informers over a scripted API server, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import errors, resources
from mooring.kube.informers import Informer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.looptime

Script = list[Any]


def item(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **more}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": item(name, version)}


class Scripted:
    """Plays lists and watches in order; after the last it waits for ever. An error in a script is raised there."""

    def __init__(self, *, lists: Script, watches: Script) -> None:
        self._lists = lists
        self._watches = watches
        self.asked: list[tuple[float, str]] = []

    async def pages(self, resource: resources.Resource, **_: Any) -> AsyncIterator[dict[str, Any]]:
        self._note("list")
        for page in await self._next(self._lists):
            if isinstance(page, Exception):
                raise page
            version, items = page
            yield {"metadata": {"resourceVersion": str(version)}, "items": items}

    async def watch(
        self, resource: resources.Resource, *, resource_version: str, on_open: Callable[[], None], **_: Any
    ) -> AsyncIterator[dict[str, Any]]:
        self._note(f"watch {resource_version}")
        script = await self._next(self._watches)
        if script and isinstance(script[0], Exception):
            raise script[0]
        on_open()
        for step in script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, int):
                await asyncio.sleep(step)
            else:
                yield step

    def _note(self, what: str) -> None:
        self.asked.append((asyncio.get_running_loop().time(), what))

    async def _next(self, scripts: Script) -> Any:
        if not scripts:
            await asyncio.Event().wait()
        return scripts.pop(0)


@contextlib.asynccontextmanager
async def running(server: Scripted) -> AsyncIterator[tuple[Informer, list[tuple[str, Any, Any]]]]:
    changes: list[tuple[str, Any, Any]] = []

    def changed(key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        before, after = (each["metadata"]["resourceVersion"] if each else None for each in (old, new))
        changes.append((key, before, after))

    informer = Informer(server, resources.NODES, on_change=changed)  # type: ignore[arg-type]  # it answers alike
    task = asyncio.create_task(informer.run())
    try:
        yield informer, changes
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_bookmark_moves_where_the_next_watch_begins_and_changes_nothing() -> None:
    server = Scripted(lists=[[(5, [item("a", 3)])]], watches=[[event("BOOKMARK", "", 90), 5]])
    async with running(server) as (informer, changes):
        await asyncio.sleep(10)
        assert changes == [("a", None, "3")]
        assert [what for _, what in server.asked] == ["list", "watch 5", "watch 90"]
        assert list(informer.store) == ["a"]


async def test_a_watch_that_ends_as_agreed_is_begun_again_at_once() -> None:
    server = Scripted(lists=[[(5, [])]], watches=[[300], [300]])
    async with running(server):
        await asyncio.sleep(700)
        assert [what for _, what in server.asked] == ["list", "watch 5", "watch 5", "watch 5"]
        assert server.asked[2][0] == pytest.approx(300)


async def test_after_410_what_is_missing_is_deleted_and_what_is_the_same_is_not_told_again() -> None:
    server = Scripted(
        lists=[[(5, [item("kept", 1), item("gone", 2), item("new", 3)])], [(9, [item("kept", 1), item("new", 8)])]],
        watches=[[errors.Gone(status=410, message="too old")]],
    )
    async with running(server) as (informer, changes):
        await asyncio.sleep(10)
        assert changes[3:] == [("gone", "2", None), ("new", "3", "8")]
        assert sorted(informer.store) == ["kept", "new"]


async def test_a_list_that_breaks_off_deletes_nothing() -> None:
    server = Scripted(
        lists=[
            [(5, [item("a", 1)]), (5, [item("b", 2)])],
            [(9, [item("a", 1)]), errors.Unreachable(message="cut")],
            [(9, [item("a", 1)]), (9, [item("b", 2)])],
        ],
        watches=[[errors.Gone(status=410, message="too old")]],
    )
    async with running(server) as (informer, changes):
        await asyncio.sleep(30)
        assert changes == [("a", None, "1"), ("b", None, "2")]
        assert sorted(informer.store) == ["a", "b"]


async def test_an_api_server_that_is_away_is_asked_ever_more_rarely_but_at_least_every_half_minute() -> None:
    server = Scripted(lists=[[errors.Unreachable(message="refused")] for _ in range(40)], watches=[])
    async with running(server) as (informer, _):
        await asyncio.sleep(600)
        assert isinstance(informer.last_error, errors.Unreachable)
        assert not informer.synced.is_set()
        moments = [moment for moment, _ in server.asked]
        pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert max(pauses) <= 30
        assert min(pauses[8:]) >= 15


async def test_a_kind_that_is_not_known_yet_is_asked_for_every_few_seconds() -> None:
    server = Scripted(lists=[[errors.NotFound(status=404, message="no such kind")] for _ in range(60)], watches=[])
    async with running(server):
        await asyncio.sleep(120)
        moments = [moment for moment, _ in server.asked]
        assert max(later - earlier for earlier, later in itertools.pairwise(moments)) <= 5


async def test_the_pause_that_the_api_server_asks_for_is_kept() -> None:
    busy = errors.TooManyRequests(status=429, message="busy", retry_after=60)
    server = Scripted(lists=[[busy], [(5, [])]], watches=[])
    async with running(server) as (informer, _):
        await informer.synced.wait()
        assert server.asked[1][0] >= 60


async def test_a_proxy_that_ends_every_watch_at_once_is_not_asked_in_a_tight_loop() -> None:
    server = Scripted(lists=[[(5, [])]], watches=[[] for _ in range(1000)])
    async with running(server):
        await asyncio.sleep(60)
        assert len(server.asked) < 20


async def test_live_means_that_the_watch_is_open_now() -> None:
    server = Scripted(lists=[[(5, [])]], watches=[[10, errors.Unreachable(message="cut")], [1000]])
    async with running(server) as (informer, _):
        assert not informer.live
        seen = []
        for pause in (5, 5.1, 2):
            await asyncio.sleep(pause)
            seen.append(informer.live)
        assert seen == [True, False, True]
        assert informer.last_error is None


async def test_the_last_contact_is_the_moment_of_which_the_copy_is_known_to_be_whole() -> None:
    opened = [event("MODIFIED", "a", 6), 9, event("BOOKMARK", "", 7), 1000]
    server = Scripted(lists=[[(5, [item("a", 1)])]], watches=[opened])
    async with running(server) as (informer, _):
        await informer.synced.wait()
        assert informer.last_contact == 0, "when the list was asked for"
        await asyncio.sleep(0.9)
        assert informer.last_contact == 0, "what was missed may still come"
        await asyncio.sleep(0.2)
        assert informer.last_contact == pytest.approx(1)
        await asyncio.sleep(100)
        assert informer.last_contact == pytest.approx(9), "the bookmark"


async def test_a_watch_that_ends_before_it_told_all_is_no_contact() -> None:
    server = Scripted(lists=[[(5, [item("a", 1)])]], watches=[[event("MODIFIED", "a", 6)] for _ in range(1000)])
    async with running(server) as (informer, _):
        await asyncio.sleep(60)
        assert informer.last_contact == 0


async def test_a_watch_lasts_as_long_as_it_is_told_to() -> None:
    asked = []

    class Noting(Scripted):
        async def watch(self, *arguments: Any, **more: Any) -> AsyncIterator[dict[str, Any]]:
            asked.append(more["timeout_seconds"])
            async for each in super().watch(*arguments, **more):
                yield each

    server = Noting(lists=[[(5, [])]], watches=[[2] for _ in range(20)])
    informer = Informer(server, resources.NODES, on_change=lambda *_: None, watch_seconds=16)  # type: ignore[arg-type]
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(30)
    task.cancel()
    assert len(asked) > 10
    assert {8 <= seconds <= 16 for seconds in asked} == {True}


async def test_a_listener_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    server = Scripted(lists=[[(5, [item("a", 1), item("b", 2)])]], watches=[])

    def fails(key: str, *_: object) -> None:
        raise ValueError(key)

    informer = Informer(server, resources.NODES, on_change=fails)  # type: ignore[arg-type]
    task = asyncio.create_task(informer.run())
    await informer.synced.wait()
    assert sorted(informer.store) == ["a", "b"]
    assert "Node a: the listener failed" in caplog.text
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_store_cannot_be_written_from_outside() -> None:
    server = Scripted(lists=[[(5, [item("a", 1)])]], watches=[])
    async with running(server) as (informer, _):
        await informer.synced.wait()
        with pytest.raises(TypeError):
            informer.store["b"] = {}  # type: ignore[index]
