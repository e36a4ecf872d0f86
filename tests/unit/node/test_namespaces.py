"""A program is run where the container runtime runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mooring.node import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

# A runtime in namespaces of its own: it mounts a folder that nobody else sees.
RUNTIME = """
import os, socket, subprocess, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
if len(sys.argv) > 2:
    subprocess.run(["mount", "-t", "tmpfs", "none", sys.argv[2]], check=True)
    os.mkdir(sys.argv[2] + "/only-the-runtime-sees-this")
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def listening(
    *arguments: str, within: tuple[str, ...] = (), path: str = f"/the/runtime/has:{os.environ['PATH']}"
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*within, sys.executable, "-c", RUNTIME, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": path},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def script(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def ended(runner: namespaces.Runner) -> None:
    async with asyncio.timeout(30):
        while runner.running():  # noqa: ASYNC110  a process has no event
            await asyncio.sleep(0.01)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root enters namespaces")


@needs_root
async def test_a_program_sees_what_the_runtime_sees(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    address = tmp_path / "socket"
    program = script(
        tmp_path, f'cat; ls {seen}; ls /sys/class/net >/dev/null; readlink /proc/self/ns/net; echo "$PATH $K" >&2'
    )
    with (
        listening(str(address), str(seen), within=("unshare", "--mount", "--net")) as process,
        namespaces.behind(address) as inside,
    ):
        assert inside.holds(f"{seen}/only-the-runtime-sees-this")
        assert not inside.holds(f"{seen}/nor-this")
        done = await namespaces.Runner().run(inside, program, stdin=b"conf\n", env={"K": "v"}, seconds=30)
        network = os.readlink(f"/proc/{process.pid}/ns/net")  # noqa: PTH115
    assert done.stdout.decode().splitlines() == ["conf", "only-the-runtime-sees-this", network]
    assert network != os.readlink("/proc/self/ns/net")  # noqa: PTH115
    assert done.stderr.decode().startswith("/the/runtime/has:")
    assert done.stderr.endswith(b" v\n")
    assert done.status == 0
    assert list(seen.iterdir()) == []


@pytest.fixture
def another_root(tmp_path: Path) -> Iterator[namespaces.Namespaces]:
    """A process whose root is the folder `root`."""
    (tmp_path / "root").mkdir()
    process = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield namespaces.Namespaces(process, -1, -1)
    os.close(process)


def test_links_of_another_root_are_followed_in_that_root(tmp_path: Path, another_root: namespaces.Namespaces) -> None:
    root = tmp_path / "root"
    for folder in ("run/netns", "var", "tmp"):
        (root / folder).mkdir(parents=True)
    (root / "run/netns/cni-1").touch()
    (root / "run/netns/agent").symlink_to(tmp_path)
    (root / "var/run").symlink_to("/run")
    (root / "var/up").symlink_to("../../../../run/./netns/")
    (root / "var/twice").symlink_to("run/netns")
    for path in ("/var/run/netns/cni-1", "/var/up/cni-1", "/var/twice/cni-1", "//run/../../run/netns/cni-1"):
        assert another_root.holds(path), path
        assert another_root.seen(path).samefile(root / "run/netns/cni-1")
    # What only the agent's own root has.
    for path in ("/var/run/netns/agent", str(tmp_path), f"/../..{tmp_path}", "/run/netns/cni-1/below", "/proc/self"):
        assert not another_root.holds(path), path
    assert another_root.seen("/var/run/not/yet") == another_root.root / "run/not/yet"


def test_links_that_lead_nowhere_end(tmp_path: Path, another_root: namespaces.Namespaces) -> None:
    (tmp_path / "root/a").symlink_to("/b")
    (tmp_path / "root/b").symlink_to("a/.")
    with pytest.raises(OSError, match="symbolic links"):
        another_root.seen("/a/x")
    for path in ("/a/x", "/zero\0byte", f"/{'x' * 5000}"):
        assert not another_root.holds(path)


def test_a_namespace_of_a_process_is_seen_although_its_link_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to("/")
    (tmp_path / "net:[1]").symlink_to("net:[1]")
    process = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = namespaces.Namespaces(process, -1, -1)
        assert inside.holds(f"/proc/{os.getpid()}/ns/net")
        assert inside.seen(f"/proc/{os.getpid()}/ns/net").samefile("/proc/self/ns/net")
        assert not inside.holds("/proc/0/ns/net")
        assert not inside.holds(f"{tmp_path}/net:[1]")
    finally:
        os.close(process)


@needs_root
async def test_a_runtime_whose_path_has_nothing_of_ours_is_entered_all_the_same(tmp_path: Path) -> None:
    address = tmp_path / "socket"
    program = script(tmp_path, 'echo "$PATH"')
    with listening(str(address), path="/run/current-system/sw/bin"), namespaces.behind(address) as inside:
        done = await namespaces.Runner().run(inside, program, stdin=b"", env={}, seconds=30)
    assert done.stdout == b"/run/current-system/sw/bin\n"


@needs_root
async def test_a_configuration_larger_than_a_pipe_arrives_whole(tmp_path: Path) -> None:
    address = tmp_path / "socket"
    with listening(str(address)), namespaces.behind(address) as inside:
        done = await namespaces.Runner().run(
            inside, script(tmp_path, "wc -c"), stdin=b"x" * 700_000, env={}, seconds=30
        )
    assert done.stdout.split() == [b"700000"]


@needs_root
async def test_a_program_that_does_not_end_in_time_goes_on(tmp_path: Path) -> None:
    runner = namespaces.Runner()
    address, fifo, done = tmp_path / "socket", tmp_path / "fifo", tmp_path / "done"
    for each in (fifo, done):
        os.mkfifo(each)
    program = script(tmp_path, f"read line <{fifo}; echo told; echo $line >{done}")
    with (
        listening(str(address)),
        namespaces.behind(address) as inside,
        pytest.raises(TimeoutError, match="still runs after 0 s"),
    ):
        await runner.run(inside, program, stdin=b"", env={}, seconds=0)
    assert runner.running() == 1
    await asyncio.to_thread(fifo.write_text, "end\n")
    assert await asyncio.to_thread(done.read_text) == "end\n"
    await ended(runner)


@needs_root
async def test_a_program_outlives_the_one_who_waits_for_it(tmp_path: Path) -> None:
    runner = namespaces.Runner()
    address, fifo, done = tmp_path / "socket", tmp_path / "fifo", tmp_path / "done"
    for each in (fifo, done):
        os.mkfifo(each)
    program = script(tmp_path, f"read line <{fifo}; echo told; echo $line >{done}")
    with listening(str(address)), namespaces.behind(address) as inside:
        waiting = asyncio.create_task(runner.run(inside, program, stdin=b"", env={}, seconds=30))
        opened = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)  # when the program reads
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    os.write(opened, b"end\n")
    os.close(opened)
    assert await asyncio.to_thread(done.read_text) == "end\n"
    await ended(runner)


@needs_root
async def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    address = tmp_path / "socket"
    with listening(str(address)), namespaces.behind(address) as inside:
        done = await namespaces.Runner().run(inside, "/nowhere/mooring", stdin=b"", env={}, seconds=30)
    assert done.status != 0
    assert b"/nowhere/mooring" in done.stderr


def test_nobody_behind_the_socket_is_an_error_that_names_it(tmp_path: Path) -> None:
    address = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(address))
    with pytest.raises(OSError, match="refused"), namespaces.behind(address):
        pass


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of this test alone."""
    top = Path("/sys/fs/cgroup")
    made = (top if (top / "cgroup.controllers").exists() else top / "pids") / f"mooring-{uuid.uuid4().hex[:12]}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    yield made
    made.rmdir()


@needs_root
async def test_a_program_is_in_the_cgroup_of_the_runtime_and_not_in_ours(tmp_path: Path, cgroup: Path) -> None:
    address = tmp_path / "socket"
    with listening(str(address)) as process, namespaces.behind(address) as inside:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        program = script(tmp_path, "cat; cat /proc/self/cgroup")
        done = await namespaces.Runner().run(inside, program, stdin=b"", env={}, seconds=30)
        assert f"/{cgroup.name}\n".encode() in done.stdout
        process.kill()
        process.wait()
