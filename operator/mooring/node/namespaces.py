"""Owns how a program of the node is run as the container runtime would run it; refuses a chroot.

A CNI plugin works on the mounts, the network and the files that the runtime sees. So the program enters the mount and
network namespaces of the runtime's process, which is the one behind its socket (SO_PEERCRED), and its cgroup, because
what is in the agent's cgroup is killed with the agent: a plugin that is killed in the middle leaves half of its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import fcntl
import logging
import os
import re
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.node.programs import Ended as Ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOG = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0
_PEER = struct.Struct("3i")  # pid, uid, gid
_NSENTER = "/usr/bin/nsenter"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# An error of CNI is one JSON object; what is longer is not for people.
_MOST_OUTPUT = 64 << 10
# As the kernel has it, for one path.
_MOST_LINKS = 40
# What a link of procfs to a namespace says: it names no file, and only the kernel can follow it.
_KERNELS_LINK = re.compile(r"[a-z_]+:\[[0-9]+\]")
_LEADS_NOWHERE = frozenset({errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG})
# How often a program is asked whether it has ended.
_FIRST_POLL, _LONGEST_POLL = 0.005, 0.25


@dataclasses.dataclass(frozen=True, slots=True)
class Namespaces:
    """The runtime's process at one moment; its namespaces are held by open descriptors."""

    process: int
    """A descriptor of the process's folder in /proc: no other process can take its place."""
    mount: int
    network: int

    @property
    def entered(self) -> tuple[tuple[str, int], ...]:
        """What `nsenter` calls each namespace, and its descriptor."""
        return (("mount", self.mount), ("net", self.network))

    @property
    def root(self) -> Path:
        """The runtime's root folder, as the agent sees it; what is below it is to be had from `seen`."""
        return Path(f"/proc/self/fd/{self.process}/root")

    def seen(self, path: str) -> Path:
        """Return where the agent sees what the runtime has at an absolute path, whether it is there or not.

        The kernel would follow a link to `/run` into the agent's own root. So links are followed here, from the
        runtime's root, which no `..` leaves. It blocks. Raises `OSError` for a path that leads nowhere.
        """
        if "\0" in path:
            raise OSError(errno.EINVAL, "no path has a zero byte", path)
        names, walked, links = path.split("/")[::-1], list[str](), 0
        while names:
            name = names.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del walked[-1:]
                continue
            target = _target(self.root.joinpath(*walked, name))
            if target is None:
                walked.append(name)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                walked.clear()
            names += target.split("/")[::-1]
        return self.root.joinpath(*walked)

    def holds(self, path: str) -> bool:
        """Say whether the runtime sees something at an absolute path."""
        try:
            return self.seen(path).exists()
        except OSError as error:
            if error.errno in _LEADS_NOWHERE:
                return False
            raise


