"""What the runtime says is read whole or refused, and asking for it always ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.node import cri

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRACT = Path(__file__).resolve().parents[3] / "cri" / "contract"
EXAMPLES = sorted((CONTRACT / "examples").glob("*.json"))
OURS = "status-containerd-ours.json"


@pytest.fixture
def host() -> Iterator[Path]:
    """A host root with a path short enough for a socket."""
    root = Path(tempfile.mkdtemp(prefix="cri"))
    yield root
    shutil.rmtree(root)


@contextlib.contextmanager
def listening(root: Path, path: str = "/run/containerd/containerd.sock") -> Iterator[None]:
    seen = root / path.lstrip("/")
    seen.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(seen))
        yield


def program(root: Path, text: str) -> Path:
    path = root / cri.PROGRAM
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def example(name: str) -> bytes:
    return (CONTRACT / "examples" / name).read_bytes()


class TestExamplesOfTheContract:
    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_each_is_what_its_schema_says(self, path: Path) -> None:
        schema = json.loads((CONTRACT / f"{path.name.split('-')[0].removesuffix('.json')}.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text()))

    def test_the_networks_that_are_loaded_are_read(self) -> None:
        status = cri.parse_status(example(OURS))
        assert (status.runtime, status.version, status.network_ready, status.last_load) == (
            "containerd",
            "v9.8.7",
            True,
            "OK",
        )
        assert status.networks == (cri.Network("multus-cni-network", ("mooring",), "1.0.0", "eth0"),)

    def test_a_runtime_with_no_network_is_told_from_one_that_does_not_tell(self) -> None:
        assert cri.parse_status(example("status-containerd-no-network.json")).networks == ()
        assert cri.parse_status(example("status-cri-o.json")).networks is None
        assert cri.parse_status(example("status-cri-dockerd.json")).networks is None

    def test_sandboxes_are_read_whatever_their_state(self) -> None:
        ready, other = cri.parse_sandboxes(example("sandboxes.json"))
        assert (ready.id, ready.ready, ready.namespace, ready.name) == ("0123456789abcdef", True, "shop", "web-0")
        assert (ready.uid, ready.attempt, ready.created) == ("uid-1", 2, "2026-03-01T12:00:00.000000005Z")
        assert not other.ready
        assert cri.parse_sandboxes(example("sandboxes-none.json")) == ()


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(example(OURS)), **fields}).encode()


def test_fields_of_a_later_program_are_skipped() -> None:
    assert cri.parse_status(changed(more=[1])) == cri.parse_status(example(OURS))


@pytest.mark.parametrize(
    "text", [changed(version=2), changed(networks=[{}]), changed(runtime="x"), b"", b"[]", b"null"]
)
def test_what_is_not_the_contract_is_refused(text: bytes) -> None:
    with pytest.raises(cri.UnansweredError, match="cannot be read"):
        cri.parse_status(text)


@given(
    st.one_of(
        st.binary(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
    )
)
def test_nothing_that_is_printed_raises_anything_else(text: bytes) -> None:
    for parse in (cri.parse_status, cri.parse_sandboxes):
        with pytest.raises(cri.UnansweredError):
            parse(text)


class TestTheSocket:
    def test_no_runtime_is_none(self, host: Path) -> None:
        assert cri.socket(host) is None

    def test_a_file_of_its_name_is_none(self, host: Path) -> None:
        path = host / "run/containerd/containerd.sock"
        path.parent.mkdir(parents=True)
        path.touch()
        assert cri.socket(host) is None

    @pytest.mark.parametrize("path", cri.SOCKETS)
    def test_each_known_runtime_is_found(self, host: Path, path: str) -> None:
        with listening(host, path):
            assert cri.socket(host) == path

    def test_containerd_beside_another_runtime_is_the_engine_of_docker(self, host: Path) -> None:
        with listening(host), listening(host, "/run/cri-dockerd.sock"):
            assert cri.socket(host) == "/run/cri-dockerd.sock"


class TestAsking:
    async def test_the_program_is_given_the_question_and_the_socket_where_the_agent_sees_it(self, host: Path) -> None:
        script = f'echo "$@" >{host}/asked; cat {CONTRACT}/examples/{OURS}'
        with listening(host):
            status = await cri.Runtime(program(host, script), host_root=host).status()
        assert status.runtime == "containerd"
        assert (host / "asked").read_text().split() == [
            "-timeout=5s",
            "status",
            str(host / "run/containerd/containerd.sock"),
        ]

    async def test_sandboxes_are_asked_for(self, host: Path) -> None:
        script = f'[ "$2" = sandboxes ] && cat {CONTRACT}/examples/sandboxes.json'
        with listening(host):
            found = await cri.Runtime(program(host, script), host_root=host).sandboxes()
        assert [sandbox.name for sandbox in found] == ["web-0", ""]

    async def test_a_node_without_a_runtime_is_said_so(self, host: Path) -> None:
        with pytest.raises(cri.NoSocketError, match="No container runtime listens"):
            await cri.Runtime(program(host, ""), host_root=host).status()

    async def test_why_the_runtime_did_not_answer_is_told_with_the_node_s_own_path(self, host: Path) -> None:
        script = 'echo "mooring-cri: $2 $3: connection refused" >&2; exit 1'
        with listening(host), pytest.raises(cri.UnansweredError) as error:
            await cri.Runtime(program(host, script), host_root=host).status()
        assert (
            str(error.value)
            == "The runtime at /run/containerd/containerd.sock cannot be asked for its status: connection refused"
        )

    async def test_a_missing_program_is_named(self, host: Path) -> None:
        with listening(host), pytest.raises(cri.UnansweredError, match="mooring-cri cannot be executed: No such file"):
            await cri.Runtime(host / cri.PROGRAM, host_root=host).status()

    async def test_a_program_that_hangs_is_ended(self, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        started = []
        execute = asyncio.create_subprocess_exec

        async def remembered(*arguments: Any, **more: Any) -> asyncio.subprocess.Process:
            started.append(await execute(*arguments, **more))
            return started[-1]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", remembered)
        monkeypatch.setattr(cri, "_DEADLINE_SECONDS", 0.05)
        with listening(host), pytest.raises(cri.UnansweredError, match="did not answer within"):
            await cri.Runtime(program(host, "exec sleep 1000"), host_root=host).status()
        assert [process.returncode for process in started] == [-signal.SIGKILL]
