"""The plugin's token is renewed in time, and what is on the node serves until it is."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import credentials, loops
from mooring.kube import errors

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.conftest import Node

HOUR = 3600.0


def token(*, issued: float, life: float = 24 * HOUR, node: str = "uid-n1") -> str:
    claims = {"iat": issued, "exp": issued + life, "kubernetes.io": {"node": {"name": "n1", "uid": node}}}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


class Api:
    """An API server that hands out tokens."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.url = "https://10.96.0.1:443"
        self.certificate_authority = b"PEM"
        self.node = "uid-n1"
        self.failing: Exception | None = None
        self.requests: list[dict[str, Any]] = []

    async def get(self, resource: Any, name: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        if self.failing:
            raise self.failing
        return {"metadata": {"name": name, "uid": self.node}}

    async def create(self, resource: Any, body: dict[str, Any], **more: str) -> dict[str, Any]:
        assert more == {"namespace": "mooring-system", "name": "mooring-plugin", "subresource": "token"}
        self.requests.append(body)
        return {"status": {"token": token(issued=self.now, node=self.node)}}


class World:
    """A node, an API server and the reconciler between them."""

    def __init__(self, node: Node) -> None:
        self.api = Api()
        self.path: Path = node.places.seen(node.places.kubeconfig)
        revision = node.revision()
        self.credentials = credentials.Credentials(
            loops.Site(self.api, "n1", "mooring-system"),  # type: ignore[arg-type]
            revision=lambda: revision,
            now=lambda: self.api.now,
            on_health=lambda: None,
        )

    @property
    def document(self) -> Any:
        return json.loads(self.path.read_bytes())


@pytest.fixture
async def world(node: Node) -> World:
    return World(node)


async def test_a_kubeconfig_is_written_that_only_root_can_read(world: World) -> None:
    await world.credentials.reconcile()
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(world.path.parent.stat().st_mode) == 0o700
    assert world.document["clusters"][0]["cluster"] == {
        "server": "https://10.96.0.1:443",
        "certificate-authority-data": "UEVN",
    }
    assert world.document["users"][0]["user"]["token"] == token(issued=1_000_000.0)
    assert world.credentials.health.settled


async def test_the_token_is_asked_for_a_day_and_bound_to_the_node(world: World) -> None:
    await world.credentials.reconcile()
    [request] = world.api.requests
    assert request["spec"] == {
        "expirationSeconds": 86400,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-n1"},
    }


async def test_it_is_renewed_at_half_its_life_and_not_before(world: World) -> None:
    await world.credentials.reconcile()
    world.api.now += 11 * HOUR
    await world.credentials.reconcile()
    assert len(world.api.requests) == 1
    world.api.now += 1 * HOUR
    await world.credentials.reconcile()
    assert len(world.api.requests) == 2
    assert world.document["users"][0]["user"]["token"] == token(issued=world.api.now)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"users": [{"user": {"token": "opaque"}}]}',
        b'{"users": [{"user": {"token": "a.b.c"}}]}',
    ],
)
async def test_what_somebody_made_of_it_is_replaced(world: World, content: bytes) -> None:
    await world.credentials.reconcile()
    world.path.write_bytes(content)
    await world.credentials.reconcile()
    assert world.document["users"][0]["user"]["token"] == token(issued=1_000_000.0)


async def test_one_that_others_can_read_is_replaced(world: World) -> None:
    await world.credentials.reconcile()
    world.path.chmod(0o644)
    await world.credentials.reconcile()
    assert len(world.api.requests) == 2
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("node", "uid-made-anew"), ("url", "https://other:6443"), ("certificate_authority", b"OTHER")],
)
async def test_another_node_object_or_server_needs_another_one(world: World, attribute: str, value: str) -> None:
    await world.credentials.reconcile()
    setattr(world.api, attribute, value)
    await world.credentials.reconcile()
    assert len(world.api.requests) == 2


async def test_without_an_api_server_the_one_on_the_node_serves_until_it_ends(world: World) -> None:
    await world.credentials.reconcile()
    before = world.path.read_bytes()
    world.api.failing = errors.Unreachable(message="nobody there")
    world.api.now += 20 * HOUR
    assert await world.credentials.reconcile() == 30
    assert "cannot be renewed" in world.credentials.health.warning
    assert world.path.read_bytes() == before
    world.api.now += 5 * HOUR
    with pytest.raises(errors.Unreachable):
        await world.credentials.reconcile()


async def test_another_authority_is_written_though_no_token_can_be_had(world: World) -> None:
    await world.credentials.reconcile()
    before = world.document["users"]
    world.api.certificate_authority = b"OTHER"
    world.api.failing = errors.Unreachable(message="nobody there")
    assert await world.credentials.reconcile() == 30
    assert base64.b64decode(world.document["clusters"][0]["cluster"]["certificate-authority-data"]) == b"OTHER"
    assert world.document["users"] == before
    world.api.failing = None
    await world.credentials.reconcile()
    assert world.credentials.health.warning == ""


async def test_no_secret_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await world.credentials.reconcile()
    secret = world.document["users"][0]["user"]["token"]
    world.api.failing = errors.Unreachable(message="nobody there")
    for hours in (20, 25):  # it serves on, then it has ended
        world.api.now = 1_000_000.0 + hours * HOUR
        caplog.clear()
        task = asyncio.create_task(world.credentials.run())
        async with asyncio.timeout(5):
            while "nobody there" not in caplog.text:  # noqa: ASYNC110  a log has no event
                await asyncio.sleep(0.01)
        task.cancel()
        assert secret not in caplog.text
