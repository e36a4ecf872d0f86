"""Starting nodes and what runs on them, in order, and waiting for it.

Owns which part waits for which, and telling the part at fault with the end of its log. Refuses to
decide what a cluster is: that comes as its state, which is written after each step.
"""

from __future__ import annotations

import collections
import datetime
import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import arguments, controlplane, failures, namespaces, nodes, processes, state, wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NODES_READY_SECONDS = 90.0
_KUBELET_RESTARTS = 10
_SOCKET = "run/containerd/containerd.sock"


def layout_of(found: state.State) -> controlplane.Layout:
    """Return where a cluster's control plane listens and keeps its files."""
    plan = found.plan
    return controlplane.Layout(found.control_plane, plan.api_address, service_network=str(plan.service_network))


def start_nodes(made: state.State, numbers: Sequence[int], programs: Path, *, archive: Path | None) -> None:
    """Start nodes (counted from 1), the control plane with the first, and wait until they are Ready.

    `archive` is loaded into each. Raises Failure naming the part at fault, with the end of its log.
    """
    plan, layout, switch = made.plan, layout_of(made), made.processes["switch"]
    names = {number: plan.node_names()[number - 1] for number in numbers}
    for number, node in names.items():
        folder = made.node_folder(node)
        first, outside = namespaces.make_node(
            name=node, folder=folder, cgroup=plan.cgroup(node), binds=nodes.binds(folder), sysctls=nodes.SYSCTLS
        )
        record(made, node, first)
        record(made, f"{node}/outside", outside)
        wiring.connect_node(plan, switch, number, first)
    if 1 in names:
        _start(made, 1, "etcd", [programs / "etcd", *arguments.etcd(layout)])
        _start_api_server(made, programs)
    for number, node in names.items():
        _start(made, number, "containerd", nodes.containerd_command(made.node_folder(node), programs), programs)
    for node in names.values():
        socket = Path(f"/proc/{made.processes[node].pid}/root") / _SOCKET
        _wait(made, f"containerd of node {node}", socket.exists, 30)
        if archive is not None:
            import_archive(made, node, archive, programs)
    controlplane.wait_ready(layout, lambda: _log_of_ended(made))
    if 1 in names:
        manager = arguments.controller_manager(layout, pod_network=str(plan.pod_network))
        _start(made, 1, "kube-controller-manager", [programs / "kube-controller-manager", *manager])
        _start(made, 1, "kube-scheduler", [programs / "kube-scheduler", *arguments.scheduler(layout)])
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    for number, node in names.items():
        folder = made.node_folder(node)
        _start_kubelet(made, number, programs)
        _start(made, number, "kube-proxy", nodes.proxy_command(plan, number, folder, programs))
    started = list(names.values())
    left = collections.Counter(dict.fromkeys(numbers, _KUBELET_RESTARTS))

    def ready() -> bool:
        answer = _all_ready(layout, started, before)
        for number, node in names.items():
            # As its unit would. It ends where containerd, after a reboot, is still taking stock of what it had.
            if left[number] and not made.running(f"{node}/kubelet"):
                left[number] -= 1
                _start_kubelet(made, number, programs)
        return answer

    _wait(made, f"nodes {' '.join(started)} to be Ready", ready, NODES_READY_SECONDS)


def _start_kubelet(made: state.State, number: int, programs: Path) -> None:
    folder = made.node_folder(made.plan.node_names()[number - 1])
    _start(made, number, "kubelet", nodes.kubelet_command(made.plan, number, folder, programs))


def api_server(made: state.State) -> str:
    """Return the API server's name among the parts of a cluster."""
    return f"{made.plan.node_names()[0]}/kube-apiserver"


def start_api_server(made: state.State, programs: Path) -> None:
    """Start the API server alone, and wait until it is ready. Raises Failure with the end of its log."""
    _start_api_server(made, programs)
    controlplane.wait_ready(layout_of(made), lambda: _log_of_ended(made))


def _start_api_server(made: state.State, programs: Path) -> None:
    _start(made, 1, "kube-apiserver", [programs / "kube-apiserver", *arguments.apiserver(layout_of(made))])


def _start(
    made: state.State, number: int, part: str, command: Sequence[str | Path], programs: Path | None = None
) -> None:
    node = made.plan.node_names()[number - 1]
    environment = {} if programs is None else {"PATH": f"{programs}:{os.environ.get('PATH', '')}"}
    log = log_of(made, f"{node}/{part}")
    log.parent.mkdir(parents=True, exist_ok=True)
    process = namespaces.start_daemon(
        made.processes[node], made.plan.cgroup(node), command, log=log, environment=environment
    )
    record(made, f"{node}/{part}", process)


def log_of(made: state.State, part: str) -> Path:
    """Return the log of a part (`n1/kubelet`; a node's own is of its mounts)."""
    if part == "switch":
        return made.folder / "switch.log"
    node, _, program = part.partition("/")
    if program == "outside":
        program = ""
    if program in controlplane.PARTS:
        return made.control_plane / f"{program}.log"
    return made.node_folder(node) / f"{program or 'node'}.log"


def record(made: state.State, part: str, process: processes.Process) -> None:
    """Note a process on disk."""
    made.processes[part] = process
    made.save()


def _log_of_ended(made: state.State) -> Path | None:
    ended = _ended(made)
    return None if ended is None else log_of(made, ended)


def _ended(made: state.State) -> str | None:
    return next((part for part in made.processes if not made.running(part)), None)


def _wait(made: state.State, what: str, done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        ended = _ended(made)
        if ended is not None:
            raise failures.with_log(f"waiting for {what}: {ended} ended", log_of(made, ended))
        if time.monotonic() > deadline:
            raise failures.Failure(f"waited {seconds:.0f} s for {what}; logs are in {made.folder}")
        time.sleep(0.1)


def _all_ready(layout: controlplane.Layout, wanted: list[str], since: datetime.datetime) -> bool:
    status, body = controlplane.fetch(layout, "/api/v1/nodes")
    if status != 200 or controlplane.fetch(layout, "/api/v1/namespaces/default/serviceaccounts/default")[0] != 200:
        return False
    ready = {
        item["metadata"]["name"]
        for item in json.loads(body)["items"]
        for condition in item["status"].get("conditions", [])
        # A node that was stopped is still called Ready: only what its kubelet said since counts.
        if condition["type"] == "Ready"
        and condition["status"] == "True"
        and datetime.datetime.fromisoformat(condition["lastHeartbeatTime"]) >= since
    }
    return ready.issuperset(wanted)


def import_archive(made: state.State, node: str, archive: Path, programs: Path) -> None:
    """Load an image archive into a node's containerd. Raises Failure with what it said."""
    entering = namespaces.entering(made.processes[node])
    command = [*entering, str(programs / "ctr"), "--namespace=k8s.io", "image", "import", "-"]
    # Through stdin, because a node need not see the folder that the archive is in.
    with archive.open("rb") as data:
        done = subprocess.run(command, stdin=data, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise failures.with_log(
            f"node {node} cannot take {archive}: {done.stderr.strip()}", log_of(made, f"{node}/containerd")
        )
