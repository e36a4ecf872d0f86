"""A pod that runs without the networks it asked for does not pass for healthy."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import causes, missing, pods
from mooring.installing.podconditions import Reason
from mooring.kube import errors
from mooring.node import cri

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeInformer

pytestmark = pytest.mark.looptime

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
ASKS = {"k8s.v1.cni.cncf.io/networks": "storage"}
STARTED = "2026-03-01T11:00:00Z"
RAN = "2026-03-01T11:00:02Z"
OLDER = causes.History(installed=datetime.datetime(2026, 3, 1, 11, 30, tzinfo=datetime.UTC))
YOUNGER = causes.History(installed=datetime.datetime(2026, 3, 1, 10, 30, tzinfo=datetime.UTC))
NO_SUCH_POD = errors.Invalid(status=422, message="uid", details={"causes": [{"field": "metadata.uid"}]})


class World:
    """Pods, the names of those with a journal, and what was applied to them."""

    def __init__(self, informer: FakeInformer) -> None:
        self.informer = informer
        self.journals: set[str] = set()
        self.known = True
        self.applied: list[dict[str, str]] = []
        self.events: list[str] = []
        self.vain: tuple[str, str] | None = None
        self.failing: Exception | None = None
        self.history = OLDER
        self.sandboxes: list[cri.Sandbox] = []
        self.asked = 0
        self.missing = missing.Missing(
            self,  # type: ignore[arg-type]
            sandboxes_known=lambda: self.known,
            has_sandbox=lambda key, pod: key in self.journals,
            history=lambda: self.history,
            listed=self.list_sandboxes,
            report_on_pod=self.report,
            why_in_vain=lambda: self.vain,
            now=lambda: NOW,
            on_health=lambda: None,
        )
        self.missing.follow(informer)  # type: ignore[arg-type]
        informer.synced.set()

    async def list_sandboxes(self) -> list[cri.Sandbox]:
        self.asked += 1
        if not self.sandboxes:
            raise cri.UnansweredError("no runtime")
        return self.sandboxes

    async def report(self, pod: dict[str, Any], reason: str, note: str) -> None:
        self.events.append(reason)

    async def patch(self, resource: Any, name: str, patch: dict[str, Any], **more: Any) -> None:
        assert more == {
            "namespace": "default",
            "subresource": "status",
            "field_manager": "mooring-agent",
            "strategic": True,
        }
        assert (name, patch["metadata"]) == ("web", {"uid": "uid-1"})
        if self.failing:
            raise self.failing
        [condition] = patch["status"]["conditions"]
        self.applied.append(condition)
        gone = "$patch" in condition
        mark = (condition["status"], condition["reason"], condition["message"]) if not gone else None
        self.informer.store["default/web"]["mark"] = mark[:2] if mark and mark[0] == "True" else mark

    def pod(
        self,
        annotations: dict[str, str] = ASKS,
        phase: str = "Running",
        *,
        host: bool = False,
        mark: dict[str, str] | None = None,
        gated: bool = False,
        ends: bool = False,
    ) -> None:
        gates = [{"conditionType": "mooring.dev/NetworksAttached"}] if gated else []
        metadata = {"name": "web", "namespace": "default", "uid": "uid-1", "annotations": annotations}
        self.informer.store["default/web"] = pods.keep(
            {
                "metadata": {**metadata, **({"deletionTimestamp": STARTED} if ends else {})},
                "spec": {"hostNetwork": host, "readinessGates": gates},
                "status": {
                    "phase": phase,
                    "startTime": STARTED,
                    "containerStatuses": [{"state": {"running": {"startedAt": RAN}}}],
                    "conditions": [{"type": "mooring.dev/NetworksAttached", **mark}] if mark else [],
                },
            }
        )

    async def look_twice(self) -> None:
        await self.missing.reconcile()
        await asyncio.sleep(10)
        await self.missing.reconcile()


def marked() -> dict[str, str]:
    """Return the condition as it was written on the pod by the agent before this one."""
    window = causes.window((STARTED, RAN), "")
    cause = causes.judge(window, OLDER)
    return {"status": "False", "reason": cause.reason, "message": causes.advice(cause, "")}


@pytest.fixture
async def world(informer: FakeInformer) -> World:
    return World(informer)


async def test_it_is_marked_once_with_its_cause_and_told_in_an_event(world: World) -> None:
    world.pod()
    await world.look_twice()
    await world.look_twice()
    [condition] = world.applied
    assert (condition["type"], condition["status"]) == ("mooring.dev/NetworksAttached", "False")
    assert condition["reason"] == "OlderThanMooring"
    assert "Mooring came to the node at 2026-03-01 11:30:00 UTC" in condition["message"]
    assert "Delete it" in condition["message"]
    assert world.events == ["NetworksMissing"]
    assert world.missing.health.warning == "Pods run without the networks they ask for: default/web"
    assert world.missing.by_cause == {"OlderThanMooring": 1}
    assert world.missing.lacking == (missing.Lacking("default", "web", "uid-1", Reason.OLDER),)


async def test_one_that_asks_for_another_default_network_is_marked_too(world: World) -> None:
    world.pod({"v1.multus-cni.io/default-network": "kube-system/other"})
    await world.look_twice()
    assert [each["reason"] for each in world.applied] == ["OlderThanMooring"]


async def test_the_runtime_tells_when_a_pod_was_started_better_than_its_containers(world: World) -> None:
    """Its container was restarted since, so its own moment would not do."""
    lapse = causes.Lapse(Reason.RIVAL, NOW - datetime.timedelta(minutes=50), NOW, "00-a.conf sorted before ours")
    world.history = causes.History(installed=YOUNGER.installed, lapses=(lapse,))
    world.pod()
    world.informer.store["default/web"]["started"] = (STARTED, "2026-03-01T11:59:00Z")
    world.sandboxes = [
        cri.Sandbox("1", False, "default", "web", "uid-1", 0, "2026-03-01T11:00:01.000000001Z"),
        cri.Sandbox("2", True, "default", "web", "uid-1", 1, "2026-03-01T11:30:00.000000001Z"),
        cri.Sandbox("3", True, "default", "other", "uid-2", 0, "2026-03-01T11:00:01.000000001Z"),
    ]
    await world.look_twice()
    await world.look_twice()
    [condition] = world.applied
    assert condition["reason"] == "RivalConf"
    assert "2026-03-01 11:30:05" in condition["message"]
    assert world.asked == 1


async def test_nobody_is_told_to_make_it_anew_where_that_would_change_nothing(world: World) -> None:
    world.vain = ("RuntimeUnproven", "containerd has loaded the network k8s-pod-network")
    world.pod()
    await world.look_twice()
    await world.look_twice()
    [condition] = world.applied
    assert condition["reason"] == "OlderThanMooring", "the cause is what it is, whatever is wrong now"
    assert "not ready: containerd has loaded the network k8s-pod-network" in condition["message"]
    assert "Delete" not in condition["message"]
    world.vain = None
    assert await world.missing.reconcile() == 10
    assert len(world.applied) == 1
    await asyncio.sleep(10)
    assert await world.missing.reconcile() is None
    condition = world.applied[-1]
    assert "Delete it" in condition["message"]
    assert "lastTransitionTime" not in condition
    assert world.events == ["NetworksMissing"] * 2


async def test_a_node_that_is_not_ready_for_a_moment_changes_no_advice(world: World) -> None:
    world.pod(mark=marked())
    await world.look_twice()
    for _ in range(5):
        for world.vain in (("CredentialsNotWritten", "the API server is away"), None):
            await world.missing.reconcile()
            await asyncio.sleep(9)
    assert world.applied == []


async def test_advice_that_is_not_right_any_more_is_taken_back(world: World) -> None:
    world.pod(mark=marked())
    world.vain = ("ConfNotWritten", "the runtime loads 00-00-a.conf and not ours")
    await world.look_twice()
    [condition] = world.applied
    assert "00-00-a.conf" in condition["message"]


async def test_it_is_not_marked_at_first_sight(world: World) -> None:
    world.pod()
    assert await world.missing.reconcile() == 10
    assert world.applied == []
    world.journals.add("default/web")
    await asyncio.sleep(10)
    await world.missing.reconcile()
    assert world.applied == []


@pytest.mark.parametrize(
    "others",
    [
        {"annotations": {}},
        {"annotations": {"k8s.v1.cni.cncf.io/networks": "  "}},
        {"annotations": {**ASKS, "k8s.v1.cni.cncf.io/network-status": "[]"}},
        {"phase": "Pending"},
        {"phase": "Succeeded"},
        {"host": True},
        {"ends": True},
    ],
)
async def test_pods_that_ask_for_nothing_do_not_run_or_were_attached_by_others_are_left_alone(
    world: World, others: dict[str, Any]
) -> None:
    world.pod(**others)
    await world.look_twice()
    assert world.applied == []
    assert not world.missing.health.warning


async def test_a_mark_is_the_status_s_to_change_once_there_is_a_journal(world: World) -> None:
    world.pod(mark=marked())
    world.journals.add("default/web")
    await world.missing.reconcile()
    assert world.applied == []
    assert not world.missing.health.warning


async def test_a_mark_goes_where_networks_are_not_asked_for_any_more(world: World) -> None:
    world.pod({}, mark=marked())
    await world.look_twice()
    assert world.applied == [{"type": "mooring.dev/NetworksAttached", "$patch": "delete"}]


async def test_a_mark_of_the_agent_before_this_one_stays_while_it_makes_sure(world: World) -> None:
    world.pod(mark=marked())
    await world.look_twice()
    assert world.applied == []
    assert world.missing.health.warning


async def test_a_gated_pod_that_asks_for_nothing_becomes_ready_without_a_journal(world: World) -> None:
    world.pod({}, gated=True)
    await world.look_twice()
    await world.look_twice()
    assert [(each["status"], each["reason"]) for each in world.applied] == [("True", "NoneAsked")]


@pytest.mark.parametrize("phase", ["Pending", "Running"])
async def test_a_gated_pod_on_its_node_s_network_becomes_ready_at_once(world: World, phase: str) -> None:
    world.pod(phase=phase, host=True, gated=True)
    await world.missing.reconcile()
    await world.missing.reconcile()
    assert [(each["status"], each["reason"]) for each in world.applied] == [("True", "HostNetwork")]


async def test_a_gated_pod_that_lacks_its_networks_does_not(world: World) -> None:
    world.pod(gated=True)
    await world.look_twice()
    assert [each["status"] for each in world.applied] == ["False"]


@pytest.mark.parametrize(("history", "told"), [(YOUNGER, ["NetworkStatusMissing"]), (OLDER, [])])
async def test_a_plain_pod_without_a_journal_is_told_of_once_where_the_runtime_ran_us(
    world: World, history: causes.History, told: list[str]
) -> None:
    """A full disk: the plugin attached the default network and could write nothing down."""
    world.history = history
    world.pod({})
    await world.look_twice()
    await world.look_twice()
    assert world.applied == []
    assert world.events == told
    assert not world.missing.lacking


async def test_nothing_is_judged_before_journals_and_pods_are_known(world: World) -> None:
    world.pod()
    world.known = False
    assert await world.missing.reconcile() == 1
    assert not world.missing.health.settled


@pytest.mark.parametrize(
    "failing", [errors.NotFound(status=404, message="x"), errors.Conflict(status=409, message="x"), NO_SUCH_POD]
)
async def test_a_pod_that_is_gone_or_another_one_is_no_problem(world: World, failing: errors.ApiError) -> None:
    world.pod()
    world.failing = failing
    await world.look_twice()
    assert not world.missing.health.problem


async def test_what_cannot_be_written_keeps_no_other_pod_from_being_told(world: World) -> None:
    world.pod()
    world.failing = errors.Forbidden(status=403, message="no")
    with pytest.raises(errors.Forbidden):
        await world.look_twice()
    assert world.missing.lacking
