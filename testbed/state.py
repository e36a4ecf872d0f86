"""What a cluster consists of, on disk. Owns the file from which `down` knows what to take away, so
it is written before a thing is made and survives whoever wrote it. Refuses to guess: what is not
in it is not ours."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from pathlib import Path
from typing import Any

from testbed import addresses, cache, failures, processes

VERSION = 1


@dataclasses.dataclass(slots=True)
class State:
    """A cluster's plan, the boot it was made in, and its processes by part (`n1/kubelet`)."""

    plan: addresses.Plan
    boot_id: str
    processes: dict[str, processes.Process] = dataclasses.field(default_factory=dict)
    complete: bool = False

    @property
    def folder(self) -> Path:
        """The folder that holds all of the cluster's files."""
        return cluster_folder(self.plan.name)

    @property
    def control_plane(self) -> Path:
        """The folder of the control plane's files and logs."""
        return self.folder / "control-plane"

    def node_folder(self, node: str) -> Path:
        """The folder of a node's files and logs."""
        return self.folder / "nodes" / node

    def running(self, part: str) -> bool:
        """Tell whether this part was started and has not ended."""
        process = self.processes.get(part)
        return process is not None and self.boot_id == boot_id() and process.alive()

    def save(self) -> None:
        """Write the file, complete or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / ".state.json"
        scratch.write_text(dumped(self))
        scratch.replace(self.folder / "state.json")


def clusters_folder() -> Path:
    """Return the folder of all clusters."""
    return cache.root() / "clusters"


def cluster_folder(name: str) -> Path:
    """Return the folder of one cluster."""
    return clusters_folder() / name


def boot_id() -> str:
    """Return the running kernel's boot id: processes of another boot are not ours."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def load(name: str) -> State | None:
    """Return a cluster's state, None where there is no such cluster. Raises Failure for a damaged file."""
    path = cluster_folder(name) / "state.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        return parsed(text)
    except (ValueError, KeyError, TypeError) as error:
        raise failures.Failure(f"{path} is damaged ({error!r}): `down` takes the cluster away") from error


def dumped(state: State) -> str:
    """Return a state as the file's text."""
    plan = state.plan
    return json.dumps(
        {
            "version": VERSION,
            "name": plan.name,
            "nodes": plan.nodes,
            "nodeNetwork": str(plan.node_network),
            "podNetwork": str(plan.pod_network),
            "serviceNetwork": str(plan.service_network),
            "bootID": state.boot_id,
            "complete": state.complete,
            "processes": {part: [process.pid, process.start] for part, process in state.processes.items()},
        },
        indent=1,
    )


def parsed(text: str) -> State:
    """Read a state from the file's text. Raises ValueError, KeyError or TypeError for anything else."""
    data: dict[str, Any] = json.loads(text)
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']}, this testbed reads {VERSION}")
    plan = addresses.Plan(
        str(data["name"]),
        int(data["nodes"]),
        *(ipaddress.IPv4Network(data[key]) for key in ("nodeNetwork", "podNetwork", "serviceNetwork")),
    )
    found = {part: processes.Process(int(pid), int(start)) for part, (pid, start) in data["processes"].items()}
    return State(plan, str(data["bootID"]), found, bool(data["complete"]))
