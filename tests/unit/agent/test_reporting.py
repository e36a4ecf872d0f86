"""What a pod got is told in order, each sentence once, and nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from mooring.agent import reporting, sandboxes

POD = {"metadata": {"name": "web", "namespace": "default", "uid": "uid-1"}}


class Recorder:
    """Remembers what it is to tell; `enough` is set once it is so much."""

    def __init__(self, enough: int) -> None:
        self.told: list[dict[str, Any]] = []
        self._wanted = enough
        self.enough = asyncio.Event()

    async def event(self, regarding: dict[str, Any], **told: Any) -> None:
        await asyncio.sleep(0)
        self.told.append({"uid": regarding["metadata"]["uid"], **told})
        if len(self.told) >= self._wanted:
            self.enough.set()


def sandbox(name: str = "c@eth0.jsonl", *added: str) -> sandboxes.Sandbox:
    return sandboxes.Sandbox(
        name=name, pod="default/web", uid="uid-1", boot="", time="", status="[]", left_out=(), networks=(), added=added
    )


async def told(each: reporting.Reporter, recorder: Recorder) -> None:
    task = asyncio.create_task(each.run())
    try:
        async with asyncio.timeout(100):
            await recorder.enough.wait()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_fails_and_what_is_wrong_is_told_as_a_warning() -> None:
    recorder = Recorder(2)
    each = reporting.Reporter(recorder)  # type: ignore[arg-type]
    each.failed(POD, "NoNetworkFound", "no a")
    await each.warn(POD, "NetworksMissing", "no b")
    await told(each, recorder)
    assert [(one["kind"], one["reason"], one["note"], one["once"]) for one in recorder.told] == [
        ("Warning", "NoNetworkFound", "no a", ""),
        ("Warning", "NetworksMissing", "no b", ""),
    ]


async def test_each_attachment_is_an_event_of_its_own_that_is_named_after_the_sandbox() -> None:
    recorder = Recorder(2)
    each = reporting.Reporter(recorder)  # type: ignore[arg-type]
    each.attached(POD, sandbox("c@eth0.jsonl", "Add eth0 [] from a", "Add net1 [] from b"))
    await told(each, recorder)
    assert [(one["uid"], one["kind"], one["reason"], one["note"], one["once"]) for one in recorder.told] == [
        ("uid-1", "Normal", "AddedInterface", "Add eth0 [] from a", "c@eth0.jsonl/0"),
        ("uid-1", "Normal", "AddedInterface", "Add net1 [] from b", "c@eth0.jsonl/1"),
    ]


@pytest.mark.looptime
async def test_of_more_than_can_wait_the_rest_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(1000)
    each = reporting.Reporter(recorder)  # type: ignore[arg-type]
    for number in range(1001):
        each.attached(POD, sandbox(f"c{number}@eth0.jsonl", f"Add eth0 [] from {number}"))
    assert "no event AddedInterface tells of web" in caplog.text
    await told(each, recorder)
    assert [one["note"] for one in recorder.told] == [f"Add eth0 [] from {number}" for number in range(1000)]
