"""Whatever a disk does, no file of the cache is partial, none is lost, and no heartbeat vouches for a wrong one."""

from __future__ import annotations

import asyncio
import errno
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from mooring.agent import cache, revisions
from mooring.node import places
from tests.unit.agent.conftest import FakeInformer
from tests.unit.disks import MEMORY, Disk, Fault, PowerCut, faults, power_cuts

KEYS = ("a/one", "a/two", "b/one")
Networks = dict[str, int]
NETWORKS = st.dictionaries(st.sampled_from(KEYS), st.integers(1, 3))


def network(key: str, version: int) -> dict[str, Any]:
    namespace, _, name = key.partition("/")
    metadata = {"namespace": namespace, "name": name, "uid": "u", "resourceVersion": str(version)}
    return cache.keep({"metadata": metadata, "spec": {"config": "{}" * version}})


def content(key: str, version: int) -> bytes:
    return cache.render(network(key, version))


class World:
    """One node's cache on a disk; each `round` the API server says something else."""

    def __init__(self, root: Path, networks: Networks) -> None:
        self.places = places.Places(host_root=root, bin_dir="/bin/x", conf_dir="/conf/x", state_dir="/state")
        revision = revisions.Revision(name="r", image="i", places=self.places, default_network="auto", plugin={})
        self.informer = FakeInformer()
        self.informer.synced.set()
        self.clock = 100.0
        self.cache = cache.Cache(
            revision=lambda: revision, boot="boot", boottime=lambda: self.clock, on_health=lambda: None
        )
        self.cache.follow(self.informer)  # type: ignore[arg-type]
        self.say(networks)

    def say(self, networks: Networks) -> None:
        self.clock += 10
        self.informer.last_contact = self.clock
        before, self.informer.store = self.informer.store, {}
        for key, version in networks.items():
            new = network(key, version)
            self.informer.store[key] = before[key] if before.get(key) == new else new

    def files(self) -> dict[str, bytes]:
        folder = self.places.networks
        return {f"{file.parent.name}/{file.stem}": file.read_bytes() for file in folder.glob("*/*.json")}

    def right(self) -> bool:
        return self.files() == {key: cache.render(nad) for key, nad in self.informer.store.items()}

    def heartbeat(self) -> float | None:
        path = self.places.networks / "heartbeat"
        return json.loads(path.read_bytes())["boottime"] if path.exists() else None

    def temporary(self) -> list[Path]:
        return list(self.places.networks.rglob(".*"))


@settings(deadline=None, max_examples=150)
@given(
    first=NETWORKS,
    rounds=st.lists(st.tuples(NETWORKS, st.none() | faults(60)), max_size=4),
    last=st.tuples(NETWORKS, power_cuts(60) | faults(60)),
    data=st.data(),
)
def test_faults_and_a_power_cut_between_any_two_calls(
    first: Networks, rounds: list[tuple[Networks, Fault | None]], last: tuple[Networks, Fault], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, asyncio.Runner() as runner:
        root = Path(folder, "before")
        (root / "state").mkdir(parents=True)
        world = World(root, first)
        disk = Disk(root)
        with disk.failing(None):
            runner.run(world.cache.reconcile())
        assert world.right()
        # What a boot may find for each network: None is nothing.
        possible: dict[str, set[int | None]] = {key: {first.get(key)} for key in KEYS}
        cut = False
        for networks, fault in (*rounds, last):
            world.say(networks)
            try:
                with disk.failing(fault):
                    runner.run(world.cache.reconcile())
            except (OSError, PowerCut) as error:
                cut = isinstance(error, PowerCut)
                event("cut" if cut else f"failed: {errno.errorcode[fault.code] if fault else '?'}")
                for key in KEYS:
                    possible[key].add(networks.get(key))
                if not cut:
                    beaten = world.heartbeat()
                    assert beaten is None or "cannot be withdrawn" in str(error) or world.right()
                    assert beaten != world.clock or world.right()
            else:
                assert world.right()
                assert world.heartbeat() == world.clock
                possible = {key: {networks.get(key)} for key in KEYS}
        if not cut:
            with disk.failing(None):
                runner.run(world.cache.reconcile())
            assert world.right()
            assert world.temporary() == []
            possible = {key: {last[0].get(key)} for key in KEYS}
        found = Path(folder, "after")
        disk.after_power_cut(found, lambda count: data.draw(st.integers(0, count - 1)))
        disk.close()
        booted, intact = World(found, last[0]), Disk(found)
        for key in KEYS:
            allowed = {None if version is None else content(key, version) for version in possible[key]}
            assert booted.files().get(key) in allowed, key
        with intact.failing(None):
            runner.run(booted.cache.reconcile())
        intact.close()
        assert booted.right()
        assert booted.temporary() == []
