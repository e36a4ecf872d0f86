"""Informers against a real API server: the copy is right again after everything that breaks a watch."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from mooring.kube import resources, transport
from mooring.kube.client import Client
from mooring.kube.informers import Informer
from tests.integration.conftest import eventually
from tests.integration.test_client import config_map

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import pytest

    from testbed.controlplane import ControlPlane

Change = tuple[str, str | None, str | None]


class Followed:
    """An informer of labelled objects, and what it said: the first value of `data`, or `spec.revision`."""

    def __init__(self, client: Client, namespace: str | None, resource: resources.Resource) -> None:
        self.changes: list[Change] = []
        self.informer = Informer(
            client,
            resource,
            namespace=namespace,
            label_selector="test=yes",
            transform=lambda item: {
                "metadata": item["metadata"],
                "value": item.get("data", {}).get("v") or item.get("spec", {}).get("revision"),
            },
            on_change=self._changed,
        )

    def _changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        before, after = (item["value"] if item else None for item in (old, new))
        self.changes.append((key.rpartition("/")[2], before, after))


@contextlib.asynccontextmanager
async def following(
    client: Client, namespace: str | None, resource: resources.Resource = resources.CONFIG_MAPS
) -> AsyncIterator[Followed]:
    followed = Followed(client, namespace, resource)
    task = asyncio.create_task(followed.informer.run())
    try:
        await followed.informer.synced.wait()
        yield followed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class BreaksOnce(Client):
    """Before the first watch something happens behind our back, and the watch starts from a forgotten version."""

    def __init__(self, api: Any, *, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(api)
        self._meanwhile: Callable[[], Awaitable[None]] | None = meanwhile

    async def watch(self, *arguments: Any, resource_version: str, **more: Any) -> AsyncIterator[dict[str, Any]]:
        if self._meanwhile is not None:
            await self._meanwhile()
            self._meanwhile = None
            resource_version = "1"
        async for event in super().watch(*arguments, resource_version=resource_version, **more):
            yield event


async def test_what_happens_is_told_in_order_and_kept_as_transformed(client: Client, namespace: str) -> None:
    await client.create(resources.CONFIG_MAPS, config_map(namespace, "first", v="1"), namespace=namespace)
    async with following(client, namespace) as followed:
        assert followed.changes == [("first", None, "1")]
        await client.create(resources.CONFIG_MAPS, config_map(namespace, "second", v="2"), namespace=namespace)
        await client.patch(resources.CONFIG_MAPS, "first", {"data": {"v": "3"}}, namespace=namespace)
        await client.delete(resources.CONFIG_MAPS, "second", namespace=namespace)
        await eventually(lambda: len(followed.changes) == 4, what="four changes")
        assert followed.changes[1:] == [("second", None, "2"), ("first", "1", "3"), ("second", "2", None)]
        assert list(followed.informer.store) == [f"{namespace}/first"]


async def test_an_object_that_leaves_the_selection_is_gone(client: Client, namespace: str) -> None:
    await client.create(resources.CONFIG_MAPS, config_map(namespace, "leaving", v="1"), namespace=namespace)
    async with following(client, namespace) as followed:
        patch = {"metadata": {"labels": {"test": "no"}}}
        await client.patch(resources.CONFIG_MAPS, "leaving", patch, namespace=namespace)
        await eventually(lambda: not followed.informer.store, what="an empty copy")
        assert followed.changes[-1] == ("leaving", "1", None)


async def test_what_vanished_while_the_watch_was_too_far_behind_is_told_as_a_deletion(
    client: Client, kinds: None
) -> None:
    for name in ("kept", "vanishing"):
        await client.create(resources.NODE_STATES, node_state(name, revision="1"))

    async def meanwhile() -> None:
        await client.delete(resources.NODE_STATES, "vanishing")
        await client.create(resources.NODE_STATES, node_state("appearing", revision="2"))

    breaking = BreaksOnce(await transport.connect(), meanwhile=meanwhile)
    async with breaking, following(breaking, None, resources.NODE_STATES) as followed:
        await eventually(lambda: len(followed.changes) == 4, what="what happened meanwhile")
        assert followed.changes[2:] == [("vanishing", "1", None), ("appearing", None, "2")]
        # And from there on it follows again.
        await client.patch(resources.NODE_STATES, "kept", {"spec": {"revision": "3"}})
        await eventually(lambda: followed.changes[-1] == ("kept", "1", "3"), what="the change after the relist")
    for name in ("kept", "appearing"):
        await client.delete(resources.NODE_STATES, name)


def node_state(name: str, *, revision: str) -> dict[str, Any]:
    return {
        "apiVersion": resources.NODE_STATES.api_version,
        "kind": resources.NODE_STATES.kind,
        "metadata": {"name": name, "labels": {"test": "yes"}},
        "spec": {"revision": revision},
    }


async def test_a_cut_connection_is_noticed_and_nothing_is_missed(
    plane: ControlPlane, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = Line(port=int(plane.url.rpartition(":")[2]))
    async with line.open() as port:
        document = json.loads(plane.kubeconfig.read_text())
        document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        (tmp_path / "kubeconfig").write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        async with await Client.load() as over_line, following(over_line, namespace) as followed:
            informer = followed.informer
            await eventually(lambda: informer.live, what="a live watch")
            line.cut()
            await eventually(lambda: not informer.live, what="the cut")
            await client.create(resources.CONFIG_MAPS, config_map(namespace, "meanwhile", v="1"), namespace=namespace)
            await eventually(lambda: informer.last_error is not None, what="an error to tell")
            line.mend()
            await eventually(lambda: f"{namespace}/meanwhile" in informer.store, what="what happened meanwhile")
            await eventually(lambda: informer.live and informer.last_error is None, what="a live watch again")


class Line:
    """A wire between us and a port of loopback that can be cut and mended."""

    def __init__(self, *, port: int) -> None:
        self._port = port
        self._whole = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._whole = True

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(_pump(source, sink)))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
    sink.close()
