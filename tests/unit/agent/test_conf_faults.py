"""Whatever a disk does, once the runtime's folder had a conf of ours it has one, and never part of one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.agent import conf
from mooring.installing import confs
from mooring.node import files, manifest, places
from tests.unit.agent.conftest import Node, at_once
from tests.unit.disks import MEMORY, PICKS, Disk, Fault, PowerCut, faults, power_cuts

RIVAL = "00-calico.conflist"
LEVELS = ("error", "debug", "panic")
#: What an administrator and another program want in a round: a log level, and whether there is a rival's file.
Round = tuple[str, bool]
ROUNDS = st.tuples(st.sampled_from(LEVELS), st.booleans())


class World:
    """One node's folder of confs on a disk, with a primary network and perhaps a rival."""

    def __init__(self, root: Path) -> None:
        self.node = Node(
            root, places.Places(host_root=root, bin_dir="/opt/bin", conf_dir="/etc/net.d", state_dir="/var/mooring")
        )
        self.revision = self.node.revision()
        self.conf = conf.Conf(
            revision=lambda: self.revision,
            installed=lambda: self.revision.name,
            network=lambda key: None,
            cni_version=lambda: "1.0.0",
            on_applied=lambda: None,
            on_health=lambda: None,
        )

    @property
    def folder(self) -> Path:
        return self.node.places.confs

    def revise(self, level: str) -> None:
        self.revision = self.node.revision(f"mooring-revision-{level}", plugin={"logLevel": level})

    def want(self, level: str, *, rival: bool) -> None:
        """Let the revision be another one, and the rival's file come or go; nobody syncs that."""
        self.revise(level)
        if rival:
            theirs = b'{"cniVersion": "0.4.0", "name": "rival", "type": "calico"}'
            files.write_atomically(self.folder / RIVAL, theirs, mode=0o644)
        else:
            files.remove(self.folder / RIVAL)

    def ours(self) -> dict[str, Any]:
        """Return our confs, whole as they must be."""
        paths = [self.folder / name for name in confs.FILES]
        return {path.name: json.loads(path.read_bytes()) for path in paths if path.exists()}

    def levels(self) -> set[str]:
        found = set()
        for name, document in self.ours().items():
            assert document["type"] == "mooring", name
            assert [each["name"] for each in document["delegates"]] == ["pod-network"], name
            found.add(str(document["logLevel"]))
        return found

    def right(self, level: str, *, rival: bool) -> bool:
        return self.levels() == {level} and (not rival or confs.FIRST in self.ours())

    def recorded(self) -> None:
        """Fail where the list of our files lacks a conf of ours: it is written before."""
        owned = manifest.Manifest(self.node.places.state).owned()
        for name in self.ours():
            digest = manifest.digest((self.folder / name).read_bytes())
            assert owned[f"{self.node.places.conf_dir}/{name}"].wrote(digest), name

    def temporary(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if files.is_temporary(path.name)]


async def reconciled(world: World) -> None:
    """Reconcile until nothing is left to do, as the agent does: a name of ours is given up seconds later."""
    for _ in range(4):
        if (wait := await world.conf.reconcile()) is None:
            return
        await asyncio.sleep(wait)


def outlive(
    first: Round, rounds: list[tuple[Round, Fault | None]], last: tuple[Round, Fault], picks: list[int]
) -> None:
    """Let faults meet the work on a disk, at last the loss of its power or one more; fail where that loses anything."""
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
        runner = stack.enter_context(asyncio.Runner(loop_factory=looptime.new_event_loop))
        stack.enter_context(mock.patch.object(asyncio, "to_thread", at_once))
        world = World(top / "before")
        for program in ("bridge", "mooring"):
            world.node.program(program)
        world.node.primary()
        world.node.places.state.mkdir(parents=True)
        theirs = (world.folder / "10-pod-network.conflist").read_bytes()
        disk = Disk(top / "before")
        stack.callback(disk.close)

        def play(wanted: Round, fault: Fault | None) -> None:
            level, rival = wanted
            with disk.failing(None):
                world.want(level, rival=rival)
            with disk.failing(fault):
                runner.run(reconciled(world))

        play(first, None)
        assert world.right(first[0], rival=first[1])
        durable = {first[0]}  # what a boot may find in our conf
        cut = False
        for wanted, fault in (*rounds, last):
            try:
                play(wanted, fault)
            except (OSError, PowerCut) as error:
                cut = isinstance(error, PowerCut)
                durable |= {wanted[0]}
                assert world.levels() <= durable
                assert world.levels(), "at no moment the folder is without a conf of ours"
            else:
                assert world.right(wanted[0], rival=wanted[1])
                durable = {wanted[0]}
            assert (world.folder / "10-pod-network.conflist").read_bytes() == theirs
        if not cut:
            play(last[0], None)
            assert world.right(last[0][0], rival=last[0][1])
            world.recorded()
            assert world.temporary() == []
            durable = {last[0][0]}
        disk.boot(top / "after", picks)
        booted = World(top / "after")
        if not cut:
            booted.recorded()
        assert booted.levels() <= durable
        assert booted.levels(), "pods start with their networks before the agent does"
        assert (booted.folder / "10-pod-network.conflist").read_bytes() == theirs
        booted.revise(last[0][0])
        runner.run(reconciled(booted))
        assert booted.right(last[0][0], rival=(booted.folder / RIVAL).exists())
        assert booted.temporary() == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, 0], ids=["ENOSPC", "EIO", "EROFS", "power"])
def test_one_fault_at_each_call_and_power_lost_after_the_next_success(code: int) -> None:
    for step in range(50):
        outlive(("error", True), [], (("debug", False), Fault(step, code)), [0])


@settings(max_examples=100)
@given(
    first=ROUNDS,
    rounds=st.lists(st.tuples(ROUNDS, st.none() | faults(50)), max_size=4),
    last=st.tuples(ROUNDS, power_cuts(50) | faults(50)),
    picks=PICKS,
)
def test_faults_and_a_power_cut_between_any_two_calls(
    first: Round, rounds: list[tuple[Round, Fault | None]], last: tuple[Round, Fault], picks: list[int]
) -> None:
    outlive(first, rounds, last, picks)
