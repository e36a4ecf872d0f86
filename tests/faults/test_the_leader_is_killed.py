"""The leader is killed at twenty random moments of roll-outs, and nobody can tell afterwards.

Two operators at a real API server; agents and kubelets are played. MOORING_FAULTS_SEED runs it with the same moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import secrets
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing import daemonsets, revisions
from mooring.kube import errors, resources
from mooring.kube.client import Client
from testbed import controlplane, fleets
from tests.faults import witness
from tests.integration.conftest import IMAGE, SYSTEM, Installed, OperatorProcess, denied, free_port, make_pod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

KILLS = 20
NODES = [f"fleet-{number}" for number in range(1, 7)]
MOST_MOVING = 2
SOAK = 2
RULES = {
    "maxUnavailable": MOST_MOVING,
    "canary": {"nodes": 1, "soakSeconds": SOAK},
    "progressDeadlineSeconds": 4,
    "rollbackTo": None,
}
BROKEN = {"defaultNetwork": "no-such.conf"}
FINE: dict[str, Any] = {"defaultNetwork": "auto"}
# One after the other, again and again; "back" is a roll-back to what was good last.
CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a log level", {**FINE, "plugin": {"logLevel": "debug"}}),
    ("a network that is not there", {**BROKEN, "plugin": {"logLevel": "verbose"}}),
    ("back", {}),
    ("another log level", {**FINE, "plugin": {"logLevel": "error"}}),
    ("a network that is not there, again", {**BROKEN, "plugin": {"logLevel": "error"}}),
    ("its correction", {**FINE, "plugin": {"logLevel": "verbose"}}),
    ("isolation", {**FINE, "plugin": {"logLevel": "verbose", "namespaceIsolation": True}}),
)
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

pytestmark = pytest.mark.timeout(900)


def broken(document: dict[str, Any]) -> str:
    return "no-such.conf is not there" if document["defaultNetwork"] == BROKEN["defaultNetwork"] else ""


class Replica:
    """One operator: its pod's name, and the process that has it at present."""

    def __init__(self, installed: Installed, name: str, folder: Path) -> None:
        self._installed = installed
        self._folder = folder
        self._starts = 0
        self._read = 0
        self.name = name
        self.down = False
        """Whether its node is away, so that nothing starts it."""
        self.logs: list[Path] = []
        self.running: OperatorProcess
        make_pod(installed.plane, name, IMAGE)
        self.start()

    def start(self) -> None:
        self._starts += 1
        self._read = 0
        folder = self._folder / f"{self.name}-{self._starts}"
        folder.mkdir()
        self.running = self._installed.start_operator(folder, pod=self.name, webhook_port=free_port())
        self.logs.append(self.running.log)

    def leads(self) -> bool:
        """Whether it has begun to lead, and not ceased to, since it was killed last."""
        text = self.running.log.read_text()[self._read :]
        return text.count(f"{self.name} leads") > text.count("does not lead any more")

    def kill_process(self) -> None:
        """End the operator proper; its container starts another one, unless that happens too often."""
        self._read = len(self.running.log.read_text())
        self.running.signal_operator(signal.SIGKILL)

    def kill_container(self) -> None:
        """End all of it at once."""
        self.running.process.kill()
        self.running.process.wait()

    def restart_ended(self) -> None:
        """Do what a kubelet does; also where a container gave up because its process was killed too often."""
        if not self.down and self.running.process.poll() is not None:
            self.start()

    def end(self) -> None:
        self.running.process.kill()
        self.running.process.wait()


