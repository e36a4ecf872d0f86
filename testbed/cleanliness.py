"""Whether a cluster left anything on the machine: note what there is, compare later.

Owns what counts: processes that could be a cluster's, mounts, network namespaces, links, routes,
packet filter rules, control groups, kernel settings, and the folders that Kubernetes nodes write to.
Refuses to clean: what is left is a bug to look at. Other people's programs come and go, so of
processes only those count that run the testbed's programs or live in namespaces of their own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import cache, cgroups, failures, nodes, processes, state

if TYPE_CHECKING:
    from collections.abc import Iterator

Notes = dict[str, list[str]]

# A namespace goes a moment after its last process.
SETTLE_SECONDS = 5.0
_FOLDERS = ["/etc/cni", "/opt/cni", "/var/lib/cni", "/var/lib/mooring", "/var/lib/kubelet", "/var/lib/containerd"]
_FOLDERS += ["/run/containerd", "/run/netns", "/var/log/pods", "/var/log/containers"]
_SETTINGS = (*nodes.SYSCTLS, "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/netfilter/nf_conntrack_max")
_RULES = (
    ["iptables-save"],
    ["ip6tables-save"],
    ["iptables-legacy-save"],
    ["ip6tables-legacy-save"],
    ["nft", "list", "ruleset"],
)


def write(path: Path) -> None:
    """Note what the machine has now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(collect(), indent=1) + "\n")


def check(path: Path) -> list[str]:
    """Return one line for each difference from what was noted; [] where there is none within 5 s.

    Raises Failure where the file is absent or no such notes.
    """
    try:
        before: Notes = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise failures.Failure(
            f"{path} holds no notes ({error}): write them with `python -m testbed snapshot`"
        ) from error
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = differences(before, collect())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def differences(before: Notes, after: Notes) -> list[str]:
    """Return what was added and what is gone, by kind. A process that ended is no difference."""
    found = []
    for kind in sorted(before.keys() | after.keys()):
        old, new = set(before.get(kind, [])), set(after.get(kind, []))
        found += [f"{kind}: left: {item}" for item in sorted(new - old)]
        if kind != "processes":
            found += [f"{kind}: gone: {item}" for item in sorted(old - new)]
    return found


def collect() -> Notes:
    """Return what the machine has, by kind."""
    return {
        "clusters": sorted(path.name for path in state.clusters_folder().glob("*")),
        "processes": sorted(_processes()),
        "mounts": sorted(_mounts(Path("/proc/self/mountinfo").read_text())),
        "network namespaces": sorted(_network_namespaces()),
        "links": sorted(_links()),
        "routes": _output(["ip", "route", "show", "table", "all"]) + _output(["ip", "rule"]),
        "rules": [f"{words[0]}: {line}" for words in _RULES for line in meaningful_rules(_output(words))],
        "control groups": sorted(_cgroups()),
        "kernel settings": [f"{name} = {_setting(name)}" for name in _SETTINGS],
        "folders": [str(path) for top in _FOLDERS for path in _below(Path(top))],
    }


def meaningful_rules(lines: list[str]) -> list[str]:
    """Return the lines of a rules listing without remarks and counters, which change by themselves."""
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    without = (re.sub(r"\[\d+:\d+\]|counter packets \d+ bytes \d+", "", line) for line in kept)
    return [re.sub(r"\s+", " ", line).strip() for line in without]


def _output(words: list[str]) -> list[str]:
    if shutil.which(words[0]) is None:
        return []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # A family of rules that this kernel lacks holds no rules.
    return done.stdout.splitlines() if done.returncode == 0 else []


def _numbers() -> Iterator[Path]:
    return (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _processes() -> Iterator[str]:
    kinds = ("mnt", "net", "pid")
    own = {kind: Path(f"/proc/self/ns/{kind}").readlink() for kind in kinds}
    for folder in _numbers():
        try:
            program = str((folder / "exe").readlink())
            apart = any((folder / "ns" / kind).readlink() != own[kind] for kind in kinds)
            words = (folder / "cmdline").read_text(errors="replace")[:120]
            groups = re.search(r"mooring-[^/\n]+", (folder / "cgroup").read_text())
            identity = processes.identify(int(folder.name))
        except OSError:
            # It has ended, or it is a kernel thread.
            continue
        if identity is not None and (apart or program.startswith(f"{cache.root()}/")):
            whose = f" in control group {groups[0]}" if groups else ""
            yield f"pid {identity.pid} started {identity.start}{whose}: {' '.join(words.replace(chr(0), ' ').split())}"


def _mounts(text: str) -> Iterator[str]:
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        yield f"{fields.split()[4]} ({rest.split()[0]})"


def _network_namespaces() -> set[str]:
    found = set()
    for folder in _numbers():
        try:
            found.add(str((folder / "ns/net").readlink()))
        except OSError:
            continue
    return found


def _links() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]


def _cgroups() -> Iterator[str]:
    for root in cgroups.hierarchies():
        for path in root.rglob("*"):
            # Service managers make groups below their own all the time.
            if path.is_dir() and (path.parent == root or re.search(r"mooring|kubepods", path.name)):
                yield str(path)


def _setting(name: str) -> str:
    path = Path("/proc/sys", name)
    return path.read_text().strip() if path.exists() else "(none)"


def _below(top: Path) -> list[Path]:
    return [top, *sorted(top.rglob("*"))] if top.exists() else []
