"""The NodeState says what the node is, and is written when that changes."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import conf, inventory, missing, runtime, sandboxes, survey
from mooring.installing import confs
from mooring.installing.podconditions import Reason
from mooring.kube import errors
from mooring.node import cri, failures, plugins

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.agent.conftest import FakeClient, Node

    Journal = Callable[..., bytes]

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
PRIMARY = confs.Primary(name="pod-network", file="10.conflist", conf={"name": "pod-network", "type": "bridge"})
SAID = cri.Status(
    runtime="containerd",
    version="v2.4.2",
    network_ready=True,
    network_message="",
    conf_dir="/etc/cni/net.d",
    last_load="OK",
    networks=(cri.Network(confs.NETWORK, (confs.TYPE,)),),
)
GOOD = inventory.Facts(
    revision="r1",
    binary_revision="r1",
    cni_version="1.1.0",
    surveyed=survey.Found(
        binaries=(
            survey.Binary(plugins.Plugin("bridge", "cd" * 32, "v1.9.1")),
            survey.Binary(plugins.Plugin("mooring", "ab" * 32, ""), "mooring"),
        ),
        link_types=("macvlan", "veth"),
        absent=(survey.Absent("eth9", ("default/a",)),),
    ),
    conf=conf.Applied(revision="r1", digest="sha256:cd", primary=PRIMARY),
    loaded=runtime.Verdict("True", "RuntimeRunsUs", "It has loaded us", SAID),
)


class World:
    """One node's facts and the reconciler that tells them."""

    def __init__(self, client: FakeClient, node: Node) -> None:
        self.client = client
        self.node = node
        self.facts = GOOD
        self.began: float | None = None
        self.put_forward = 0.0
        self.states: dict[str, dict[str, Any]] = {"n1": {"metadata": {"name": "n1", "generation": 3}, "status": {}}}
        self.sandboxes = sandboxes.Sandboxes(on_change=lambda pod: None)
        self.inventory = inventory.Inventory(
            client,  # type: ignore[arg-type]
            node="n1",
            states=self.states,
            facts=lambda: self.facts,
            sandboxes=self.sandboxes,
            folders=lambda: node.places,
            now=self.now,
            on_health=lambda: None,
        )

    def now(self) -> datetime.datetime:
        """Return the wall clock's time: NOW at the first question, and from then on it goes with the loop's."""
        clock = asyncio.get_running_loop().time()
        self.began = clock if self.began is None else self.began
        return NOW + datetime.timedelta(seconds=clock - self.began + self.put_forward)

    async def start(self) -> float | None:
        """Look for the first time, when nothing is known yet."""
        return await self.inventory.reconcile()

    async def reconcile(self) -> float | None:
        """Look, and let the API server's watch tell what was written."""
        if not self.client.patches:
            await self.start()
        await asyncio.sleep(10)  # beyond the debouncing
        count = len(self.client.patches)
        wait = await self.inventory.reconcile()
        if len(self.client.patches) > count:
            self.states["n1"]["status"] = {k: v for k, v in self.status.items() if v is not None}
        return wait

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.client.patches[-1][2]["status"]
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        [found] = [one for one in self.status["conditions"] if one["type"] == kind]
        return dict(found)

    def fail(self, count: int, verb: str = "ADD", *, pod: str = "web", network: str = "a/n") -> None:
        stamp = self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        path = self.node.places.failures
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            for number in range(count):
                document = {"version": 1, "time": stamp, "verb": verb, "code": 7}
                document |= {"pod": {"namespace": "default", "name": pod, "uid": "u"}, "network": network}
                file.write(json.dumps(document | {"msg": f"no {number}"}) + "\n")


@pytest.fixture
async def world(client: FakeClient, node: Node) -> World:
    return World(client, node)


pytestmark = pytest.mark.looptime