@contextlib.contextmanager
def behind(address: Path) -> Iterator[Namespaces]:
    """Find the process that listens at a Unix socket and hold its namespaces. Raises `OSError`."""
    with contextlib.ExitStack() as held, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(str(address))
        pid, _, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if pid <= 0:
            raise OSError(f"the process behind {address} is not visible here; does the agent's pod have hostPID?")
        process = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        held.callback(os.close, process)
        opened = []
        for kind in ("mnt", "net"):
            opened.append(os.open(f"ns/{kind}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process))
            held.callback(os.close, opened[-1])
        yield Namespaces(process, *opened)


def entering(inside: Namespaces) -> tuple[str, ...]:
    """Return what stands before a command that is to run there; it needs the descriptors of `inside.entered`."""
    # Ours: it would be looked up in the PATH of the command's own environment, whose folders need not have one here.
    program = shutil.which("nsenter") or _NSENTER
    return (program, *(f"--{kind}=/proc/self/fd/{each}" for kind, each in inside.entered), "--")


class Runner:
    """Runs programs of the node, and keeps count of those that were not waited for to the end."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def running(self) -> int:
        """Return how many programs still run."""
        self._started = [process for process in self._started if process.poll() is None]
        return len(self._started)

    async def run(
        self, inside: Namespaces, command: str, *, stdin: bytes, env: Mapping[str, str], seconds: float
    ) -> Ended:
        """Run a program, named by the node's own path, and wait for its end.

        It is not ended with us, nor when this is cancelled, nor after `seconds`: then `TimeoutError` is raised. Raises
        `OSError` where it cannot be started.
        """
        with _memory("stdout") as stdout, _memory("stderr") as stderr:
            process = await asyncio.to_thread(self._start, inside, command, stdin, env, stdout, stderr)
            pause, clock = _FIRST_POLL, asyncio.get_running_loop().time
            deadline = clock() + seconds
            while process.poll() is None:
                if clock() >= deadline:
                    raise TimeoutError(f"it still runs after {seconds:.0f} s; it is left to end by itself")
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_POLL)
            self.running()
            return Ended(process.returncode, _said(stdout), _said(stderr))

    def _start(
        self, inside: Namespaces, command: str, stdin: bytes, env: Mapping[str, str], stdout: int, stderr: int
    ) -> subprocess.Popen[bytes]:
        reading, writing = os.pipe()
        try:
            # All of stdin fits into the pipe, so that nobody has to wait for its reader.
            if len(stdin) > fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ):
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, len(stdin))
            process = subprocess.Popen(
                [*entering(inside), command],
                stdin=reading,
                stdout=stdout,
                stderr=stderr,
                env={"PATH": path_of(inside), **env},
                pass_fds=[each for _, each in inside.entered],
                start_new_session=True,
            )
            self._started.append(process)
            # Before it has read its stdin it starts nothing, so all that it will start goes with it.
            _leave_cgroup(process.pid, inside)
            os.set_blocking(writing, False)
            if os.write(writing, stdin) != len(stdin):
                raise OSError(f"{len(stdin)} bytes do not fit into a pipe")
            return process
        finally:
            os.close(reading)
            os.close(writing)


def stay(inside: Namespaces, *words: str, output: int) -> subprocess.Popen[bytes]:
    """Start a program of the node that is to outlive us; its stdout and stderr go to an open file. It blocks.

    Of ours it has nothing open but the two namespaces. It leaves our cgroup, where it can: `shares_our_cgroup` tells.
    Raises `OSError` where it cannot be started.
    """
    process = subprocess.Popen(
        [*entering(inside), *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={"PATH": path_of(inside)},
        pass_fds=[each for _, each in inside.entered],
        start_new_session=True,
    )
    _leave_cgroup(process.pid, inside)
    return process


def shares_our_cgroup(pid: int) -> bool:
    """Say whether a process ends when the runtime ends everything in the cgroup of our container. It blocks."""
    with contextlib.suppress(OSError):
        ours = Path("/proc/self/cgroup").read_text().splitlines()
        theirs = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        return any(line in theirs and line.rpartition(":")[2] != "/" for line in ours)
    return False


def _target(path: Path) -> str | None:
    """Return what a link says; None for what is none, is not there, or is the kernel's own way to a namespace."""
    try:
        target = os.readlink(path)  # noqa: PTH115  its very text, to be measured
        size = path.lstat().st_size
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    # One that a person made has the size of its text.
    return None if _KERNELS_LINK.fullmatch(target) and size != len(target) else target


def _leave_cgroup(pid: int, inside: Namespaces) -> None:
    """Move a process into the runtime's cgroup; where that is not possible it may be killed with us, and is undone."""
    ours = Path("/proc/self/cgroup").read_text().splitlines()
    top = inside.root / "sys/fs/cgroup"
    for line in Path(f"/proc/self/fd/{inside.process}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if line in ours or ".." in Path(path).parts:
            continue
        hierarchy = controllers.removeprefix("name=") or ("unified" if (top / "unified").exists() else "")
        below = top / hierarchy / path.lstrip("/") / "cgroup.procs"
        try:
            with below.open("w") as procs:
                procs.write(str(pid))
        except OSError as error:
            _LOG.debug("process %d stays in the agent's cgroup (%s): %s", pid, hierarchy or "v2", error.strerror)


def path_of(inside: Namespaces) -> str:
    """Return the PATH that the runtime gives its plugins: where iptables and the like are, differs between nodes."""
    with contextlib.suppress(OSError):
        for variable in Path(f"/proc/self/fd/{inside.process}/environ").read_bytes().split(b"\0"):
            if variable.startswith(b"PATH="):
                return os.fsdecode(variable[len(b"PATH=") :])
    return _PATH


@contextlib.contextmanager
def _memory(name: str) -> Iterator[int]:
    """Make a file in memory: unlike a pipe it never makes a writer wait, nor fail when its reader is gone."""
    descriptor = os.memfd_create(name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _said(descriptor: int) -> bytes:
    return os.pread(descriptor, _MOST_OUTPUT, 0)