class World:
    """A cluster of its own with two operators, and everybody who watches it."""

    def __init__(self, installed: Installed, client: Client, folder: Path, seed: int) -> None:
        self.plane = installed.plane
        self.client = client
        self.replicas = [Replica(installed, f"replica-{letter}", folder) for letter in "ab"]
        self.agents = fleets.Agents(client, seed=seed, delay=(0.1, 0.8), broken=broken)
        self.witness = witness.Witness(client)

    async def leader(self) -> Replica:
        """Wait for one that leads; start what has ended meanwhile."""
        async with asyncio.timeout(60):
            while True:
                for replica in self.replicas:
                    replica.restart_ended()
                    if not replica.down and replica.leads():
                        return replica
                await asyncio.sleep(0.02)

    async def change(self, what: str, spec: dict[str, Any]) -> int:
        """Change the Installation; return its generation."""
        found = await self.client.get(resources.INSTALLATIONS, "default")
        if what == "back":
            spec = {"rollout": {"rollbackTo": found["status"]["rollout"]["lastGood"]}}
        else:
            spec = {**spec, "rollout": RULES}
        changed = await self.client.patch(resources.INSTALLATIONS, "default", {"spec": spec})
        return int(changed["metadata"]["generation"])

    async def ended(self, generation: int) -> bool:
        """Whether the operator has seen the change, and it is everywhere or halted."""
        status = (await self.client.get(resources.INSTALLATIONS, "default")).get("status") or {}
        conditions = {each["type"]: each for each in status.get("conditions") or []}
        if status.get("observedGeneration") != generation or conditions["Progressing"]["status"] != "False":
            return False
        return conditions["Progressing"]["reason"] in ("Complete", "RolloutHalted")

    async def until_ended(self, generation: int) -> None:
        async with asyncio.timeout(120):
            while not await self.ended(generation):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.1)
            # Whatever is still to be said is said now: a pass without a word is the end.
            seen = -1
            while len(self.witness.versions) != seen:
                seen = len(self.witness.versions)
                await asyncio.sleep(1.5)

    async def state(self) -> dict[str, Any]:
        """Return every field of what an operator writes, but for what no two clusters have in common."""
        found: dict[str, Any] = {}
        for kind, labels in (
            (resources.INSTALLATIONS, None),
            (resources.NODE_STATES, None),
            (resources.DAEMON_SETS, None),
            (resources.CONFIG_MAPS, ",".join(f"{key}={value}" for key, value in revisions.LABELS.items())),
        ):
            space = SYSTEM if kind.namespaced else None
            for item in (await self.client.list(kind, namespace=space, label_selector=labels))["items"]:
                found[f"{kind.kind} {item['metadata']['name']}"] = comparable(item)
        return found


def comparable(item: dict[str, Any]) -> dict[str, Any]:
    """Leave out of an object identity and time, which no two runs have in common."""
    metadata = item["metadata"]
    kept = {
        key: value
        for key, value in metadata.items()
        if key not in ("uid", "resourceVersion", "creationTimestamp", "managedFields")
    }
    kept["ownerReferences"] = [{**each, "uid": ""} for each in metadata.get("ownerReferences") or []]
    text: str = STAMP.sub("TIME", json.dumps({**item, "metadata": kept}))
    found: dict[str, Any] = json.loads(text)
    return found


