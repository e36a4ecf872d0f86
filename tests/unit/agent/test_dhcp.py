"""The dhcp daemon runs where it is wanted, once, and outlives the agent; whoever else runs one is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import dhcp
from mooring.node import daemons, namespaces, places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.unit.agent.conftest import Node

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root enters namespaces")

# As the reference plugin's: its socket stays when it is killed, and a second one finds the address in use.
DAEMON = """#!{python}
import os, signal, socket, sys
word, *rest = sys.argv[1:]
assert word == "daemon"
file = rest[0].removeprefix("-pidfile=") if rest else ""
if file:
    open(file, "w").write(str(os.getpid()))
listening = socket.socket(socket.AF_UNIX)
listening.bind({address!r})
listening.listen()
print("I listen", file=sys.stderr, flush=True)
def leave(number, frame):
    os.unlink({address!r})
    if file:
        os.unlink(file)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
while True:
    signal.pause()
"""


class Renewal:
    """Counts."""

    def __init__(self) -> None:
        self.begun = 0
        self.failed = ""

    def begin(self, places: places.Places) -> None:
        self.begun += 1

    async def proceed(self, places: places.Places) -> str:
        return self.failed


class World:
    """A node whose runtime is this very process, with folders below a temporary one."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.folder = folder
        self.places = places.Places(
            host_root=Path("/"), bin_dir=f"{folder}/bin", conf_dir=f"{folder}/conf", state_dir=f"{folder}/state"
        )
        for path in self.places.absent():
            Path(path).mkdir()
        self.node = node
        self.renewal = Renewal()
        self.others: list[subprocess.Popen[bytes]] = []
        self.wanted = True
        self.agents: list[dhcp.DhcpDaemon] = []

    def start(self) -> None:
        """Start an agent, as after its end."""
        self.agent = dhcp.DhcpDaemon(
            node_name="n1",
            host_root=Path("/"),
            node=self,
            revision=self._revision,
            renewal=self.renewal,  # type: ignore[arg-type]
            on_health=lambda: None,
        )
        self.agents.append(self.agent)

    def _revision(self) -> Any:
        return dataclasses.replace(self.node.revision(dhcp_daemon=self.wanted), places=self.places)

    @contextlib.contextmanager
    def enter(self) -> Iterator[namespaces.Namespaces]:
        address = self.folder / "runtime"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(address))
            listening.listen()
            with namespaces.behind(address) as inside:
                yield inside

    def install(self, text: str = DAEMON) -> Path:
        path = self.folder / "bin" / "dhcp"
        path.write_text(text.replace("{python}", sys.executable).replace("{address!r}", repr(str(self.socket))))
        path.chmod(0o755)
        return path

    def another(self) -> subprocess.Popen[bytes]:
        """Start a daemon that is somebody else's."""
        process = subprocess.Popen([self.install(), "daemon"], stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert process.stderr.readline() == b"I listen\n"
        self.others.append(process)
        return process

    @property
    def socket(self) -> Path:
        return self.folder / "dhcp.sock"

    @property
    def problem(self) -> str:
        return self.agent.health.problem

    def pid(self) -> int:
        return int((self.folder / "state" / "dhcp-daemon.pid").read_text())

    def listener(self) -> int | None:
        return daemons.listener(self.socket)

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """End the daemon behind our back, and wait until it has ended."""
        pinned = os.pidfd_open(self.pid())
        try:
            signal.pidfd_send_signal(pinned, number)
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(pinned, ended.set)
            await ended.wait()
            asyncio.get_running_loop().remove_reader(pinned)
        finally:
            os.close(pinned)


@pytest.fixture
async def world(tmp_path: Path, node: Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    folder = tmp_path / "n"
    folder.mkdir()
    made = World(folder, node)
    monkeypatch.setattr(dhcp, "SOCKET", str(made.socket))
    made.start()
    yield made
    made.wanted = False
    await made.agent.reconcile()
    for agent in made.agents:
        if agent._started is not None:
            agent._started.process.wait()
    for process in made.others:
        process.kill()
        process.communicate()


def opened(pid: int) -> set[str]:
    """Return what a process has open, but for namespaces and sockets."""
    listed = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return {each for each in listed if not each.startswith(("mnt:", "net:", "socket:"))}


async def test_it_is_started_where_none_runs_and_leases_are_taken_again(world: World) -> None:
    world.install()
    await world.agent.reconcile()
    assert world.listener() == world.pid()
    assert (world.problem, world.agent.health.settled, world.renewal.begun) == ("", True, 1)


async def test_one_that_runs_is_not_doubled_and_not_started_anew(world: World) -> None:
    world.install()
    await world.agent.reconcile()
    before = world.pid()
    await world.agent.reconcile()
    world.start()
    await world.agent.reconcile()
    assert (world.listener(), world.agent.starts, world.renewal.begun) == (before, 0, 1)


async def test_it_is_in_a_session_of_its_own_and_has_nothing_of_ours_open(world: World) -> None:
    world.install()
    await world.agent.reconcile()
    assert os.getsid(world.pid()) == world.pid()
    assert opened(world.pid()) <= {"/dev/null", str(world.folder / "state" / "dhcp-daemon.log")}


async def test_one_that_is_somebody_elses_serves_and_is_never_ended(world: World) -> None:
    process = world.another()
    await world.agent.reconcile()
    assert (world.problem, world.agent.starts, world.listener()) == ("", 0, process.pid)
    world.wanted = False
    await world.agent.reconcile()
    assert process.poll() is None


async def test_one_that_was_killed_is_started_again_after_a_pause_over_the_socket_that_it_left(world: World) -> None:
    world.install()
    await world.agent.reconcile()
    before = world.pid()
    await world.kill()
    assert world.socket.exists()
    await world.agent.reconcile()
    assert "The dhcp daemon on node n1 does not stay: it ended after 0 s with status -9: I listen" in world.problem
    world.agent._not_before = 0.0
    await world.agent.reconcile()
    assert world.listener() == world.pid() != before
    assert (world.problem, world.renewal.begun) == ("", 2)


async def test_one_that_ends_at_once_is_tried_ever_more_rarely_and_what_it_said_is_told(world: World) -> None:
    world.install("#!/bin/sh\necho cannot do it >&2\nexit 3\n")
    await world.agent.reconcile()
    assert "ended after 0 s with status 3: cannot do it" in world.problem
    first = world.agent._not_before
    await world.agent.reconcile()
    assert world.agent.starts == 1
    world.agent._not_before = 0.0
    await world.agent.reconcile()
    assert world.agent.starts == 2
    assert world.agent._early_ends == 2
    assert world.agent._not_before > first


async def test_one_whose_socket_was_removed_is_replaced(world: World) -> None:
    world.install()
    await world.agent.reconcile()
    before = world.pid()
    world.socket.unlink()
    world.agent._not_before = 0.0
    await world.agent.reconcile()
    assert world.listener() == world.pid() != before


async def test_it_ends_with_the_wish_for_it_and_leaves_nothing(world: World) -> None:
    world.install()
    await world.agent.reconcile()
    world.start()
    world.wanted = False
    await world.agent.reconcile()
    assert world.listener() is None
    assert [path.name for path in (world.folder / "state").iterdir()] == []
    assert not world.socket.exists()
    assert world.problem == ""


async def test_without_the_program_the_node_says_what_to_do(world: World) -> None:
    await world.agent.reconcile()
    assert world.problem == (
        f"dhcpDaemon is true, and node n1 has no program {world.folder}/bin/dhcp: take it from an image by a "
        "plugin set, or say dhcpDaemon: false."
    )
    assert not world.agent.health.settled


async def test_leases_that_are_not_renewed_are_told(world: World) -> None:
    world.install()
    world.renewal.failed = "default/web on default/lan (net1): no more tries"
    await world.agent.reconcile()
    assert world.renewal.failed in world.agent.health.warning


async def test_a_log_that_grows_large_is_cut(world: World) -> None:
    world.install()
    await world.agent.reconcile()
    log = world.folder / "state" / "dhcp-daemon.log"
    with log.open("ab") as file:
        file.truncate(dhcp._MOST_LOG + 1)
    await world.agent.reconcile()
    assert log.stat().st_size == 0
