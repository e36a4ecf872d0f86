"""The node is Ready only when the runtime's own word says that it has loaded us."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.agent import runtime
from mooring.node import cri, places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.looptime

CONF = (places.Places(Path("/nowhere"), "/opt/cni/bin", "/etc/cni/net.d", "/var/lib/mooring"), "00-multus.conf")
OURS = cri.Network("multus-cni-network", ("mooring",))
RIVAL = cri.Network("k8s-pod-network", ("calico", "portmap"))


def said(*networks: cri.Network, tells: bool = True, name: str = "containerd", load: str = "OK") -> cri.Status:
    return cri.Status(
        runtime=name,
        version="v2.4.2",
        network_ready=True,
        network_message="",
        conf_dir="/etc/cni/net.d" if tells else "",
        last_load=load if tells else "",
        networks=networks if tells else None,
    )


def judged(status: cri.Status, conf_dir: str = "/etc/cni/net.d", bin_dir: str = "/opt/cni/bin") -> runtime.Verdict:
    return runtime.judge(status, conf_dir=conf_dir, file="00-multus.conf", bin_dir=bin_dir)


class TestTheVerdict:
    @pytest.mark.parametrize("networks", [(OURS,), (OURS, RIVAL)])
    def test_ours_as_the_first_interface_is_a_runtime_that_runs_us(self, networks: tuple[cri.Network, ...]) -> None:
        assert judged(said(*networks)).status == "True"

    def test_another_network_is_named(self) -> None:
        verdict = judged(said(RIVAL, OURS))
        assert (verdict.status, verdict.reason) == ("False", "RuntimeHasNotLoadedUs")
        assert verdict.message == (
            "containerd v2.4.2 has loaded the network k8s-pod-network (calico, portmap) and not multus-cni-network: "
            "pods start without their networks. It should load /etc/cni/net.d/00-multus.conf"
        )

    def test_the_name_of_ours_with_another_plugin_is_not_ours(self) -> None:
        assert judged(said(cri.Network("multus-cni-network", ("multus-shim",)))).status == "False"

    def test_no_network_is_told_with_the_runtime_s_own_reason(self) -> None:
        verdict = judged(said(load="cni config load failed: invalid"))
        assert "has loaded no network: no pod can start" in verdict.message
        assert verdict.message.endswith("and could not: cni config load failed: invalid")

    def test_another_folder_than_the_installation_s_is_told(self) -> None:
        verdict = judged(said(RIVAL), "/etc/kubernetes/cni/net.d")
        assert "but it reads /etc/cni/net.d: say so in the Installation's paths" in verdict.message

    def test_ours_out_of_another_folder_is_none_that_anybody_keeps(self) -> None:
        verdict = judged(said(OURS), "/etc/kubernetes/cni/net.d")
        assert (verdict.status, verdict.reason) == ("False", "RuntimeReadsElsewhere")
        assert verdict.message.startswith(
            "containerd v2.4.2 reads its confs from /etc/cni/net.d, and ours is in /etc/kubernetes/cni/net.d: say so"
        )

    def test_a_folder_of_plugins_that_the_runtime_does_not_look_into_is_told(self) -> None:
        tells = dataclasses.replace(said(OURS), bin_dirs=("/opt/cni/bin/", "/usr/libexec/cni"))
        assert judged(tells).status == "True"
        verdict = judged(tells, bin_dir="/opt/cni/bim")
        assert (verdict.status, verdict.reason) == ("False", "RuntimeLooksElsewhere")
        assert "looks for plugins in /opt/cni/bin/ and /usr/libexec/cni, and ours is in /opt/cni/bim" in verdict.message

    def test_a_folder_behind_a_link_is_the_same_folder(self, tmp_path: Path) -> None:
        (tmp_path / "var/lib/rancher/k3s/data/abc/bin").mkdir(parents=True)
        (tmp_path / "var/lib/rancher/k3s/data/current").symlink_to("/var/lib/rancher/k3s/data/abc")
        node = places.Places(tmp_path, "/var/lib/rancher/k3s/data/current/bin", "/etc/cni/net.d", "/var/lib/mooring")
        tells = dataclasses.replace(said(OURS), bin_dirs=("/var/lib/rancher/k3s/data/abc/bin",))
        verdict = runtime.judge(
            tells, conf_dir="/etc/cni/net.d", file="00-multus.conf", bin_dir=node.bin_dir, same=node.same
        )
        assert verdict.status == "True"

    @pytest.mark.parametrize("name", ["cri-o", "docker"])
    def test_a_runtime_that_does_not_tell_leaves_it_open(self, name: str) -> None:
        verdict = judged(said(tells=False, name=name))
        assert (verdict.status, verdict.reason) == ("Unknown", "RuntimeDoesNotTell")
        assert verdict.message == f"{name} v2.4.2 does not tell which network it has loaded"


class World:
    """A runtime that answers as a test says, and the times at which it was asked."""

    def __init__(self) -> None:
        self.answer: cri.Status | Exception = said(OURS)
        self.asked: list[float] = []
        self.conf: tuple[places.Places, str] | None = CONF
        self.told: list[tuple[str, bool, str]] = []
        self.identified: list[str] = []
        self.runtime = runtime.Runtime(
            ask=self.ask,
            conf=lambda: self.conf,
            on_identified=lambda: self.identified.append(self.runtime.cni_version),
            on_health=self.note,
        )

    async def ask(self) -> cri.Status:
        self.asked.append(asyncio.get_running_loop().time())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def note(self) -> None:
        health = self.runtime.health
        self.told.append((self.runtime.verdict.status, health.settled, health.problem))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.runtime.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world() -> World:
    return World()


async def test_it_is_not_settled_before_there_is_a_conf_to_prove_but_knows_who_answers(world: World) -> None:
    world.conf = None
    async with world.running():
        await asyncio.sleep(120)
        assert (world.runtime.health.settled, world.runtime.verdict) == (False, runtime.UNKNOWN)
        assert world.identified == ["1.1.0"]
        world.conf = CONF
        world.runtime.wake()
        await asyncio.sleep(0.1)
        assert world.runtime.health.settled
        assert world.runtime.verdict.status == "True"


async def test_a_quiet_node_s_runtime_is_asked_about_once_a_minute(world: World) -> None:
    async with world.running():
        await asyncio.sleep(600)
    assert 10 <= len(world.asked) <= 12


async def test_a_burst_of_changes_is_two_questions_and_the_last_comes_after_it(world: World) -> None:
    async with world.running():
        await asyncio.sleep(10)
        before, began = len(world.asked), asyncio.get_running_loop().time()
        for _ in range(20):
            world.runtime.wake()
            await asyncio.sleep(0.01)
        await asyncio.sleep(10)
    later = [moment - began for moment in world.asked[before:]]
    assert len(later) <= 3
    assert later[0] == pytest.approx(0)
    assert later[-1] >= 1


async def test_a_runtime_that_needs_a_moment_to_load_never_makes_the_node_unready(world: World) -> None:
    async with world.running():
        await asyncio.sleep(10)
        world.told.clear()
        world.answer = said(RIVAL)
        world.runtime.wake()
        await asyncio.sleep(0.9)
        world.answer = said(OURS)
        await asyncio.sleep(10)
    assert world.told == []


async def test_a_runtime_that_has_not_loaded_us_makes_the_node_unready_until_it_has(world: World) -> None:
    async with world.running():
        await asyncio.sleep(10)
        world.answer = said(RIVAL)
        world.runtime.wake()
        await asyncio.sleep(1.5)
        assert "has loaded the network k8s-pod-network" in world.runtime.health.problem
        assert world.told[-1][0] == "False"
        world.answer = said(OURS)
        world.runtime.wake()
        await asyncio.sleep(1.1)
        assert not world.runtime.health.problem
        assert world.told[-1][0] == "True"


async def test_it_asks_a_runtime_that_stays_wrong_at_longer_and_longer_intervals(world: World) -> None:
    world.answer = said(RIVAL)
    async with world.running():
        await asyncio.sleep(200)
    gaps = [round(after - before) for before, after in zip(world.asked, world.asked[1:], strict=False)]
    assert gaps[:6] == [1, 2, 4, 8, 16, 30]
    assert not world.runtime.health.settled


async def test_a_runtime_that_does_not_answer_is_not_proven(world: World) -> None:
    world.answer = cri.UnansweredError("The runtime at /run/containerd/containerd.sock cannot be asked: refused")
    async with world.running():
        await asyncio.sleep(2)
    assert world.runtime.health.problem == str(world.answer)
    assert (world.runtime.verdict.status, world.runtime.verdict.reason) == ("False", "RuntimeDoesNotAnswer")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(tells=False, name="cri-o"), "RuntimeDoesNotTell"),
        (cri.NoSocketError("No container runtime listens on this node"), "RuntimeNotFound"),
    ],
)
async def test_what_cannot_be_told_is_said_and_does_not_make_the_node_unready(
    world: World, answer: cri.Status | Exception, reason: str
) -> None:
    world.answer = answer
    async with world.running():
        await asyncio.sleep(2)
    health = world.runtime.health
    assert (health.settled, health.problem, health.warning) == (True, "", "")
    assert (world.runtime.verdict.status, world.runtime.verdict.reason) == ("Unknown", reason)


networks = st.lists(
    st.builds(
        cri.Network,
        name=st.sampled_from(["multus-cni-network", "other", ""]),
        plugins=st.lists(st.sampled_from(["mooring", "calico", ""])).map(tuple),
    )
)


@given(networks=networks, load=st.sampled_from(["", "OK", "failed"]))
def test_only_the_first_network_decides_and_there_always_is_a_sentence(networks: list[cri.Network], load: str) -> None:
    verdict = judged(said(*networks, load=load))
    ours = bool(networks) and networks[0].name == "multus-cni-network" and "mooring" in networks[0].plugins
    assert verdict.status == ("True" if ours else "False")
    assert verdict.message


async def test_who_answers_is_known_until_another_one_does(world: World) -> None:
    assert world.runtime.cni_version == ""
    await world.runtime.reconcile()
    for answer in (
        cri.UnansweredError("it hangs"),
        said(OURS),
        dataclasses.replace(said(OURS), version="v1.7.29"),
        dataclasses.replace(said(OURS), version="v1.7.30"),
    ):
        world.answer = answer
        await asyncio.sleep(1)
        await world.runtime.reconcile()
        assert world.runtime.cni_version
    assert world.identified == ["1.1.0", "1.0.0", "1.0.0"]
