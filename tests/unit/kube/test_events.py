"""What repeats is one event with a count, and costs few requests however often it repeats."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from mooring.kube import errors
from mooring.kube.events import Recorder

pytestmark = pytest.mark.looptime

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default", "uid": "uid-1"}}


class Server:
    """Keeps events by name, and counts requests."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self.failing: Exception | None = None

    def answer(self) -> None:
        self.requests += 1
        if self.failing:
            raise self.failing

    async def create(self, resource: Any, body: dict[str, Any], **more: Any) -> None:
        self.answer()
        assert body["metadata"]["name"] not in self.events
        self.events[body["metadata"]["name"]] = body

    async def patch(self, resource: Any, name: str, patch: dict[str, Any], **more: Any) -> None:
        self.answer()
        if name not in self.events:
            raise errors.NotFound(status=404, message="gone")
        self.events[name] |= patch

    @property
    def counts(self) -> dict[str, int]:
        return {each["note"]: each.get("series", {}).get("count", 1) for each in self.events.values()}


def recorder(server: Server) -> Recorder:
    clock = asyncio.get_running_loop().time
    return Recorder(server, controller="mooring-agent", instance="n1", clock=clock)  # type: ignore[arg-type]


async def tell(each: Recorder, note: str = "no luck", reason: str = "AttachmentFailed") -> None:
    await each.event(POD, kind="Warning", reason=reason, note=note, action="AttachNetwork")


@contextlib.asynccontextmanager
async def running(each: Recorder) -> Any:
    task = asyncio.create_task(each.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_pod_that_is_stuck_for_half_an_hour_is_one_event_and_a_dozen_requests() -> None:
    server = Server()
    each = recorder(server)
    async with running(each):
        for _ in range(132):
            await tell(each)
            await asyncio.sleep(1800 / 132)
        assert server.requests <= 12
        assert len(server.events) == 1
        await asyncio.sleep(600)
    assert server.counts == {"no luck": 132}, "the last ones are counted too, without a further event"


async def test_words_that_change_each_time_make_no_flood() -> None:
    server = Server()
    each = recorder(server)
    async with running(each):
        for number in range(50):
            await tell(each, f"sandbox {number} failed")
            await asyncio.sleep(10)
        await asyncio.sleep(600)
    assert len(server.events) == 3
    assert server.requests <= 12
    assert sum(server.counts.values()) == 50


async def test_other_reasons_and_objects_are_events_of_their_own() -> None:
    server = Server()
    each = recorder(server)
    for reason in ("NoNetworkFound", "AttachmentFailed"):
        await tell(each, reason=reason)
    await each.event({**POD, "metadata": {**POD["metadata"], "uid": "uid-2"}}, kind="Warning", **WORDS)  # type: ignore[dict-item]
    assert len(server.events) == 3


WORDS: dict[str, Any] = {"reason": "AttachmentFailed", "note": "no luck", "action": "AttachNetwork"}


async def test_what_is_told_after_a_long_pause_is_told_anew() -> None:
    server = Server()
    each = recorder(server)
    await tell(each)
    await asyncio.sleep(601)
    await tell(each)
    assert len(server.events) == 2


async def test_an_event_that_the_server_forgot_is_made_again() -> None:
    server = Server()
    each = recorder(server)
    await tell(each)
    server.events.clear()
    await tell(each)
    assert server.counts == {"no luck": 1}
    await tell(each)
    assert server.counts == {"no luck": 2}


async def test_a_count_that_cannot_be_written_is_written_later(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    each = recorder(server)
    async with running(each):
        await tell(each)
        server.failing = errors.Unreachable(message="away")
        await tell(each)
        server.failing = None
        await asyncio.sleep(60)
    assert server.counts == {"no luck": 2}
    assert "was not written" in caplog.text
