"""Whatever a disk does, the plugin's kubeconfig is whole, its own alone, and not lost once it was written."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import json
import stat
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.agent import credentials, loops
from mooring.node import files, places
from tests.unit.agent.conftest import Node, at_once
from tests.unit.agent.test_credentials import HOUR, Api
from tests.unit.disks import MEMORY, PICKS, Disk, Fault, PowerCut, faults, power_cuts

#: Which certificate authority the API server has in a round.
AUTHORITIES = st.sampled_from(["first", "second", "third"])


class World:
    """One node's folder of confs on a disk, and the kubeconfig in a folder of its own below."""

    def __init__(self, root: Path, api: Api) -> None:
        self.node = Node(
            root, places.Places(host_root=root, bin_dir="/opt/bin", conf_dir="/etc/net.d", state_dir="/var/mooring")
        )
        self.path = self.node.places.seen(self.node.places.kubeconfig)
        revision = self.node.revision()
        self.credentials = credentials.Credentials(
            loops.Site(api, "n1", "mooring-system"),  # type: ignore[arg-type]
            revision=lambda: revision,
            now=lambda: api.now,
            on_health=lambda: None,
        )

    def written(self) -> bytes | None:
        """Return the file; fail where others may read it, or where it is not one that a plugin can use."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        document = json.loads(data)
        assert credentials.inspect(document["users"][0]["user"]["token"]) is not None
        assert document["clusters"][0]["cluster"]["certificate-authority-data"]
        assert stat.S_IMODE(self.path.stat().st_mode) == 0o600
        return data

    def temporary(self) -> list[str]:
        return [path.name for path in self.path.parent.iterdir() if files.is_temporary(path.name)]


def outlive(rounds: list[tuple[str, Fault | None]], last: tuple[str, Fault], picks: list[int]) -> None:
    """Let faults meet the work on a disk, at last the loss of its power or one more; fail where that loses anything."""
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
        runner = stack.enter_context(asyncio.Runner())
        stack.enter_context(mock.patch.object(asyncio, "to_thread", at_once))
        api = Api()
        world = World(top / "before", api)
        for folder in (world.node.places.confs, world.node.places.seen("/var/mooring")):
            folder.mkdir(parents=True)
        disk = Disk(top / "before")
        stack.callback(disk.close)

        def play(authority: str, fault: Fault | None) -> None:
            api.certificate_authority = authority.encode()
            api.now += HOUR
            with disk.failing(fault):
                runner.run(world.credentials.reconcile())

        # What a boot may find; None is nothing.
        durable: set[bytes | None] = {None}
        cut = False
        for authority, fault in (*rounds, last):
            try:
                play(authority, fault)
            except (OSError, PowerCut) as error:
                cut = isinstance(error, PowerCut)
                durable |= {world.written()}
                continue
            durable = {world.written()}
            assert _authority(world) == authority
        if not cut:
            play(last[0], None)
            assert _authority(world) == last[0]
            assert world.temporary() == []
            durable = {world.written()}
        disk.boot(top / "after", picks)
        booted = World(top / "after", api)
        assert booted.written() in durable
        runner.run(booted.credentials.reconcile())
        assert _authority(booted) == last[0]
        assert booted.temporary() == []


def _authority(world: World) -> str:
    data = world.written()
    if data is None:
        return ""
    return base64.b64decode(json.loads(data)["clusters"][0]["cluster"]["certificate-authority-data"]).decode()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, 0], ids=["ENOSPC", "EIO", "EROFS", "power"])
def test_one_fault_at_each_call_and_power_lost_after_the_next_success(code: int) -> None:
    for step in range(40):
        outlive([("first", None)], ("second", Fault(step, code)), [0])
        outlive([], ("first", Fault(step, code)), [0])


@settings(max_examples=100)
@given(
    rounds=st.lists(st.tuples(AUTHORITIES, st.none() | faults(40)), max_size=4),
    last=st.tuples(AUTHORITIES, power_cuts(40) | faults(40)),
    picks=PICKS,
)
def test_faults_and_a_power_cut_between_any_two_calls(
    rounds: list[tuple[str, Fault | None]], last: tuple[str, Fault], picks: list[int]
) -> None:
    outlive(rounds, last, picks)
