"""A plugin binary proves itself on a node without any other plugin, and the proof leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mooring.node import places, proof
from testbed import plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")

RUNTIME = """
import os, socket, subprocess, sys
where, node = sys.argv[1:]
for folder in ("opt", "var", "etc"):
    subprocess.run(["mount", "--bind", f"{node}/{folder}", f"/{folder}"], check=True)
os.chdir(where)
listening = socket.socket(socket.AF_UNIX)
listening.bind("containerd.sock")
listening.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plugin.build(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> places.Places:
    # Short: a socket's address has 107 bytes.
    root = tmp_path_factory.mktemp("h")
    made = places.Places(
        host_root=root, bin_dir="/opt/cni/bin", conf_dir="/etc/cni/net.d", state_dir="/var/lib/mooring"
    )
    for folder in made.absent():
        made.seen(folder).mkdir(parents=True)
    return made


@contextlib.contextmanager
def runtime(node: places.Places) -> Iterator[subprocess.Popen[str]]:
    """A container runtime in a mount namespace in which the node's folders are where the node has them."""
    folder = node.seen("/run/containerd")
    folder.mkdir(parents=True)
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", RUNTIME]
    with subprocess.Popen(
        [*command, str(folder), str(node.host_root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def candidate(node: places.Places, source: Path) -> Path:
    path = node.binaries / ".mooring.candidate"
    path.write_bytes(source.read_bytes())
    path.chmod(0o755)
    return path


def wrapped(node: places.Places, built: Path, before: str) -> Path:
    """A plugin that does something else first."""
    path = node.binaries / ".mooring.candidate"
    path.write_text(f'#!/bin/sh\n{before}\nexec {built} "$@"\n')
    path.chmod(0o755)
    return path


def files_of(node: places.Places) -> list[Path]:
    return sorted(node.state.rglob("*"))


def mounts_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())


def children() -> list[str]:
    """Return the processes that we started and that are there; each holds its namespaces."""
    return [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


async def test_the_real_plugin_is_proven_where_there_is_no_other_plugin_and_no_runtime(
    node: places.Places, built: Path
) -> None:
    before = children()
    prover = proof.Prover(host_root=node.host_root, delegate=built.with_name(proof.DELEGATE))
    binary = candidate(node, built)
    await prover.prove(binary, node)
    assert files_of(node) == []
    assert list(node.binaries.iterdir()) == [binary]
    assert children() == before


async def test_it_is_executed_where_the_runtime_is(node: places.Places, built: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    prover = proof.Prover(host_root=node.host_root, delegate=built.with_name(proof.DELEGATE))
    with runtime(node) as process:
        expected = mounts_of(process.pid)
        await prover.prove(wrapped(node, built, f'echo "$CNI_COMMAND $(readlink /proc/self/ns/mnt)" >>{told}'), node)
    assert told.read_text().splitlines() == [f"{verb} {expected}" for verb in ("VERSION", "ADD", "CHECK", "DEL")]
    assert files_of(node) == []


async def test_where_the_runtime_sees_another_file_the_agent_executes_it(
    node: places.Places, built: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    node.seen("/run/containerd").mkdir(parents=True)
    prover = proof.Prover(host_root=node.host_root, delegate=built.with_name(proof.DELEGATE))
    folder = os.open(node.seen("/run/containerd"), os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{folder}/containerd.sock")
        listening.listen()
        await prover.prove(wrapped(node, built, f"echo $CNI_COMMAND >>{told}"), node)
    os.close(folder)
    assert told.read_text().split() == ["VERSION", "ADD", "CHECK", "DEL"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ('[ "$CNI_COMMAND" != ADD ] || { echo no >&2; exit 1; }', "ADD ended with status 1: no"),
        ('[ "$CNI_COMMAND" != ADD ] || { echo {}; exit 0; }', "told no loopback"),
        ('[ "$CNI_COMMAND" != CHECK ] || exit 4', "CHECK ended with status 4"),
        ('[ "$CNI_COMMAND" != DEL ] || exit 0', "left the journal behind"),
        ("kill -SEGV $$", "VERSION ended with status -11"),
    ],
)
async def test_what_a_broken_plugin_does_is_said_and_nothing_is_left(
    node: places.Places, built: Path, fault: str, said: str
) -> None:
    prover = proof.Prover(host_root=node.host_root, delegate=built.with_name(proof.DELEGATE))
    with pytest.raises(proof.UnprovenError, match=said):
        await prover.prove(wrapped(node, built, fault), node)
    assert files_of(node) == []


async def test_what_a_killed_proof_left_is_removed_by_the_next_one(node: places.Places, built: Path) -> None:
    left = node.state / proof.FOLDER / "state" / "attachments" / "x@eth0.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text("x")
    await proof.Prover(host_root=node.host_root, delegate=built.with_name(proof.DELEGATE)).prove(
        candidate(node, built), node
    )
    assert files_of(node) == []
