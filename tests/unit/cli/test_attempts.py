"""Commands that run as hooks outlast an API server that is away for a moment, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import looptime
import pytest

from mooring.cli import install, uninstall, verify
from mooring.kube import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mooring.kube.resources import Resource

ELECTING = errors.ApiError(status=500, reason="InternalError", message="etcdserver: leader changed")
STARTING = errors.ApiError(status=503, message="please try again")
LATE = errors.ApiError(status=504, reason="Timeout", message="request did not complete")
BUSY = errors.TooManyRequests(status=429, message="too many requests")
AWAY = errors.Unreachable(message="refused")
PASSING = [ELECTING, STARTING, LATE, BUSY, AWAY]
FORBIDDEN = errors.Forbidden(status=403, reason="Forbidden", message="cannot do that")

INSTALLATION = {
    "metadata": {"name": "default", "generation": 1},
    "status": {"observedGeneration": 1, "nodes": {"desired": 1}},
}
READY = {"metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
VERDICT = 'admission webhook "networks.mooring.dev" denied the request: MR101'


class Server:
    """A client whose API server has a trouble with some requests until a moment, and works from then on."""

    def __init__(self, trouble: errors.ApiError, *, until: float, of: str) -> None:
        self.trouble, self.until, self.of = trouble, until, of
        self.gone_at = 0.0
        self.ended = 0.0

    async def load(self) -> Server:
        return self

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ended = asyncio.get_running_loop().time()

    def _answer(self, request: str) -> float:
        now = asyncio.get_running_loop().time()
        if request == self.of and now < self.until:
            raise self.trouble
        return now

    async def apply(self, _: Resource, body: dict[str, Any], *, field_manager: str) -> dict[str, Any]:
        self._answer("apply")
        return body

    async def delete(self, _: Resource, name: str, *, propagation: str) -> None:
        self._answer("delete")

    async def get(self, _: Resource, name: str) -> dict[str, Any]:
        now = self._answer("get")
        if 0.0 < self.gone_at <= now:
            raise errors.NotFound(status=404)
        return INSTALLATION

    async def list(self, _: Resource, *, label_selector: str) -> dict[str, Any]:
        self._answer("list")
        return {"items": [] if self.gone_at else [READY]}

    async def create(self, _: Resource, body: dict[str, Any], *, namespace: str, dry_run: bool) -> dict[str, Any]:
        wrong = not body["spec"]["config"].endswith("}")
        self._answer("create wrong" if wrong else "create right")
        if wrong:
            raise errors.Invalid(status=422, message=VERDICT)
        return body


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(main: Coroutine[Any, Any, int | None]) -> int | None:
        with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
            return runner.run(main)

    monkeypatch.setattr(asyncio, "run", run)


def _install(monkeypatch: pytest.MonkeyPatch, server: Server) -> int:
    monkeypatch.setattr(install, "Client", server)
    return install.run("{}", seconds=60)


def _uninstall(monkeypatch: pytest.MonkeyPatch, server: Server) -> int:
    server.gone_at = 20.0
    monkeypatch.setattr(uninstall, "Client", server)
    return uninstall.run(seconds=60)


def _verify(monkeypatch: pytest.MonkeyPatch, server: Server) -> int:
    monkeypatch.setattr(verify, "Client", server)
    return verify.run(namespace="default", seconds=60)


REQUESTS = [
    (_install, "apply"),
    (_uninstall, "delete"),
    (_uninstall, "get"),
    (_uninstall, "list"),
    (_verify, "get"),
    (_verify, "list"),
    (_verify, "create wrong"),
    (_verify, "create right"),
]


@pytest.mark.parametrize("trouble", PASSING, ids=lambda error: str(error.status))
@pytest.mark.parametrize(("command", "request_"), REQUESTS)
def test_a_trouble_of_the_api_server_is_outlasted_and_told_once(
    command: Callable[[pytest.MonkeyPatch, Server], int],
    request_: str,
    trouble: errors.ApiError,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server(trouble, until=40.0, of=request_)
    assert command(monkeypatch, server) == 0
    assert 40.0 <= server.ended <= 42.0
    said = capsys.readouterr()
    assert said.out.count(f"{trouble}; trying again\n") == 1
    assert said.err == ""


@pytest.mark.parametrize(("command", "request_"), REQUESTS)
def test_a_trouble_that_stays_ends_the_command_with_its_time(
    command: Callable[[pytest.MonkeyPatch, Server], int],
    request_: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server(STARTING, until=1e6, of=request_)
    assert command(monkeypatch, server) == 1
    assert 60.0 <= server.ended <= 61.0
    said = capsys.readouterr()
    assert str(STARTING) in said.err or "not done within 60 s" in said.err


@pytest.mark.parametrize(("command", "request_"), REQUESTS)
def test_rights_may_come_half_a_minute_late_and_no_later(
    command: Callable[[pytest.MonkeyPatch, Server], int],
    request_: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server(FORBIDDEN, until=25.0, of=request_)
    assert command(monkeypatch, server) == 0
    server = Server(FORBIDDEN, until=1e6, of=request_)
    assert command(monkeypatch, server) == 1
    assert 30.0 <= server.ended <= 31.0
    assert str(FORBIDDEN) in capsys.readouterr().err


@pytest.mark.parametrize(("command", "request_"), REQUESTS)
def test_an_answer_for_good_ends_the_command_at_once(
    command: Callable[[pytest.MonkeyPatch, Server], int], request_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(errors.Invalid(status=422, message="no"), until=1e6, of=request_)
    assert command(monkeypatch, server) == 1
    assert server.ended <= 21.0


def test_a_kind_that_is_not_served_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(errors.NotFound(status=404, message="no such kind"), until=40.0, of="apply")
    assert _install(monkeypatch, server) == 0


def test_a_trouble_that_quotes_the_rule_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(errors.ApiError(status=500, message=VERDICT), until=1e6, of="create wrong")
    assert _verify(monkeypatch, server) == 1
    said = capsys.readouterr()
    assert "Admission refuses" not in said.out
    assert VERDICT in said.err
