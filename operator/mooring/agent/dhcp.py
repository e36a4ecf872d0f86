"""Owns that the dhcp plugin's daemon runs on the node where the Installation wants it; refuses to run a second one.

The daemon renews the leases of pods and holds them in memory alone, so it must outlive the agent: it runs in the
runtime's namespaces and cgroup, and the next agent finds it by the file that its command line names. One that
somebody else runs (systemd, Multus) is as good and never ended. When ours had to be started anew, the leases of what
is attached are taken again (`agent.renewal`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
from typing import TYPE_CHECKING, Protocol

from mooring.agent import loops
from mooring.installing.pluginsets import DHCP
from mooring.node import binaries, daemons, namespaces

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from mooring.agent.renewal import Renewal
    from mooring.agent.revisions import Revision
    from mooring.node.places import Places

_LOG = logging.getLogger(__name__)

SOCKET = "/run/cni/dhcp.sock"
"""Where the plugin looks for its daemon, as the runtime sees it."""
LOG = "dhcp-daemon.log"
_PID = "dhcp-daemon.pid"
_MOST_LOG = 1 << 20
_MOST_SAID = 400
_ANSWER_SECONDS = 10.0
_END_SECONDS = 5.0
# One that lived that long did not end of how it was started.
_HEALTHY_SECONDS = 60.0


class Node(Protocol):
    """What the reconciler needs of the node's runtime."""

    def enter(self) -> contextlib.AbstractContextManager[namespaces.Namespaces]:
        """Hold the runtime's namespaces; raises `OSError`. It blocks."""


@dataclasses.dataclass(slots=True)
class _Started:
    process: subprocess.Popen[bytes]
    at: float


