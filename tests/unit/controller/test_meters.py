"""Passes of reconcilers are timed and counted, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from mooring.controller.fencing import Deposed
from mooring.controller.meters import Meter
from mooring.kube import errors

pytestmark = pytest.mark.looptime


async def test_a_pass_is_timed_while_it_runs_and_when_it_has_ended() -> None:
    meter = Meter(["a", "b"])
    with meter.timed("a"):
        await asyncio.sleep(3)
        assert meter.running() == {"a": 3, "b": 0}
    assert meter.running() == {"a": 0, "b": 0}
    assert (meter.durations["a"].count, meter.durations["a"].sum) == (1, 3)
    assert meter.durations["b"].count == 0
    assert not meter.failures


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.Conflict(status=409), "Conflict"),
        (errors.Unreachable(), "Unreachable"),
        (errors.ApiError(status=500), "ApiError"),
        (KeyError("x"), "Fault"),
    ],
)
async def test_a_failure_is_counted_by_what_the_api_server_said(error: Exception, kind: str) -> None:
    meter = Meter(["a"])
    with pytest.raises(type(error)), meter.timed("a"):
        raise error
    assert meter.failures == {("a", kind): 1}
    assert meter.durations["a"].count == 1


@pytest.mark.parametrize("end", [Deposed(), asyncio.CancelledError()])
async def test_a_pass_that_ends_with_the_term_is_no_failure(end: BaseException) -> None:
    meter = Meter(["a"])
    with pytest.raises(type(end)), meter.timed("a"):
        raise end
    assert not meter.failures
    assert meter.running() == {"a": 0}
