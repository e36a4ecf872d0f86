"""The record of a node tells when its runtime may have started a pod without us, whoever looked on and whoever not."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING

import pytest

from mooring.agent import causes, presence, runtime
from mooring.installing import confs
from mooring.installing.podconditions import Reason
from mooring.node import conffolder, places
from tests.unit.agent.test_causes import OURS, T0, at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RUNS_US = runtime.Verdict("True", "RuntimeRunsUs", "containerd has loaded multus-cni-network")
RUNS_OTHERS = runtime.Verdict("False", "RuntimeHasNotLoadedUs", "containerd has loaded the network calico")
DOWN = runtime.Verdict("False", "RuntimeDoesNotAnswer", "it does not answer")


class World:
    """A node's state folder, its clock, and agents that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = T0
        self.verdict = runtime.UNKNOWN
        self.start()

    def start(self) -> None:
        self.presence = presence.Presence(
            folder=lambda: self.folder, verdict=lambda: self.verdict, now=lambda: self.now, on_health=lambda: None
        )

    @property
    def path(self) -> Path:
        return self.folder / places.PRESENCE

    async def look(self, *names: str, seconds: float) -> None:
        """Have the folder of confs hold these files at a moment, ours sound."""
        self.now = at(seconds)
        ours = {name: OURS for name in names if name in confs.FILES}
        self.presence.found(conffolder.Folder(ours=ours, texts={}, inodes={}, files=frozenset(names)))
        await self.presence.reconcile()
        os.utime(self.path, (self.now.timestamp(), self.now.timestamp()))

    def cause(self, seconds: float) -> causes.Cause:
        """Say why a pod lacks its networks that was started at a moment."""
        return causes.judge(causes.Window(at(seconds), at(seconds + 1)), self.presence.history)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    yield World(tmp_path)


async def test_pods_from_before_our_conf_are_older_than_we_are(world: World) -> None:
    await world.look("10-a.conf", seconds=0)
    await world.look("10-a.conf", seconds=60)  # the primary network comes late
    await world.look(confs.FILE, "10-a.conf", seconds=61)
    assert world.cause(-1000).reason is Reason.OLDER
    assert world.cause(50).reason is Reason.OLDER
    assert world.cause(100).ran


async def test_a_node_whose_record_begins_later_than_its_conf_says_so(world: World) -> None:
    await world.look(confs.FILE, seconds=0)
    assert world.cause(-1000).reason is Reason.UNKNOWN
    assert "the record of this node begins at 2026-03-01 12:00:00 UTC" in world.cause(-1000).message
    assert world.cause(100).ran


@pytest.mark.parametrize(
    ("names", "reason"), [([], Reason.CONF_AWAY), (["00-a.conf", confs.FILE], Reason.RIVAL)], ids=["away", "rival"]
)
async def test_a_lapse_that_was_seen_is_the_cause_from_the_last_good_look_to_the_next(
    world: World, names: list[str], reason: Reason
) -> None:
    await world.look(confs.FILE, seconds=0)
    await world.look(confs.FILE, seconds=1000)
    await world.look(*names, seconds=1060)
    during = world.cause(1030)
    assert during.reason is reason
    await world.look(confs.FILE, seconds=1061)
    assert world.cause(1030) == during, "a message does not change with time"
    assert [world.cause(moment).ran for moment in (900, 1030, 1100)] == [True, False, True]


async def test_a_lapse_that_lasts_is_the_cause_for_as_long_as_it_does(world: World) -> None:
    await world.look(confs.FILE, seconds=0)
    for moment in (100, 130, 160):
        await world.look("00-a.conf", confs.FILE, seconds=moment)
    world.now = at(200)
    await world.presence.reconcile()
    assert world.cause(199).reason is Reason.RIVAL
    assert len(causes.parse(world.path.read_bytes()).lapses) == 2


async def test_a_runtime_that_had_loaded_another_network_is_a_cause(world: World) -> None:
    world.verdict = RUNS_US
    await world.look(confs.FILE, seconds=0)
    world.verdict = RUNS_OTHERS
    await world.look(confs.FILE, seconds=60)
    world.verdict = RUNS_US
    await world.look(confs.FILE, seconds=120)
    cause = world.cause(90)
    assert (cause.reason, "loaded the network calico" in cause.message) == (Reason.NOT_LOADED, True)
    world.verdict = DOWN
    await world.look(confs.FILE, seconds=180)
    assert world.cause(150).ran, "a runtime that does not answer starts no pod"


async def test_what_happened_while_no_agent_was_there_is_known_only_by_what_the_next_one_found(world: World) -> None:
    await world.look("10-a.conf", seconds=0)
    await world.look(confs.FILE, seconds=10)
    world.start()
    await world.look("10-a.conf", seconds=1000)
    gone = world.cause(500)
    assert gone.reason is Reason.CONF_AWAY
    assert "no agent was there from 2026-03-01 12:00:10 UTC to 2026-03-01 12:16:40 UTC" in gone.message
    await world.look(confs.FILE, seconds=1001)
    world.start()
    await world.look(confs.FILE, seconds=2000)
    back = world.cause(1500)
    assert back.reason is Reason.UNKNOWN
    assert "our conf was in place afterwards" in back.message
    assert not back.ran
    assert world.cause(500) == gone
    assert world.cause(-1000).reason is Reason.OLDER


async def test_nothing_is_known_before_the_folder_was_looked_at(world: World) -> None:
    assert await world.presence.reconcile() is None
    assert world.presence.history is None
    assert not world.path.exists()


async def test_a_record_that_was_damaged_or_removed_is_made_anew_and_claims_nothing(world: World) -> None:
    await world.look("10-a.conf", seconds=0)
    await world.look(confs.FILE, seconds=10)
    world.path.write_bytes(b"{")
    os.utime(world.path, (at(500).timestamp(), at(500).timestamp()))
    world.start()
    await world.look(confs.FILE, seconds=1000)
    assert {world.cause(moment).reason for moment in (-1000, 100, 700)} == {Reason.UNKNOWN}
    assert world.cause(1100).ran
    world.path.unlink()
    world.now = at(1030)
    await world.presence.reconcile()
    assert causes.parse(world.path.read_bytes()) == world.presence.history


async def test_nothing_is_written_where_nothing_happened_but_that_an_agent_was_there(world: World) -> None:
    await world.look(confs.FILE, seconds=0)
    await world.look(confs.FILE, seconds=30)
    before = world.path.stat()
    os.utime(world.path, (0, 0))
    for _ in range(3):
        await world.presence.reconcile()
    after = world.path.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert after.st_mtime > 0


async def test_the_record_is_that_of_the_contract(world: World) -> None:
    await world.look("10-a.conf", seconds=0)
    lapse = causes.Lapse(Reason.RIVAL, T0, T0 + datetime.timedelta(seconds=5), "00-a.conf sorted before ours")
    text = causes.dump(causes.History(T0, (lapse,)))
    assert text == (
        b'{"version": 1, "installed": "2026-03-01T12:00:00+00:00", "lapses": [{"reason": "RivalConf", '
        b'"since": "2026-03-01T12:00:00+00:00", "until": "2026-03-01T12:00:05+00:00", '
        b'"detail": "00-a.conf sorted before ours"}]}\n'
    )
