"""The node that is measured on: a network namespace, a folder on a real disk, pods' namespaces.

Owns making and removing them. While it exists this process, and all that it starts, is in the
node's network namespace: bridges and the API server are seen by nobody else. Refuses memory file
systems: what reaching the disk costs is part of the measurement.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from bench import networks
from testbed import binaries, commands, failures

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_MEMORY = ("tmpfs", "ramfs")


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A sandbox for one ADD and its DEL."""

    name: str
    uid: str
    netns: Path
    container: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def arguments(self) -> str:
        """CNI_ARGS as containerd has them."""
        return (
            f"IgnoreUnknown=1;K8S_POD_NAMESPACE={networks.NAMESPACE};K8S_POD_NAME={self.name}"
            f";K8S_POD_INFRA_CONTAINER_ID={self.container};K8S_POD_UID={self.uid}"
        )

    def environment(self, verb: str, *, interface: str, programs: Path) -> dict[str, str]:
        """Return the environment of a CNI call."""
        return {
            "PATH": os.environ["PATH"],
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": str(self.netns),
            "CNI_IFNAME": interface,
            "CNI_PATH": str(programs),
            "CNI_ARGS": self.arguments,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """Folders, programs and network namespaces."""

    folder: Path
    programs: Path
    namespaces: tuple[Path, ...]

    @property
    def addresses(self) -> Path:
        """The folder of host-local."""
        return self.folder / "addresses"

    def state(self, label: str) -> Path:
        """Return (and make) the folder in which a contender keeps its state."""
        made = self.folder / "state" / label
        made.mkdir(parents=True, exist_ok=True)
        return made

    def cache(self, state: Path, count: int) -> None:
        """Put extra networks into the cache of definitions, as the agent does."""
        folder = state / "networks" / networks.NAMESPACE
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            entry = {
                "version": 1,
                "namespace": networks.NAMESPACE,
                "name": networks.name(number),
                "uid": str(uuid.uuid4()),
                "resourceVersion": "1",
                "resourceName": "",
                "config": json.dumps(networks.further(number, self.addresses)),
            }
            (folder / f"{networks.name(number)}.json").write_text(json.dumps(entry))

    def beat(self, state: Path) -> None:
        """Make the cache fresh."""
        heartbeat = {
            "version": 1,
            "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "boottime": time.clock_gettime(time.CLOCK_BOOTTIME),
            "ttlSeconds": 30,
        }
        (state / "networks" / "heartbeat").write_text(json.dumps(heartbeat))

    def links(self, netns: Path) -> list[str]:
        """Return the interfaces in a pod, in the order of their making, without lo."""
        shown = commands.run(["ip", "-json", "-netns", netns.name, "link"])
        ordered = sorted(json.loads(shown or "[]"), key=lambda link: int(link["ifindex"]))
        return [link["ifname"] for link in ordered if link["ifname"] != "lo"]


def copied(program: Path, to: Path) -> Path:
    """Copy a program and return the copy.

    All that is compared is copied here: a binary as the linker left it is up to a fifth slower to
    start than the same bytes written from first to last, by how its pages lie in the page cache.
    """
    to.write_bytes(program.read_bytes())
    to.chmod(0o755)
    return to


def filesystem(folder: Path) -> str:
    """Return the type of the file system that a folder is on."""
    return commands.run(["findmnt", "--noheadings", "--output=FSTYPE", "--target", folder]).strip()


@contextlib.contextmanager
def made(*, pods: int, parent: Path) -> Iterator[Node]:
    """Make a node with so many pod namespaces and enter it; leave it and remove everything at the end.

    Raises Failure where `parent` is in memory or a namespace cannot be made.
    """
    kind = filesystem(parent)
    if kind in _MEMORY:
        raise failures.Failure(
            f"{parent} is on {kind}, where reaching the disk costs nothing: name a folder on a disk with --folder"
        )
    unique = uuid.uuid4().hex[:8]
    names = [f"mooring-bench-{unique}-node", *(f"mooring-bench-{unique}-{number}" for number in range(pods))]
    reference = binaries.cni_plugins()
    folder = Path(tempfile.mkdtemp(prefix="mooring-bench-", dir=parent))
    outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for each in names:
            commands.run(["ip", "netns", "add", each])
        _enter(Path("/run/netns") / names[0])
        commands.run(["ip", "link", "set", "lo", "up"])
        (folder / "programs").mkdir()
        node = Node(folder, folder / "programs", tuple(Path("/run/netns") / each for each in names[1:]))
        for program in reference.iterdir():
            copied(program, node.programs / program.name)
        yield node
    finally:
        _setns(outside)
        os.close(outside)
        for each in names:
            commands.run(["ip", "netns", "delete", each], check=False)
        shutil.rmtree(folder)


def _enter(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(descriptor)
    finally:
        os.close(descriptor)


def _setns(descriptor: int) -> None:
    # os.setns came with Python 3.12; 3.11 is supported.
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, _CLONE_NEWNET) != 0:
        raise failures.Failure(f"a network namespace cannot be entered: {os.strerror(ctypes.get_errno())}")
