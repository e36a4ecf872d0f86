"""Reports that the API server does not take hold up no others."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from mooring.controller import reports
from mooring.insight.networkreports import Node
from mooring.kube import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mooring.kube.resources import Resource

pytestmark = pytest.mark.looptime


class Server:
    """An API server with networks that need a report each; `refuses` says with what a report is refused."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.refuses: dict[str, errors.ApiError] = {}
        self.tried: list[str] = []
        self.meanwhile: Callable[[reports.Reconciler], None] = lambda _: None
        self.reconciler: reports.Reconciler | None = None

    async def pages(self, resource: Resource, **_: Any) -> AsyncIterator[dict[str, Any]]:
        items = []
        if resource.plural == "network-attachment-definitions":
            for name in self.names:
                metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
                items.append({"metadata": metadata, "spec": {"config": "{"}})
        yield {"metadata": {"resourceVersion": "1"}, "items": items}

    async def watch(self, resource: Resource, **_: Any) -> AsyncIterator[dict[str, Any]]:
        await asyncio.Event().wait()
        yield {}

    async def apply(self, resource: Resource, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        name = body["metadata"]["name"]
        self.tried.append(name)
        if self.reconciler is not None:
            self.meanwhile(self.reconciler)
        if name in self.refuses:
            raise self.refuses[name]
        return body


@pytest.fixture
def server() -> Server:
    return Server(*"abc")


async def passes(server: Server, count: int = 1) -> list[errors.ApiError | float]:
    """Make passes over what the server has; return how each ended."""
    reconciler = reports.Reconciler(
        server,  # type: ignore[arg-type]
        leads=lambda: True,
        nodes=lambda: [Node("n1", ready=True, programs=None)],
        severities=dict,
        now=lambda: datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
        wake=lambda _: None,
    )
    server.reconciler = reconciler
    tasks = [asyncio.create_task(informer.run()) for informer in reconciler.informers]
    for informer in reconciler.informers:
        await informer.synced.wait()
    ends: list[errors.ApiError | float] = []
    for _ in range(count):
        try:
            ends.append(await reconciler.reconcile())
        except errors.ApiError as error:
            ends.append(error)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return ends


async def test_a_report_that_is_refused_holds_up_no_other_and_stays_due(server: Server) -> None:
    refusal = server.refuses["a"] = errors.Forbidden(status=403, message="a policy says no")
    assert await passes(server, 2) == [refusal, refusal]
    assert server.tried == ["a", "b", "c", "a"]


@pytest.mark.parametrize("kind", [errors.Unreachable, errors.TooManyRequests])
async def test_an_api_server_that_does_not_answer_is_asked_no_more(server: Server, kind: type[errors.ApiError]) -> None:
    refusal = server.refuses["a"] = kind(message="later")
    assert await passes(server) == [refusal]
    assert server.tried == ["a"]


async def test_many_that_are_refused_leave_turns_for_the_others() -> None:
    server = Server(*(f"a{number:03}" for number in range(60)), "z")
    refusal = errors.Forbidden(status=403, message="a policy says no")
    server.refuses = dict.fromkeys(server.names[:-1], refusal)
    assert await passes(server, 2) == [refusal, refusal]
    assert "z" in server.tried
    assert len(server.tried) == 100


async def test_what_changes_while_a_pass_is_under_way_is_looked_at_again(server: Server) -> None:
    def change(reconciler: reports.Reconciler) -> None:
        # The pass has not come to b yet, and knows who was attached when it began.
        if server.tried == ["a"]:
            reconciler._note("default/b")

    server.meanwhile = change
    await passes(server, 2)
    assert server.tried == ["a", "b", "c", "b"]
