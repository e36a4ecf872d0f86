"""The first process of a node: makes its mounts, then adopts and reaps orphans until it is killed.

Runs as PID 1 of the node's own PID, network, mount, UTS and IPC namespaces, which all vanish with
it. Owns what a node sees as its file system. Refuses to import anything of the checkout: it runs
isolated. Its argument is a file with a JSON object: `hostname`; `scratch`, an empty folder; `binds`, target to
source; `sysctls`, name to the value that a node is to believe in; `cgroups`, groups to join.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

# Mount points that the machine may lack are made in overlays of these, so never on the machine.
OVERLAID = ("/etc", "/opt", "/var/lib", "/var/log")


def mount(*arguments: str | Path) -> None:
    """Run mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


def set_up(settings: dict[str, object]) -> None:
    """Join the control groups and make the node's mounts."""
    cgroups, binds, sysctls = settings["cgroups"], settings["binds"], settings["sysctls"]
    if not isinstance(cgroups, list) or not isinstance(binds, dict) or not isinstance(sysctls, dict):
        raise TypeError("cgroups is a list, binds and sysctls are objects")
    for group in cgroups:
        Path(group, "cgroup.procs").write_text("0")
    socket.sethostname(str(settings["hostname"]))
    scratch = Path(str(settings["scratch"]))
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", scratch)
    mount("-t", "proc", "proc", "/proc")
    # A new sysfs shows this network namespace's links; the control groups below it come back.
    (scratch / "cgroup").mkdir()
    mount("--rbind", "/sys/fs/cgroup", scratch / "cgroup")
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("--rbind", scratch / "cgroup", "/sys/fs/cgroup")
    for top in OVERLAID:
        upper, work = scratch / "upper" / top.strip("/"), scratch / "work" / top.strip("/")
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={top},upperdir={upper},workdir={work}", top)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    Path("/run/netns").mkdir()
    for target, source in binds.items():
        if Path(source).is_dir():
            Path(target).mkdir(parents=True, exist_ok=True)
        mount("--bind", source, target)
    # kubelet sets kernel-wide settings that differ from its own. Shown what it wants, it leaves the machine's alone.
    (scratch / "sysctls").mkdir()
    for name, value in sysctls.items():
        believed = scratch / "sysctls" / name.replace("/", ".")
        believed.write_text(f"{value}\n")
        mount("--bind", believed, Path("/proc/sys", name))
    # Pods' mounts with propagation need this.
    mount("--make-rshared", "/")


def reap_for_ever() -> None:
    """Wait for every child that ends; orphans of the node become children of its first process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass
        signal.sigwait([signal.SIGCHLD])


if __name__ == "__main__":
    set_up(json.loads(Path(sys.argv[1]).read_text()))
    print("ready", flush=True)
    os.close(1)
    reap_for_ever()
