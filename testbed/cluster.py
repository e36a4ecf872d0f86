"""A cluster of nodes made of namespaces: bringing it up, taking it away, telling how it is.

Owns the order in which parts start and what makes them ready. Refuses to leave anything on the
machine after `down`, whatever happened before: all processes of a cluster are in its control
groups, everything else of it vanishes with their namespaces, except one link and one folder.
"""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import (
    addresses,
    binaries,
    cache,
    cgroups,
    commands,
    controlplane,
    failures,
    images,
    machine,
    namespaces,
    nodeinit,
    nodes,
    pki,
    processes,
    progress,
    starting,
    state,
    wiring,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def up(
    name: str,
    count: int,
    *,
    node_network: str | None = None,
    pod_network: str = str(addresses.POD_NETWORK),
    service_network: str = str(addresses.SERVICE_NETWORK),
) -> state.State:
    """Bring a cluster up and return its state once every node is Ready; do nothing if it is.

    What is left of a cluster of this name that is not whole is taken away first. Raises Failure
    naming the part at fault, with the end of its log; everything stays for a look until `down`.
    """
    _require()
    _load_modules()
    programs = binaries.ensure()
    small = images.small_images()
    with cache.locked(f"cluster-{name}"):
        present = state.load(name)
        if present is not None and not broken(present):
            if present.plan.nodes != count or node_network not in (None, str(present.plan.node_network)):
                raise failures.Failure(
                    f"cluster {name} is up with {present.plan.nodes} nodes on {present.plan.node_network}: "
                    f"end it first (python -m testbed down --name {name}), or choose another --name"
                )
            progress.say(f"cluster {name} is up already")
            return present
        if present is not None or cgroups.of_cluster(name):
            progress.say(f"taking away what is left of an earlier cluster {name}")
            _take_away(name)
        with cache.locked("addresses"):
            plan = addresses.make(
                name,
                count,
                node_network=node_network,
                pod_network=pod_network,
                service_network=service_network,
                taken=addresses.machine_networks(),
            )
            made = state.State(plan, state.boot_id())
            made.save()
            switch = namespaces.make_switch(plan.cgroup("switch"), made.folder / "switch.log")
            starting.record(made, "switch", switch)
            wiring.make_switch(plan, switch)
        progress.say(f"cluster {name}: nodes on {plan.node_network}, link {plan.link}")
        layout = starting.layout_of(made)
        controlplane.prepare(layout)
        authority = pki.load_authority(layout.pki)
        numbers = range(1, count + 1)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            written = [
                pool.submit(nodes.write_files, plan, number, made.node_folder(node), authority, programs)
                for number, node in enumerate(plan.node_names(), 1)
            ]
        for writing in written:
            writing.result()
        try:
            starting.start_nodes(made, numbers, programs, archive=small)
        except failures.Failure as failure:
            hint = f"everything is left for a look; `python -m testbed down --name {name}` takes it away"
            raise failures.Failure(f"{failure}\n  {hint}") from failure
        made.complete = True
        made.save()
        progress.say(f"cluster {name} is up: {count} nodes Ready; KUBECONFIG={layout.kubeconfig}")
        return made


def down(name: str) -> None:
    """Take a cluster away, whole or not; do nothing if there is none."""
    with cache.locked(f"cluster-{name}"):
        if not state.cluster_folder(name).exists() and not cgroups.of_cluster(name):
            progress.say(f"there is no cluster {name}")
            return
        machine.require_root("taking a cluster away")
        _take_away(name)
        progress.say(f"cluster {name} is gone")


def broken(found: state.State) -> list[str]:
    """Return what does not run of a cluster: parts, or the API server that does not answer; [] if it is whole."""
    ended = [part for part in found.processes if not found.running(part)]
    if not found.complete:
        ended.append("(it never came up)")
    elif not ended and not controlplane.ready(starting.layout_of(found)):
        ended.append("(the API server does not answer)")
    return ended


def require(name: str) -> state.State:
    """Return a cluster's state. Raises Failure where there is no such cluster."""
    found = state.load(name)
    if found is None:
        raise failures.Failure(f"there is no cluster {name}: python -m testbed up --name {name}")
    return found


def node_process(found: state.State, node: str) -> processes.Process:
    """Return a node's first process. Raises Failure where there is no such node, or it is stopped."""
    if node not in found.plan.node_names():
        raise failures.Failure(f"cluster {found.plan.name} has no node {node}: {' '.join(found.plan.node_names())}")
    if not found.running(node):
        raise failures.Failure(f"node {node} is stopped: python -m testbed start-node --name {found.plan.name} {node}")
    return found.processes[node]


def run_on_node(found: state.State, node: str, command: Sequence[str]) -> int:
    """Run a command in a node's namespaces with this process's own input and output; return its exit status."""
    words = [*namespaces.entering(node_process(found, node)), *command]
    path = f"{binaries.ensure()}:{os.environ.get('PATH', '')}"
    return subprocess.run(words, env={**os.environ, "PATH": path}, check=False).returncode


def load_image(found: state.State, archive: Path) -> None:
    """Load an OCI or Docker archive into every running node. Raises Failure with what containerd said."""
    if not archive.is_file():
        raise failures.Failure(f"{archive}: no such archive")
    programs = binaries.ensure()
    running = [node for node in found.plan.node_names() if found.running(node)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        loads = {node: pool.submit(starting.import_archive, found, node, archive, programs) for node in running}
    for node, load in loads.items():
        load.result()
        progress.say(f"{archive.name} is in node {node}")


def stop_node(found: state.State, node: str) -> None:
    """Cut a node's power: its processes and namespaces end at once, its disk stays."""
    node_process(found, node)
    _end_group(found.plan.cgroup(node))
    for part in [part for part in found.processes if part == node or part.startswith(f"{node}/")]:
        del found.processes[part]
    found.save()


def start_node(found: state.State, node: str) -> None:
    """Start a stopped node and wait until it is Ready again."""
    if node not in found.plan.node_names():
        node_process(found, node)
    if found.running(node):
        raise failures.Failure(f"node {node} is running")
    _require()
    starting.start_nodes(found, [found.plan.node_names().index(node) + 1], binaries.ensure(), archive=None)


def stop_api_server(found: state.State) -> None:
    """End the API server, as a crash of the control plane's machine does; it answers nobody until it is started."""
    part = starting.api_server(found)
    if not found.running(part):
        raise failures.Failure(f"the API server of cluster {found.plan.name} is stopped")
    survivors = processes.end([found.processes[part]], grace=0)
    if survivors:
        raise failures.Failure(f"the API server cannot be ended: {[each.pid for each in survivors]}")
    del found.processes[part]
    found.save()


def start_api_server(found: state.State) -> None:
    """Start a stopped API server and wait until it is ready."""
    if found.running(starting.api_server(found)):
        raise failures.Failure(f"the API server of cluster {found.plan.name} is running")
    node_process(found, found.plan.node_names()[0])
    starting.start_api_server(found, binaries.ensure())


def _require() -> None:
    machine.require_root("a cluster")
    machine.require_packages()
    if not cgroups.hierarchies():
        raise failures.Failure("no control groups are mounted below /sys/fs/cgroup: nodes need them")
    hidden = (*nodeinit.OVERLAID, "/run", "/var/tmp", "/proc", "/sys")
    for top in hidden:
        if cache.root().is_relative_to(top):
            raise failures.Failure(
                f"the cache {cache.root()} is below {top}, which nodes have for themselves: "
                "set MOORING_TESTBED_CACHE to a folder elsewhere"
            )


def _load_modules() -> None:
    """Load what kube-proxy needs to see traffic between pods of one node, where the kernel has it as a module."""
    if not Path("/proc/sys/net/bridge").exists():
        progress.say("loading kernel module br_netfilter; it stays loaded")
        commands.run(["modprobe", "br_netfilter"])


def _take_away(name: str) -> None:
    for group in cgroups.of_cluster(name):
        _end_group(group)
    try:
        found = state.load(name)
    except failures.Failure as failure:
        # The control groups told all processes already; only the one waiting outside of each node was not among them.
        progress.say(str(failure))
        found = None
    if found is not None:
        mine = [process for part, process in found.processes.items() if found.running(part)]
        survivors = processes.end(mine, grace=0)
        if survivors:
            raise failures.Failure(f"processes of cluster {name} cannot be ended: {[p.pid for p in survivors]}")
    wiring.remove_link(addresses.link_name(name))
    if state.cluster_folder(name).exists():
        shutil.rmtree(state.cluster_folder(name))


def _end_group(group: str) -> None:
    survivors = cgroups.members(group)
    for _ in range(20):
        # What is started while others are being ended is found in the next round.
        processes.end(survivors, grace=0)
        survivors = cgroups.members(group)
        if not survivors:
            break
    else:
        raise failures.Failure(f"processes of control group {group} cannot be ended: {[p.pid for p in survivors]}")
    cgroups.remove(group)
