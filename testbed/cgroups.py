"""The control groups of a node, in every hierarchy that this machine has (version 1, 2 or both).

Owns making them below each hierarchy's root, finding the processes in them and taking them away.
Refuses groups whose name is not a cluster's.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from testbed import failures, processes

# Daemons and pods are siblings: version 2 allows no processes in a group that has children.
DAEMONS = "daemons"
HOLDER = "holder"


def hierarchies(mounts: str | None = None) -> list[Path]:
    """Return where each hierarchy is mounted, from the text of /proc/self/mounts."""
    text = Path("/proc/self/mounts").read_text() if mounts is None else mounts
    lines = (line.split() for line in text.splitlines())
    return list(dict.fromkeys(Path(fields[1]) for fields in lines if fields[2] in ("cgroup", "cgroup2")))


def make(name: str) -> list[Path]:
    """Make a node's group with its children in every hierarchy; return the groups."""
    made = []
    for root in hierarchies():
        group = root / name
        for folder in (group, group / DAEMONS, group / HOLDER):
            folder.mkdir(exist_ok=True)
            # A version 1 cpuset admits nobody until it has processors and memory.
            for setting in ("cpuset.cpus", "cpuset.mems"):
                inherited = folder.parent / setting
                if inherited.exists() and (folder / setting).exists() and not (folder / "cgroup.controllers").exists():
                    (folder / setting).write_text(inherited.read_text())
        made.append(group)
    return made


def of_cluster(cluster: str) -> list[str]:
    """Return the names of all groups that exist of a cluster: its switch's and its nodes'."""
    pattern = re.compile(rf"mooring-{re.escape(cluster)}-(switch|n[0-9]+)")
    names = {path.name for root in hierarchies() for path in root.iterdir()}
    return sorted(name for name in names if pattern.fullmatch(name))


def existing(name: str) -> list[Path]:
    """Return a node's groups that exist, one for each hierarchy."""
    return [root / name for root in hierarchies() if (root / name).is_dir()]


def members(name: str) -> list[processes.Process]:
    """Return the processes in a node's groups and all groups below."""
    numbers: set[int] = set()
    for group in existing(name):
        for file in group.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                numbers.update(int(line) for line in file.read_text().split())
    found = (processes.identify(number) for number in sorted(numbers))
    return [process for process in found if process is not None]


def remove(name: str) -> None:
    """Take a node's groups away, children first. Raises Failure where one is still in use after 5 s."""
    deadline = time.monotonic() + 5
    for group in existing(name):
        while group.exists():
            try:
                for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                    folder.rmdir()
                group.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                # The kernel lets go of a group shortly after its last process.
                if time.monotonic() > deadline:
                    raise failures.Failure(f"control group {error.filename} stays: {error.strerror}") from error
                time.sleep(0.05)
