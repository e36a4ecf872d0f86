"""The agent undoes what is left of sandboxes: the real plugin, the reference plugins and real network namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import resource
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mooring.agent import garbage, revisions, sandboxes
from mooring.node import clocks, cri, namespaces, places, records
from testbed import binaries, plugin
from tests.conformance.node import Json, Node, Pod, chain, journal_line, stub
from tests.conformance.worlds import KILLED, before, networks, world

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")

CONFORMANCE = Path(__file__).parents[1] / "conformance"
RUNTIME = """
import socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for program in ("stub", "killer"):
        subprocess.run(["go", "build", "-o", folder / program, "."], cwd=CONFORMANCE / program, check=True)
    plugin.build(folder)
    return folder


@pytest.fixture
def node(tmp_path: Path, programs: Path) -> Iterator[Node]:
    made = Node(tmp_path, programs / "mooring", programs, binaries.cni_plugins())
    made.beat()
    installed = made.bin / "mooring"
    installed.write_text(f'#!/bin/sh\nMOORING_STUB={made.recorded} exec {programs}/mooring "$@"\n')
    installed.chmod(0o755)
    yield made
    made.close()


@dataclasses.dataclass
class Listed:
    id: str


class Collected:
    """The reconciler, on a node whose runtime is a process in the node's network namespace."""

    def __init__(self, node: Node, address: Path) -> None:
        self._address = address
        self.ids = ["f" * 64]
        self.later = 0.0
        where = places.Places(
            host_root=Path("/"), bin_dir=str(node.bin), conf_dir=str(node.confs), state_dir=str(node.state)
        )
        revision = revisions.Revision(
            name="mooring-revision-1", image="mooring:1", places=where, default_network="auto", plugin={}
        )
        boot = clocks.boot_id()
        self.places = where
        self.garbage = garbage.Garbage(
            revision=lambda: revision,
            node=self,
            runner=namespaces.Runner(),
            networks=list,
            lives=lambda record, pod: False,
            clock=lambda: records.Clock(time.time() + self.later, clocks.boottime() + self.later, boot),
            released=lambda: False,
            on_health=lambda: None,
        )

    async def sandboxes(self) -> list[Listed]:
        return [Listed(each) for each in self.ids]

    @contextlib.contextmanager
    def enter(self) -> Iterator[namespaces.Namespaces]:
        with namespaces.behind(self._address) as inside:
            yield inside

    async def reconcile(self, *, after: float = 0.0) -> None:
        self.later += after
        # A pass works for seconds only: where the machine is busy, the next one goes on at once.
        while (wait := await self.one_pass()) is not None and wait < 1:
            pass

    async def one_pass(self) -> float | None:
        wait = await self.garbage.reconcile()
        assert self.garbage.health.problem == ""
        return wait


