"""The memory that the largest annotations take, which are paid for in the runtime's own cgroup.

Owns which annotations those are: as long as the API server accepts, over small and large networks.
Refuses times.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

from bench import networks, node
from testbed import failures

if TYPE_CHECKING:
    from pathlib import Path

    from bench.node import Node

# The API server refuses more than this in all annotations of an object.
_ANNOTATIONS_BYTES = 256 * 1024 - len(networks.ANNOTATION)
_MOST_NETWORKS = 64
_MOST_CONFIGURATIONS_BYTES = 4 << 20
_SMALL, _LARGE, _FITTING = "small", "large", "fitting"
# A process that this one starts is charged with the memory of this one: the launcher is small, and forks.
_LAUNCHER = """
import os, sys
child = os.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """The most resident memory of a call, in KiB, and whether the pod is attached after it."""

    annotation: str
    verb: str
    kib: int
    attached: bool


def measured(place: Node, plugin: Path, state: Path, delegate: networks.Json) -> list[Taken]:
    """Attach and detach a pod with each of the annotations. Raises Failure where DEL fails."""
    _define(place, state)
    place.beat(state)
    kubeconfig = place.folder / "kubeconfig"
    conf = networks.mooring(delegate=delegate, programs=place.programs, state=state, kubeconfig=kubeconfig)
    taken = []
    for label, text in largest_annotations().items():
        given = {"runtimeConfig": {networks.RUNTIME_ANNOTATIONS: {networks.ANNOTATION: text}}}
        pod = node.Pod(label.replace(" ", "-"), str(uuid.uuid4()), place.namespaces[0])
        status, kib = _call(place, plugin, "ADD", pod, conf | given)
        attached = status == 0
        taken.append(Taken(label, "ADD", kib, attached=attached))
        status, kib = _call(place, plugin, "DEL", pod, conf | given)
        if status != 0:
            raise failures.Failure(f"memory, {label}: DEL failed")
        if attached:
            taken.append(Taken(label, "DEL", kib, attached=False))
    return taken


def largest_annotations() -> dict[str, str]:
    """Return the annotations by what they have most of."""
    arguments = ",".join(f'"{number:05}":1' for number in range((_ANNOTATIONS_BYTES - 100) // 10))
    room = _ANNOTATIONS_BYTES // _MOST_NETWORKS - 60
    return {
        "names": "a," * (_ANNOTATIONS_BYTES // 2 - 1) + "a",
        "objects": "[" + "{}," * (_ANNOTATIONS_BYTES // 3 - 1) + "{}]",
        "arguments": f'[{{"name":"{_SMALL}","cni-args":{{{arguments}}}}}]',
        "64 large requests": json.dumps([{"name": _SMALL, "cni-args": {"x": "y" * room}}] * _MOST_NETWORKS),
        "64 of 200 KB": ",".join([_LARGE] * _MOST_NETWORKS),
        "64 that just fit": ",".join([_FITTING] * _MOST_NETWORKS),
    }


def _define(place: Node, state: Path) -> None:
    """Put the networks into the cache. They are single plugins that keep their filling to themselves."""
    folder = state / "networks" / networks.NAMESPACE
    folder.mkdir(parents=True, exist_ok=True)
    fitting = _MOST_CONFIGURATIONS_BYTES // _MOST_NETWORKS - 1000
    for name, size in ((_SMALL, 0), (_LARGE, 200 * 1024), (_FITTING, fitting)):
        config = networks.further(1, place.addresses) | {"filling": "x" * size}
        entry = {"version": 1, "namespace": networks.NAMESPACE, "name": name, "uid": "", "resourceVersion": "1"}
        entry |= {"resourceName": "", "config": json.dumps(config)}
        (folder / f"{name}.json").write_text(json.dumps(entry))


def _call(place: Node, plugin: Path, verb: str, pod: node.Pod, conf: networks.Json) -> tuple[int, int]:
    file = place.folder / "most"
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, file, plugin],
        input=json.dumps(conf).encode(),
        env=pod.environment(verb, interface="eth0", programs=place.programs),
        capture_output=True,
        check=False,
    )
    return done.returncode, int(file.read_text())
