"""What the agent's reconcilers are given in tests: an API server that only remembers, and a node in a folder."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import revisions
from mooring.node import places, proof, store

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """#!/bin/sh
cat >/dev/null
echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"],"interfaces":[{"name":"lo"}]}'
"""


class FakeInformer:
    """A store that a test fills by hand."""

    def __init__(self) -> None:
        self.store: dict[str, dict[str, Any]] = {}
        self.synced = asyncio.Event()
        self.last_contact: float | None = None
        self.last_error: Exception | None = None


class FakeClient:
    """Remembers patches; `errors` are raised first, one for each call."""

    def __init__(self) -> None:
        self.patches: list[tuple[str, str, dict[str, Any]]] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.errors: list[Exception] = []
        self.listed: list[dict[str, Any]] = []

    async def patch(self, resource: Any, name: str, patch: dict[str, Any], **more: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        assert more["subresource"] == "status"
        assert more["field_manager"] == "mooring-agent"
        namespace = more.get("namespace")
        self.patches.append((resource.kind, f"{namespace}/{name}" if namespace else name, patch))
        return {}

    async def get(self, resource: Any, name: str, **more: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        return self.objects[name]

    async def list(self, resource: Any, **more: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"items": self.listed}


async def at_once(call: Any, *arguments: Any, **more: Any) -> Any:
    """Take the place of `asyncio.to_thread`: in virtual time nothing else takes time."""
    return call(*arguments, **more)


class FakeProver:
    """Proves by VERSION alone, where the test says nothing else."""

    def __init__(self) -> None:
        self.fault = ""
        self.proven: list[str | None] = []

    async def prove(self, binary: Path, node: places.Places) -> None:
        self.proven.append(store.sha256(binary))
        if self.fault:
            raise proof.UnprovenError(self.fault)
        await proof.answers(binary)


@dataclasses.dataclass
class Node:
    """A node's folders below a temporary one."""

    root: Path
    places: places.Places

    def revision(self, name: str = "mooring-revision-1", **more: Any) -> revisions.Revision:
        known: dict[str, Any] = {
            "image": "mooring:1",
            "default_network": "auto",
            "plugin": {"logLevel": "error"},
        }
        return revisions.Revision(name=name, places=self.places, **{**known, **more})

    def program(self, name: str, text: str = PLUGIN) -> Path:
        path = self.places.binaries / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def primary(self, file: str = "10-pod-network.conflist", **more: Any) -> dict[str, Any]:
        conf = {"cniVersion": "0.3.1", "name": "pod-network", "plugins": [{"type": "bridge"}], **more}
        self.places.confs.mkdir(parents=True, exist_ok=True)
        (self.places.confs / file).write_text(json.dumps(conf))
        return conf

    @property
    def conf(self) -> Path:
        return self.places.confs / "00-multus.conf"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    root = tmp_path / "host"
    made = Node(
        root=root,
        places=places.Places(
            host_root=root, bin_dir="/opt/cni/bin", conf_dir="/etc/cni/net.d", state_dir="/var/lib/mooring"
        ),
    )
    for folder in made.places.absent():
        made.places.seen(folder).mkdir(parents=True)
    return made


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
async def informer() -> FakeInformer:
    return FakeInformer()


def line(record: dict[str, Any]) -> bytes:
    """Return a line of a journal."""
    body = json.dumps(record, separators=(",", ":")).encode()
    return b'{"crc":"%08x","record":%b}\n' % (zlib.crc32(body), body)


def journal(
    *,
    pod: str = "default/web",
    uid: str = "uid-1",
    time: str = "2026-03-01T12:00:00.000001Z",
    boot: str = "boot-1",
    networks: tuple[str, ...] = ("default/storage",),
    complete: bool = True,
    undone: bool = False,
) -> bytes:
    """Return a journal of the default network and further ones."""
    namespace, _, name = pod.partition("/")
    header = {"type": "header", "version": 1, "time": time, "bootID": boot, "containerID": "c", "ifName": "eth0"}
    header["pod"] = {"namespace": namespace, "name": name, "uid": uid}
    attachments = [
        {"index": 0, "network": "pod-network", "nad": False, "default": True, "ifName": "eth0"},
        *(
            {"index": index, "network": network, "nad": True, "default": False, "ifName": f"net{index}"}
            for index, network in enumerate(networks, start=1)
        ),
    ]
    lines = [line(header), line({"type": "intents", "attachments": attachments})]
    for attachment in attachments if complete else attachments[:-1]:
        result = {"cniVersion": "1.0.0", "interfaces": [{"name": attachment["ifName"], "sandbox": "/x"}]}
        lines.append(line({"type": "result", "verb": "ADD", "index": attachment["index"], "result": result}))
    if undone:
        lines.append(line({"type": "begun", "verb": "DEL", "index": 1}))
    return b"".join(lines)


@pytest.fixture
def write_journal() -> Any:
    """Return the function that makes a journal's bytes."""
    return journal