def differences(path: str, one: Any, other: Any) -> Iterator[str]:
    """Yield each field in which two objects differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(f"{path}.{key}", one.get(key), other.get(key))
    elif one != other:
        yield f"{path}: {one!r}, undisturbed {other!r}"


@contextlib.asynccontextmanager
async def world(folder: Path, seed: int) -> AsyncIterator[World]:
    """Give a cluster with the definitions, two operators, six nodes, and no Installation yet."""
    folder.mkdir()  # noqa: ASYNC240  once, before anything runs
    with controlplane.running(controllers=True) as plane:
        os.environ["KUBECONFIG"] = str(plane.kubeconfig)
        made: World | None = None
        try:
            plane.kubectl("apply", "-k", "crds")
            plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
            plane.kubectl("apply", "-k", "manifests/default")
            async with await Client.load() as client, asyncio.TaskGroup() as group:
                for name in NODES:
                    labels = {"kubernetes.io/os": "linux"}
                    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
                    await client.create(resources.NODES, node)
                await served(client)
                made = World(Installed(plane, free_port()), client, folder, seed)
                async with made.witness.watching():
                    playing = [
                        group.create_task(made.agents.run()),
                        group.create_task(fleets.Kubelets(client, NODES).run()),
                    ]
                    yield made
                    for task in playing:
                        task.cancel()
        finally:
            for replica in made.replicas if made else ():
                replica.end()
            del os.environ["KUBECONFIG"]


async def served(client: Client) -> None:
    """Wait until our own kinds answer: a new one answers watches with 429 for a moment."""
    async with asyncio.timeout(30):
        for kind in (resources.INSTALLATIONS, resources.NODE_STATES):
            while True:
                try:
                    version = (await client.list(kind))["metadata"]["resourceVersion"]
                    async for _ in client.watch(kind, resource_version=version, timeout_seconds=1):
                        pass
                    break
                except errors.ApiError:
                    await asyncio.sleep(0.2)


class Killer:
    """Kills whoever leads, again and again while a roll-out is under way; owns which moments those are."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)  # noqa: S311  no secret
        self.kills: list[str] = []

    async def kill(self, generation: int, most: int) -> None:
        """Kill up to so many leaders before the roll-out of this generation has ended."""
        for _ in range(most):
            leader = await self._world.leader()
            moment = await self._moment()
            if await self._world.ended(generation):
                return
            if not leader.leads():
                continue
            whole = self._random.random() < 0.5
            (leader.kill_container if whole else leader.kill_process)()
            self.kills.append(f"{leader.name} {moment}, {'its container' if whole else 'its process'}")
            print(f"killed: {self.kills[-1]}")
            if whole and self._random.random() < 0.7:
                leader.down = True
                await self._expire(leader)
                await self._world.leader()
                leader.down = False

    async def _moment(self) -> str:
        """Wait for a moment of chance: after some time, or right after so many writes."""
        if self._random.random() < 0.5:
            seconds = self._random.uniform(0, 2.5)
            await asyncio.sleep(seconds)
            return f"{seconds:.2f} s after it began to lead"
        writes, pause = self._random.randint(1, 4), self._random.uniform(0, 0.02)
        until, seen = time.monotonic() + 4, len(self._world.witness.versions)
        while len(self._world.witness.versions) < seen + writes and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(pause)
        return f"{pause * 1000:.0f} ms after {writes} further versions"

    async def _expire(self, dead: Replica) -> None:
        """Let the Lease of a leader that is gone end a second from now; else it takes fifteen."""
        patch = {"spec": {"leaseDurationSeconds": 1}}
        lease = await self._world.client.get(resources.LEASES, "mooring-operator", namespace=SYSTEM)
        assert lease["spec"]["holderIdentity"] == dead.name
        await self._world.client.patch(resources.LEASES, "mooring-operator", patch, namespace=SYSTEM)


async def install(world: World) -> int:
    body = {
        "apiVersion": "mooring.dev/v1alpha1",
        "kind": "Installation",
        "metadata": {"name": "default"},
        "spec": {**FINE, "rollout": {key: value for key, value in RULES.items() if value is not None}},
    }
    made = await world.client.create(resources.INSTALLATIONS, body)
    return int(made["metadata"]["generation"])


def judged(world: World) -> list[str]:
    return witness.broken_rules(world.witness.versions, worked=world.agents.worked, most=MOST_MOVING, soak=SOAK)


async def test_a_leader_killed_at_twenty_moments_of_roll_outs_leaves_what_an_undisturbed_one_leaves(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("MOORING_FAULTS_SEED") or secrets.randbelow(1_000_000))
    print(f"MOORING_FAULTS_SEED={seed}")
    done: list[tuple[str, dict[str, Any]]] = []
    disturbed: list[dict[str, Any]] = []
    async with world(tmp_path / "disturbed", seed) as ours:
        killer = Killer(ours, seed)
        generation = await install(ours)
        while True:
            await killer.kill(generation, min(4, KILLS - len(killer.kills)))
            await ours.until_ended(generation)
            disturbed.append(await ours.state())
            print(f"{done[-1][0] if done else 'the first roll-out'}: ended after {len(killer.kills)} kills in all")
            if len(killer.kills) == KILLS and len(done) >= len(CHANGES):
                break
            done.append(CHANGES[len(done) % len(CHANGES)])
            generation = await ours.change(*done[-1])
        assert judged(ours) == []
        assert denied(ours.plane) == []
        logs = [log.read_text() for replica in ours.replicas for log in replica.logs]
        assert [text for text in logs if "Traceback" in text] == []
        print(f"{len(ours.witness.versions)} versions in {len(done) + 1} roll-outs, {len(killer.kills)} kills")
    async with world(tmp_path / "undisturbed", seed) as theirs:
        generation = await install(theirs)
        for number, expected in enumerate(disturbed):
            if number:
                generation = await theirs.change(*done[number - 1])
            await theirs.until_ended(generation)
            what = f"after {done[number - 1][0] if number else 'the first roll-out'}"
            assert list(differences(what, expected, await theirs.state())) == []
        assert judged(theirs) == []
        assert {f"NodeState {name}" for name in NODES} | {"Installation default"} <= expected.keys()
        assert f"DaemonSet {daemonsets.NAME}" in expected