@pytest.fixture(autouse=True)
def threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(call: Any, *arguments: Any) -> Any:
        return call(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


async def test_an_agent_that_just_started_leaves_for_a_moment_what_the_one_before_it_wrote(
    client: FakeClient, node: Node
) -> None:
    world = World(client, node)
    wait = await world.start()
    assert client.patches == []
    assert wait
    await asyncio.sleep(wait)
    await world.start()
    assert len(client.patches) == 1


@pytest.mark.parametrize(
    "known",
    [
        {"binary_revision": "", "conf": None},
        {"binary_revision": "r1", "conf": None},
        {"binary_revision": "", "conf": GOOD.conf},
    ],
)
async def test_an_agent_that_changed_nothing_yet_leaves_on_record_what_is_on_the_node(
    world: World, known: dict[str, Any]
) -> None:
    primary = {"name": "pod-network", "file": "10.conflist"}
    world.states["n1"]["status"] = {"revision": "r1", "primaryNetwork": primary}
    world.facts = dataclasses.replace(GOOD, revision="r2", **known)
    for _ in range(2):
        await world.reconcile()
        assert (world.status["revision"], world.status["primaryNetwork"]) == ("r1", primary)
        assert world.condition("Ready")["status"] == "False"


@pytest.mark.parametrize(
    "known",
    [
        {"binary_revision": "r2", "conf": None},
        {"binary_revision": "", "conf": conf.Applied("r2", "sha256:ef", PRIMARY)},
        {"binary_revision": "", "conf": None, "drained": runtime.Verdict("True", "Drained", "It has left")},
    ],
)
async def test_what_was_on_the_node_is_taken_off_the_record_once_it_is_changed(
    world: World, known: dict[str, Any]
) -> None:
    world.states["n1"]["status"] = {"revision": "r1"}
    world.facts = dataclasses.replace(GOOD, revision="r2", **known)
    await world.reconcile()
    assert world.status["revision"] is None


async def test_a_node_as_it_should_be_is_ready_and_not_degraded(world: World) -> None:
    await world.reconcile()
    stamp = {"lastTransitionTime": "2026-03-01T12:00:00Z", "observedGeneration": 3}
    assert world.status == {
        "heartbeatTime": "2026-03-01T12:00:00Z",
        "revision": "r1",
        "primaryNetwork": {"name": "pod-network", "file": "10.conflist"},
        "confHash": "sha256:cd",
        "confFile": "00-multus.conf",
        "multus": None,
        "rivals": [],
        "runtime": {
            "name": "containerd",
            "version": "v2.4.2",
            "networks": ["multus-cni-network"],
            "cniVersion": "1.1.0",
        },
        "binaries": [
            {"name": "bridge", "sha256": "cd" * 32, "version": "v1.9.1", "owner": ""},
            {"name": "mooring", "sha256": "ab" * 32, "version": "", "owner": "mooring"},
        ],
        "linkTypes": ["macvlan", "veth"],
        "absentInterfaces": [{"name": "eth9", "networks": ["default/a"]}],
        "networks": [],
        "distribution": None,
        "failedAdds": 0,
        "failures": [],
        "podsWithoutNetworks": None,
        "lastErrors": [],
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "AsWanted",
                "message": "Binary, conf, cache and statuses are as they should be",
                **stamp,
            },
            {
                "type": "Degraded",
                "status": "False",
                "reason": "AsExpected",
                "message": "Nothing is wrong",
                **stamp,
            },
            {
                "type": "RuntimeLoaded",
                "status": "True",
                "reason": "RuntimeRunsUs",
                "message": "It has loaded us.",
                **stamp,
            },
        ],
    }


async def test_it_is_written_when_something_changed_and_otherwise_every_five_minutes(world: World) -> None:
    for _ in range(5):
        await world.reconcile()
    assert len(world.client.patches) == 1
    await asyncio.sleep(300)
    await world.reconcile()
    assert len(world.client.patches) == 2
    world.fail(1)
    await world.reconcile()
    assert len(world.client.patches) == 3


async def test_a_burst_of_changes_is_one_write(world: World) -> None:
    await world.reconcile()
    for _ in range(10):
        world.fail(1)
        wait = await world.inventory.reconcile()
        assert wait is not None
        assert 0 < wait <= 2
    await asyncio.sleep(2)
    await world.inventory.reconcile()
    assert len(world.client.patches) == 2
    assert world.status["failedAdds"] == 10


async def test_a_status_edited_by_hand_is_put_right(world: World) -> None:
    await world.reconcile()
    world.states["n1"]["status"]["failedAdds"] = 99
    await world.reconcile()
    assert world.status["failedAdds"] == 0
    assert len(world.client.patches) == 2