class DhcpDaemon(loops.Reconciler):
    """Keeps the daemon running, or ours from running."""

    name = "dhcpdaemon"
    reason = "DhcpDaemonNotRunning"
    period = 5.0
    restarts = loops.Pause(first=1.0, longest=300.0)

    def __init__(
        self,
        *,
        node_name: str,
        host_root: Path,
        node: Node,
        revision: Callable[[], Revision | None],
        renewal: Renewal,
        on_health: Callable[[], None],
    ) -> None:
        super().__init__(on_health=on_health)
        self._node_name = node_name
        self._socket = host_root / SOCKET.lstrip("/")
        self._node = node
        self._revision = revision
        self._renewal = renewal
        self._started: _Started | None = None
        self._early_ends = 0
        self._not_before = 0.0
        self._said = ""
        self.starts = 0
        """How often this agent started the daemon."""

    async def reconcile(self) -> float | None:
        """Start the daemon where none answers, take leases again, or end ours where none is wanted."""
        revision = self._revision()
        if revision is None:
            return None
        if not revision.dhcp_daemon:
            await self.stop(revision.places)
            self.report(settled=True)
            return loops.Reconciler.period
        await self._note_end(revision.places)
        if await asyncio.to_thread(daemons.listener, self._socket) is None:
            with contextlib.ExitStack() as held:
                inside = await asyncio.to_thread(held.enter_context, self._node.enter())
                if await asyncio.to_thread(daemons.listener, inside.seen(SOCKET)) is None:
                    problem = await self._start(revision.places, inside)
                    if problem:
                        self.report(problem=problem)
                        return None
        return await self._running(revision.places)

    async def stop(self, places: Places) -> None:
        """End our daemon, if there is one, and remove its files; another's stays. Raises `OSError`.

        For a drain too: leases then are renewed no more, and end by their own time.
        """
        pid = await asyncio.to_thread(daemons.recorded, _pid_file(places), _word(places))
        if pid is not None:
            await asyncio.to_thread(daemons.end, pid, _word(places), seconds=_END_SECONDS)
            _LOG.info("ended the dhcp daemon (process %d)", pid)
        self._reap()
        self._started, self._early_ends, self._not_before = None, 0, 0.0
        for path in (_pid_file(places), _log(places)):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _reap(self) -> None:
        if self._started is not None:
            self._started.process.poll()

    async def _running(self, places: Places) -> float:
        warnings = []
        ours = await asyncio.to_thread(daemons.recorded, _pid_file(places), _word(places))
        if ours is not None:
            await asyncio.to_thread(_cut, _log(places))
            if await asyncio.to_thread(namespaces.shares_our_cgroup, ours):
                warnings.append(
                    f"The dhcp daemon on node {self._node_name} cannot leave the cgroup of the agent's container: it "
                    "ends with the agent, and its leases are taken again."
                )
        failed = await self._renewal.proceed(places)
        if failed:
            warnings.append(f"Leases on node {self._node_name} are not renewed: {failed}")
        self.report(settled=True, warning=" ".join(warnings))
        return self.period

    async def _note_end(self, places: Places) -> None:
        """Note how long a daemon that this agent started has lived, once it has ended."""
        started = self._started
        if started is None or started.process.poll() is None:
            return
        clock = asyncio.get_running_loop().time
        lived = clock() - started.at
        self._started = None
        self._early_ends = self._early_ends + 1 if lived < _HEALTHY_SECONDS else 0
        self._not_before = clock() + self.restarts.after(self._early_ends) if self._early_ends else 0.0
        tail = await asyncio.to_thread(_tail, _log(places))
        self._said = (
            f"it ended after {lived:.0f} s with status {started.process.returncode}: {tail or 'it said nothing'}"
        )
        _LOG.warning("the dhcp daemon: %s", self._said)

    async def _start(self, places: Places, inside: namespaces.Namespaces) -> str:
        """Start it and wait until it answers; return what is wrong in a sentence, "" where nothing is."""
        program = f"{places.bin_dir.rstrip('/')}/{DHCP}"
        if not await asyncio.to_thread(binaries.is_executable, places.seen(program)):
            return (
                f"dhcpDaemon is true, and node {self._node_name} has no program {program}: take it from an image by a "
                "plugin set, or say dhcpDaemon: false."
            )
        clock = asyncio.get_running_loop().time
        if clock() < self._not_before:
            return f"The dhcp daemon on node {self._node_name} does not stay: {self._said}."
        # It may live without its socket, which somebody removed: no plugin reaches it then.
        left = await asyncio.to_thread(daemons.recorded, _pid_file(places), _word(places))
        if left is not None:
            await asyncio.to_thread(daemons.end, left, _word(places), seconds=_END_SECONDS)
            self._reap()
        process = await asyncio.to_thread(_launch, places, inside, program)
        self._started = _Started(process, clock())
        self.starts += 1
        deadline = clock() + _ANSWER_SECONDS
        while await asyncio.to_thread(daemons.listener, inside.seen(SOCKET)) is None:
            if process.poll() is not None:
                await self._note_end(places)
                return f"The dhcp daemon on node {self._node_name} does not stay: {self._said}."
            if clock() >= deadline:
                return (
                    f"The dhcp daemon on node {self._node_name} does not listen at {SOCKET} after "
                    f"{_ANSWER_SECONDS:.0f} s."
                )
            await asyncio.sleep(0.05)
        _LOG.info("started the dhcp daemon (process %d)", process.pid)
        # Whatever was attached before knows no daemon that renews its leases.
        await asyncio.to_thread(self._renewal.begin, places)
        return ""


def _launch(places: Places, inside: namespaces.Namespaces, program: str) -> subprocess.Popen[bytes]:
    # One that was killed leaves its socket, and the next one would find the address in use. Nobody listens there.
    inside.seen(SOCKET).unlink(missing_ok=True)
    _pid_file(places).unlink(missing_ok=True)
    output = os.open(_log(places), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        return namespaces.stay(inside, program, "daemon", _word(places), output=output)
    finally:
        os.close(output)


def _word(places: Places) -> str:
    """Return the word of our daemon's command line that no other's has."""
    return f"-pidfile={places.state_dir.rstrip('/')}/{_PID}"


def _pid_file(places: Places) -> Path:
    return places.seen(places.state_dir) / _PID


def _log(places: Places) -> Path:
    return places.seen(places.state_dir) / LOG


def _cut(path: Path) -> None:
    """Empty a log that has grown large; who appends to it goes on at its beginning."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _MOST_LOG:
            os.truncate(path, 0)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_SAID))
            return " ".join(file.read().decode(errors="replace").split())
    except OSError:
        return ""
