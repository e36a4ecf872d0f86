"""Namespaces of nodes: making them, running things in them, ending them.

Owns the first process of each node and of the switch between them, and daemons that belong to
nodes. Refuses named network namespaces: they would be mounts on the machine; ours live and die
with their first process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import cgroups, failures, processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ALL = ("--mount", "--net", "--pid", "--uts", "--ipc")


# Joins control groups, says "ready" like a node, then waits for ever.
_KEEP = """\
import os, pathlib, signal, sys
for group in sys.argv[1:]:
    pathlib.Path(group, "cgroup.procs").write_text("0")
print("ready", flush=True)
os.close(1)
signal.pause()
"""


def make_switch(cgroup: str, log: Path) -> processes.Process:
    """Start the process that keeps the switch's network namespace, and return it."""
    groups = [str(group / cgroups.HOLDER) for group in cgroups.make(cgroup)]
    return _started(["unshare", "--net", "--", sys.executable, "-I", "-S", "-c", _KEEP, *groups], log)


def make_node(
    *,
    name: str,
    folder: Path,
    cgroup: str,
    binds: Mapping[str, Path],
    sysctls: Mapping[str, str],
) -> tuple[processes.Process, processes.Process]:
    """Make a node's namespaces and mounts; return its first process, and the one outside that waits for it.

    Raises Failure with the log where a mount fails.
    """
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    settings = {
        "hostname": name,
        "scratch": str(scratch),
        "binds": {target: str(source) for target, source in binds.items()},
        "sysctls": dict(sysctls),
        "cgroups": [str(group / cgroups.HOLDER) for group in cgroups.make(cgroup)],
    }
    program = Path(__file__).with_name("nodeinit.py")
    command = ["unshare", *_ALL, "--propagation", "private", "--fork", "--kill-child=KILL", "--"]
    (folder / "node.json").write_text(json.dumps(settings, indent=1))
    command += [sys.executable, "-I", "-S", str(program), str(folder / "node.json")]
    parent = _started(command, folder / "node.log")
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    first = processes.identify(int(children[0])) if children else None
    if first is None:
        raise failures.with_log(f"the first process of node {name} ended at once", folder / "node.log")
    return first, parent


def _started(command: list[str], log: Path) -> processes.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    if process.stdout is None:
        raise RuntimeError("a pipe was asked for")
    with process.stdout:
        said = process.stdout.readline()
    found = processes.identify(process.pid)
    if said != b"ready\n" or found is None:
        process.kill()
        process.wait()
        raise failures.with_log("namespaces cannot be made", log)
    return found


def entering(node: processes.Process, *, network_only: bool = False) -> list[str]:
    """Return the command words that run what follows inside a node (or only in its network)."""
    if not node.alive():
        raise failures.Failure("the node is not running: `python -m testbed status` tells, start-node starts it")
    kinds = ("--net",) if network_only else _ALL
    return ["nsenter", "--target", str(node.pid), *kinds, "--"]


def start_daemon(
    node: processes.Process,
    cgroup: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> processes.Process:
    """Start a program in a node's namespaces and control groups, as a child of its first process.

    Its output is appended to `log`. Raises Failure where it cannot be started or ends within moments.
    """
    joins = [str(group / cgroups.DAEMONS / "cgroup.procs") for group in cgroups.existing(cgroup)]
    # The shell ends at once, so that the daemon becomes the first process's child; it tells its number in the node.
    script = 'for f in $JOINS; do echo 0 >"$f"; done; setsid "$@" </dev/null >>"$LOG" 2>&1 & echo $!'
    done = subprocess.run(
        [*entering(node), "sh", "-ec", script, "sh", *map(str, command)],
        env={**os.environ, **(environment or {}), "JOINS": " ".join(joins), "LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise failures.Failure(f"{Path(command[0]).name} cannot be started: {done.stderr.strip()}")
    inner = int(done.stdout)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        found = _outer(node, inner)
        if found is not None:
            return found
        time.sleep(0.01)
    raise failures.with_log(f"{Path(command[0]).name} ended at once", log)


def _outer(node: processes.Process, inner: int) -> processes.Process | None:
    """Return the process that has this number in a node's PID namespace."""
    space = Path(f"/proc/{node.pid}/ns/pid").readlink()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            status = (folder / "status").read_text()
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if numbers[1:] == [str(inner)] and (folder / "ns/pid").readlink() == space:
                return processes.identify(int(folder.name))
        except (OSError, StopIteration):
            continue
    return None