async def test_attachments_are_counted_by_network(world: World, write_journal: Journal) -> None:
    folder = world.node.places.journals
    folder.mkdir(parents=True)
    for number in range(25):
        content = write_journal(pod=f"default/p{number:02}", networks=("a/n", "a/n") if number == 0 else ("a/n",))
        (folder / f"c{number}@eth0.jsonl").write_bytes(content)
    (folder / "x@eth0.jsonl").write_bytes(write_journal(pod="default/q", networks=("a/m",)))
    await world.sandboxes.scan(folder)
    await world.reconcile()
    assert world.status["networks"] == [
        {"namespace": "a", "name": "m", "attachments": 1},
        {"namespace": "a", "name": "n", "attachments": 26},
    ]


async def test_failed_adds_are_counted_and_the_last_ten_failures_told(world: World) -> None:
    world.fail(15)
    world.fail(1, "DEL")
    await world.reconcile()
    assert world.status["failedAdds"] == 15
    assert len(world.status["lastErrors"]) == 10
    assert world.status["lastErrors"][-2:] == [
        {
            "time": "2026-03-01T12:00:00.000000Z",
            "reason": "AddFailed",
            "message": "pod default/web, network a/n: no 14",
        },
        {"time": "2026-03-01T12:00:00.000000Z", "reason": "DelFailed", "message": "pod default/web, network a/n: no 0"},
    ]


async def test_failures_are_told_by_network_and_by_how_many_pods_they_concern(world: World) -> None:
    world.fail(40)
    for pod in ("one", "two", "two"):
        world.fail(1, pod=pod, network="a/m")
    world.fail(1, "DEL", pod="three", network="a/m")
    world.fail(1, pod="", network="")
    await world.reconcile()
    assert world.status["failures"] == [
        {"network": "a/m", "calls": 4, "pods": 3},
        {"network": "a/n", "calls": 40, "pods": 1},
        {"network": "", "calls": 1, "pods": 0},
    ]
    assert world.status["failedAdds"] == 44


async def test_what_failed_ten_minutes_ago_is_no_longer_counted_and_nobody_needs_to_wake_it_for_that(
    world: World,
) -> None:
    running = asyncio.create_task(world.inventory.run())
    world.fail(1000)
    await asyncio.sleep(120)
    world.fail(8, pod="another", network="a/m")
    world.inventory.wake()
    await asyncio.sleep(10)
    assert world.status["failedAdds"] == 1008
    await asyncio.sleep(540)
    assert world.status["failures"] == [{"network": "a/m", "calls": 8, "pods": 1}], "11 minutes after the first"
    await asyncio.sleep(120)
    assert world.status["failedAdds"] == 0
    assert world.status["failures"] == []
    assert len(world.status["lastErrors"]) == 10, "what was last stays to be read, with its time"
    assert len(world.client.patches) <= 7
    running.cancel()


async def test_a_clock_that_was_put_back_leaves_no_failures_for_ever(world: World) -> None:
    world.put_forward = 3600
    world.fail(3)
    world.put_forward = 0
    await world.reconcile()
    assert world.status["failedAdds"] == 0


async def test_a_message_that_names_pod_and_network_itself_is_told_as_it_is() -> None:
    failure = failures.Failure(
        time="2026-03-01T12:00:00Z",
        verb="ADD",
        pod="default/web",
        network="a/n",
        code=7,
        message="pod default/web, network a/n: no",
    )
    described = inventory.describe(GOOD, sandboxes.Sandboxes(on_change=lambda pod: None), [failure], now=NOW)
    assert described["lastErrors"][0]["message"] == "pod default/web, network a/n: no"


async def test_problems_make_it_not_ready_and_warnings_only_degraded(world: World) -> None:
    world.facts = inventory.Facts(
        revision="r1",
        binary_revision="",
        conf=None,
        problems=(("BinaryNotInstalled", "the disk is full"),),
        warnings=(("ConfNotWritten", "Cilium took it."),),
    )
    await world.reconcile()
    assert world.status["revision"] is None
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Ready")["message"] == "The disk is full."
    assert world.condition("Degraded")["message"] == "The disk is full. Cilium took it."
    world.facts = inventory.Facts(**{**_fields(GOOD), "warnings": (("ConfNotWritten", "Cilium took it."),)})
    await world.reconcile()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["status"] == "True"