@pytest.fixture
def collected(node: Node) -> Iterator[Collected]:
    address = node.root / "cri.sock"
    command = [
        "nsenter",
        f"--net={node.netns}",
        "unshare",
        "--mount",
        "--propagation=unchanged",
        sys.executable,
        "-c",
        RUNTIME,
        str(address),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Collected(node, address)
        process.stdin.close()


def _configure(node: Node, conf: Json) -> None:
    (node.confs / "00-multus.conf").write_text(json.dumps(conf))


async def test_a_sandbox_whose_add_and_del_were_both_killed_is_gone_within_two_listings(
    node: Node, collected: Collected
) -> None:
    conf = networks(node, ports=True)
    _configure(node, conf)
    clean = before(node, conf)
    live = node.pod()
    node.add(conf, live, "a").ok()
    collected.ids.append(live.container)
    attached = world(node, live)
    pods: list[Pod] = []
    for step in (*range(4, 40, 6), None):
        pod = node.pod()
        annotations = {"k8s.v1.cni.cncf.io/networks": "a"}
        prefix = () if step is None else (node.killer, str(step))
        node.call("ADD", conf, pod, annotations=annotations, prefix=prefix)
        assert node.call("DEL", conf, pod, prefix=(node.killer, "2")).status == KILLED
        pods.append(pod)
    assert world(node, live) != attached
    await collected.reconcile()
    await collected.reconcile(after=300)
    assert world(node, live) == attached
    for pod in pods:
        assert node.interfaces(pod) == set()
    assert collected.garbage.health.warning == ""
    assert collected.garbage.counts.failures == 0
    node.delete(conf, live).ok()
    assert world(node, live) == clean


async def test_a_quarantined_attachment_whose_plugin_works_again_is_undone_at_the_next_listing(
    node: Node, collected: Collected
) -> None:
    conf = networks(node)
    _configure(node, conf)
    clean = before(node, conf)
    node.network("lost", chain("lost", node.bridge("a", "10.77.2.0/24"), stub("lost", kind="other")))
    pod = node.pod()
    node.add(conf, pod, "a,lost").ok()
    node.answer(other__DEL={"error": {"code": 100, "msg": "it is stuck"}})
    for _ in range(5):
        assert node.delete(conf, pod).status != 0
    _age(node, pod, 11)
    node.delete(conf, pod).ok()
    assert node.journal(pod)[-1]["type"] == "quarantined"
    assert len(node.leases()) == 1
    await collected.reconcile()
    await collected.reconcile(after=60)
    assert node.leases() == ["10.77.2.2"]
    assert "it is stuck" not in collected.garbage.health.warning
    assert "is quarantined, and its plugin still fails" in collected.garbage.health.warning
    node.answer()
    await collected.reconcile(after=60)
    assert world(node, pod) == clean
    assert collected.garbage.health.warning == ""


def _age(node: Node, pod: Pod, minutes: float) -> None:
    written = node.journal(pod)
    for record in written:
        if "boottime" in record:
            record["boottime"] -= int(60 * minutes)
    node.write_journal(pod, written)


async def test_a_sandbox_of_which_only_the_results_are_left_is_undone(node: Node, collected: Collected) -> None:
    conf = networks(node)
    _configure(node, conf)
    clean = before(node, conf)
    pod = node.pod()
    pod = dataclasses.replace(pod, container=uuid.uuid4().hex * 2)
    node.add(conf, pod, "a").ok()
    node.journal_path(pod).unlink()
    await collected.reconcile()
    await collected.reconcile(after=300)
    assert world(node, pod) == clean


@pytest.mark.timeout(240)  # making and removing so many files takes most of a minute by itself
async def test_fifty_thousand_stale_journals_leave_the_agent_its_pace(node: Node, collected: Collected) -> None:
    """What it costs is printed; what must hold is that there is progress, and that a new sandbox is heard of."""
    conf = node.conf(stub())
    _configure(node, conf)
    folder = collected.places.journals
    live = node.pod()
    node.add(conf, live).ok()
    collected.ids.append(live.container)
    # The journal of an attached pod, as the plugin writes it, of as many pods.
    header = node.header(live) | {"bootID": "another", "netns": "/run/netns/gone"}
    lines = b"".join(journal_line(record) for record in node.journal(live) if record["type"] != "header")

    def stale(container: str, name: str) -> None:
        pod = {"namespace": "default", "name": name, "uid": f"uid-of-{name}"}
        arguments = (
            f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={container}"
        )
        own = header | {"containerID": container, "pod": pod, "cniArgs": arguments}
        (folder / f"{container}@eth0.jsonl").write_bytes(journal_line(own) + lines)

    for number in range(50_000):
        stale(f"{number:064x}", f"stale-{number}")
    heard: asyncio.Queue[str] = asyncio.Queue()
    followed = sandboxes.Sandboxes(on_change=heard.put_nowait)
    lags: list[float] = []

    async def measure() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - began - 0.01)

    print(f"\nRSS at the start: {_rss()} MiB")
    tasks = [asyncio.create_task(followed.follow(folder))]
    await followed.scanned.wait()
    print(f"RSS with all of them known: {_rss()} MiB")
    tasks.append(asyncio.create_task(measure()))
    await collected.one_pass()
    collected.later += 60
    began = time.perf_counter()
    await collected.one_pass()
    took = time.perf_counter() - began
    undone = collected.garbage.counts.sandboxes
    assert undone > 0
    assert len(node.calls("DEL")) >= undone
    assert collected.garbage.counts.waiting == 50_000 - undone
    while not heard.empty():
        heard.get_nowait()
    collecting = asyncio.create_task(collected.one_pass())
    began = time.perf_counter()
    stale(uuid.uuid4().hex, "new")
    async with asyncio.timeout(60):
        while await heard.get() != "default/new":
            pass
    noticed = time.perf_counter() - began
    await collecting
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    lags.sort()
    print(
        f"one pass: {undone} undone in {took:.1f} s; a new sandbox heard of after {1000 * noticed:.0f} ms; "
        f"the loop was late by {1000 * lags[len(lags) // 2]:.1f} ms (median), {1000 * lags[-1]:.0f} ms (worst of "
        f"{len(lags)}); RSS at the end: {_rss()} MiB"
    )


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20


async def test_the_runtime_is_asked_by_its_program_and_entered_by_its_socket(tmp_path: Path) -> None:
    document = {"version": 1, "sandboxes": [dict.fromkeys(("namespace", "name", "uid", "created"), "")]}
    document["sandboxes"][0] |= {"id": "7" * 64, "state": "ready", "attempt": 0}  # type: ignore[index]
    program = tmp_path / "mooring-cri"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(document)}'\n")
    program.chmod(0o755)
    asked = garbage.AskedNode(cri.Runtime(program, host_root=tmp_path), host_root=tmp_path)
    with pytest.raises(OSError, match="socket is gone"), asked.enter():
        pass
    address = tmp_path / "run/containerd/containerd.sock"
    address.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        assert [each.id for each in await asked.sandboxes()] == ["7" * 64]
        with asked.enter() as inside:
            assert inside.holds("/proc/self")
            assert os.readlink("ns/net", dir_fd=inside.process) == os.readlink("/proc/self/ns/net")  # noqa: PTH115
