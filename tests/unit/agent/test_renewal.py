"""After a daemon was started the leases of what is attached are taken again, each under its old identifier."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.agent import renewal
from mooring.node import journals, namespaces
from tests.unit.agent.conftest import line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.unit.agent.conftest import Node

LAN = {"cniVersion": "0.3.1", "name": "lan", "type": "macvlan", "master": "lan0", "ipam": {"type": "dhcp"}}
CHAIN = {
    "cniVersion": "1.0.0",
    "name": "chain",
    "plugins": [{"type": "bridge", "ipam": {"type": "dhcp"}}, {"type": "tuning"}],
}
STATIC = {"cniVersion": "1.0.0", "name": "own", "type": "bridge", "ipam": {"type": "host-local"}}
NO_IPAM = {"cniVersion": "1.0.0", "name": "l2", "type": "bridge"}


def journal(*confs: dict[str, Any], attached: bool = True, ending: bool = False, container: str = "c1") -> bytes:
    header = {
        "type": "header",
        "version": 1,
        "containerID": container,
        "ifName": "eth0",
        "netns": "/run/netns/a",
        "cniArgs": "K8S_POD_NAME=web",
        "pod": {"namespace": "default", "name": "web", "uid": "u"},
    }
    intents = [
        {"index": index, "network": f"default/{conf['name']}", "nad": True, "ifName": f"net{index}", "conf": conf}
        for index, conf in enumerate(confs)
    ]
    records: list[dict[str, Any]] = [header, {"type": "intents", "attachments": intents}]
    if attached:
        records += [{"type": "result", "verb": "ADD", "index": each["index"], "result": {}} for each in intents]
    if ending:
        records.append({"type": "del-requested"})
    return b"".join(map(line, records))


class World:
    """A node with journals, and a plugin that answers as `answers` says."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.answer = namespaces.Ended(0, b"", b"")
        self.renewal = renewal.Renewal(self, self)
        node.places.journals.mkdir()

    @contextlib.contextmanager
    def enter(self) -> Iterator[namespaces.Namespaces]:
        yield namespaces.Namespaces(-1, -1, -1)

    async def run(
        self, inside: namespaces.Namespaces, command: str, *, stdin: bytes, env: Mapping[str, str], seconds: float
    ) -> namespaces.Ended:
        await asyncio.sleep(0)
        self.asked.append((command, json.loads(stdin), dict(env)))
        return self.answer

    def has(self, container: str, *confs: dict[str, Any], **more: bool) -> None:
        path = self.node.places.journals / f"{container}@eth0.jsonl"
        path.write_bytes(journal(*confs, container=container, **more))

    async def renew(self) -> str:
        self.renewal.begin(self.node.places)
        return await self.renewal.proceed(self.node.places)


@pytest.fixture
async def world(node: Node) -> World:
    return World(node)


async def test_each_interface_with_dhcp_is_asked_for_as_at_its_add(world: World) -> None:
    world.has("c1", LAN, STATIC, NO_IPAM, CHAIN)
    assert await world.renew() == ""
    assert [(conf["name"], conf["type"], env["CNI_IFNAME"]) for _, conf, env in world.asked] == [
        ("lan", "macvlan", "net0"),
        ("chain", "bridge", "net3"),
    ]
    command, conf, env = world.asked[0]
    assert command == "/opt/cni/bin/dhcp"
    assert conf == {**LAN, "cniVersion": "1.0.0"}
    assert env == {
        "CNI_COMMAND": "CHECK",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/a",
        "CNI_IFNAME": "net0",
        "CNI_ARGS": "K8S_POD_NAME=web",
        "CNI_PATH": "/opt/cni/bin",
    }
    assert world.renewal.taken == 2


@pytest.mark.parametrize("state", [{"attached": False}, {"ending": True}])
async def test_what_is_not_attached_or_is_ending_is_left_alone(world: World, state: dict[str, bool]) -> None:
    world.has("c1", LAN, **state)
    assert await world.renew() == ""
    assert world.asked == []


@pytest.mark.looptime
async def test_what_fails_is_told_and_tried_again_a_minute_later_and_nothing_else_is(world: World) -> None:
    world.has("c1", LAN)
    world.answer = namespaces.Ended(1, b'{"code": 999, "msg": "no more tries"}', b"")
    assert await world.renew() == "default/web on default/lan (net0): no more tries"
    assert "no more tries" in await world.renewal.proceed(world.node.places)
    assert len(world.asked) == 1
    await asyncio.sleep(61)
    world.has("c2", LAN)  # it was attached with the daemon there
    world.answer = namespaces.Ended(0, b"", b"")
    assert await world.renewal.proceed(world.node.places) == ""
    await asyncio.sleep(61)
    assert await world.renewal.proceed(world.node.places) == ""
    assert [env["CNI_CONTAINERID"] for _, _, env in world.asked] == ["c1", "c1"]


@pytest.mark.looptime
async def test_what_went_meanwhile_is_forgotten(world: World) -> None:
    world.has("c1", LAN)
    world.answer = namespaces.Ended(1, b"", b"out of luck")
    assert "out of luck" in await world.renew()
    (world.node.places.journals / "c1@eth0.jsonl").unlink()
    await asyncio.sleep(61)
    assert await world.renewal.proceed(world.node.places) == ""


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["ipam", "type", "plugins", "name"]), inner),
    )
)
def test_whatever_a_configuration_is_it_is_read(conf: Any) -> None:
    data = journal(
        {"name": "a", "plugins": conf},
        {"name": "b", "ipam": conf},
        conf if isinstance(conf, dict) and "name" in conf else LAN,
    )
    assert isinstance(renewal.leases("j", journals.parse(data)), list)