async def test_rivals_and_what_the_runtime_loaded_are_told(world: World) -> None:
    said = dataclasses.replace(SAID, networks=(cri.Network("k8s-pod-network", ("calico",)),))
    verdict = runtime.Verdict("False", "RuntimeHasNotLoadedUs", "it has loaded another", said)
    world.facts = inventory.Facts(**{**_fields(GOOD), "rivals": ("00-calico.conflist",), "loaded": verdict})
    await world.reconcile()
    assert world.status["rivals"] == ["00-calico.conflist"]
    assert world.status["runtime"]["networks"] == ["k8s-pod-network"]
    condition = world.condition("RuntimeLoaded")
    assert (condition["status"], condition["message"]) == ("False", "It has loaded another.")


async def test_how_far_a_node_is_drained_is_told_while_that_is_asked_for(world: World) -> None:
    verdict = runtime.Verdict("False", "Draining", "it waits for a pod")
    world.facts = inventory.Facts(**{**_fields(GOOD), "drained": verdict})
    await world.reconcile()
    condition = world.condition("Drained")
    assert [condition[key] for key in ("status", "reason", "message")] == ["False", "Draining", "It waits for a pod."]
    world.facts = GOOD
    await world.reconcile()
    assert "Drained" not in [each["type"] for each in world.status["conditions"]]


async def test_a_runtime_that_does_not_tell_is_not_written_about_again_and_again(world: World) -> None:
    said = dataclasses.replace(SAID, networks=None)
    verdict = runtime.Verdict("Unknown", "RuntimeDoesNotTell", "It does not tell", said)
    world.facts = inventory.Facts(**{**_fields(GOOD), "loaded": verdict})
    await world.reconcile()
    # A merge patch removes what is null.
    world.states["n1"]["status"]["runtime"] = {"name": "containerd", "version": "v2.4.2", "cniVersion": "1.1.0"}
    await world.reconcile()
    assert len(world.client.patches) == 1


async def test_a_revision_that_is_not_on_the_node_yet_is_not_ready(world: World) -> None:
    world.facts = inventory.Facts(**{**_fields(GOOD), "revision": "r2"})
    await world.reconcile()
    assert world.status["revision"] == "r1"
    assert world.condition("Ready")["reason"] == "Applying"


async def test_a_transition_time_moves_only_with_the_status() -> None:
    later = NOW + datetime.timedelta(minutes=5)
    before = inventory.conditions([], GOOD, generation=1, now=NOW)
    same = inventory.conditions(before, GOOD, generation=2, now=later)
    assert [one["lastTransitionTime"] for one in same] == ["2026-03-01T12:00:00Z"] * 3
    bad = inventory.Facts(**{**_fields(GOOD), "problems": (("X", "y"),)})
    changed = inventory.conditions(before, bad, generation=2, now=later)
    assert [one["lastTransitionTime"] for one in changed] == ["2026-03-01T12:05:00Z"] * 2 + ["2026-03-01T12:00:00Z"]


async def test_a_node_that_is_leaving_is_no_problem(world: World) -> None:
    world.client.errors = [errors.NotFound(status=404, message="gone")]
    await world.reconcile()
    world.states.clear()
    await world.reconcile()
    assert world.client.patches == []


def _fields(facts: inventory.Facts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in inventory.Facts.__slots__}


async def test_pods_without_their_networks_are_named_the_first_twenty_and_all_counted(world: World) -> None:
    lacking = tuple(
        missing.Lacking("default", f"web-{number:02}", f"uid-{number}", Reason.RIVAL) for number in range(25)
    )
    world.facts = inventory.Facts(**{**_fields(GOOD), "lacking": lacking})
    await world.reconcile()
    found = world.status["podsWithoutNetworks"]
    assert (found["count"], len(found["pods"])) == (25, 20)
    assert found["pods"][0] == {"namespace": "default", "name": "web-00", "uid": "uid-0", "cause": "RivalConf"}
    world.facts = GOOD
    await world.reconcile()
    assert world.status["podsWithoutNetworks"] is None
