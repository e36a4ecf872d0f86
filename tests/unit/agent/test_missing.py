"""A pod that runs without the networks it asked for does not pass for healthy."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import missing, status
from mooring.kube import errors

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeInformer

pytestmark = pytest.mark.looptime

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
ASKS = {"k8s.v1.cni.cncf.io/networks": "storage"}


class World:
    """Pods, the names of those with a journal, and what was applied to them."""

    def __init__(self, pods: FakeInformer) -> None:
        self.pods = pods
        self.journals: set[str] = set()
        self.known = True
        self.applied: list[tuple[str, list[dict[str, str]]]] = []
        self.events: list[str] = []
        self.vain: tuple[str, str] | None = None
        self.failing: Exception | None = None
        self.missing = missing.Missing(
            self,  # type: ignore[arg-type]
            sandboxes_known=lambda: self.known,
            has_sandbox=lambda key, pod: key in self.journals,
            report_on_pod=self.report,
            why_in_vain=lambda: self.vain,
            now=lambda: NOW,
            on_health=lambda: None,
        )
        self.missing.follow(pods)  # type: ignore[arg-type]
        pods.synced.set()

    async def report(self, pod: dict[str, Any], reason: str, note: str) -> None:
        self.events.append(reason)

    async def apply(self, resource: Any, body: dict[str, Any], **more: Any) -> None:
        assert more == {"field_manager": "mooring-agent-conditions", "subresource": "status"}
        assert body["metadata"] == {"name": "web", "namespace": "default", "uid": "uid-1"}
        if self.failing:
            raise self.failing
        conditions = body["status"]["conditions"]
        self.applied.append((body["metadata"]["name"], conditions))
        self.pods.store["default/web"]["marked"] = bool(conditions)
        self.pods.store["default/web"]["mark"] = conditions[0]["reason"] if conditions else ""

    def pod(
        self, annotations: dict[str, str] = ASKS, phase: str = "Running", *, host: bool = False, marked: bool = False
    ) -> None:
        self.pods.store["default/web"] = status.keep(
            {
                "metadata": {"name": "web", "namespace": "default", "uid": "uid-1", "annotations": annotations},
                "spec": {"hostNetwork": host},
                "status": {
                    "phase": phase,
                    "conditions": [{"type": "NetworksAttached", "reason": "StartedBeforeMooring"}] if marked else [],
                },
            }
        )

    async def look_twice(self) -> None:
        await self.missing.reconcile()
        await asyncio.sleep(10)
        await self.missing.reconcile()


@pytest.fixture
async def world(informer: FakeInformer) -> World:
    return World(informer)


async def test_it_is_marked_once_and_told_in_an_event(world: World) -> None:
    world.pod()
    await world.look_twice()
    await world.look_twice()
    [(name, [condition])] = world.applied
    assert name == "web"
    assert (condition["type"], condition["status"]) == ("NetworksAttached", "False")
    assert "delete it" in condition["message"]
    assert world.events == ["NetworksMissing"]
    assert world.missing.health.warning == "Pods run without the networks they ask for: default/web"


async def test_nobody_is_told_to_make_it_anew_where_that_would_change_nothing(world: World) -> None:
    world.vain = ("RuntimeUnproven", "containerd has loaded the network k8s-pod-network")
    world.pod()
    await world.look_twice()
    await world.look_twice()
    [(_, [condition])] = world.applied
    assert condition["reason"] == "NodeNotReady"
    assert "not ready: containerd has loaded the network k8s-pod-network" in condition["message"]
    assert "delete" not in condition["message"]
    world.vain = None
    assert await world.missing.reconcile() == 10
    assert len(world.applied) == 1
    await asyncio.sleep(10)
    assert await world.missing.reconcile() is None
    (_, [condition]) = world.applied[-1]
    assert condition["reason"] == "StartedBeforeMooring"
    assert "delete it" in condition["message"]
    assert world.events == ["NetworksMissing"] * 2


async def test_a_node_that_is_not_ready_for_a_moment_changes_no_advice(world: World) -> None:
    world.pod(marked=True)
    await world.look_twice()
    for _ in range(5):
        for world.vain in (("CredentialsNotWritten", "the API server is away"), None):
            await world.missing.reconcile()
            await asyncio.sleep(9)
    assert world.applied == []


async def test_advice_that_is_not_right_any_more_is_taken_back(world: World) -> None:
    world.pod(marked=True)
    world.vain = ("ConfNotWritten", "the runtime loads 00-00-a.conf and not ours")
    await world.look_twice()
    [(_, [condition])] = world.applied
    assert condition["reason"] == "NodeNotReady"


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
    ],
)
async def test_pods_that_ask_for_nothing_do_not_run_or_were_attached_by_others_are_left_alone(
    world: World, others: dict[str, Any]
) -> None:
    world.pod(**others)
    await world.look_twice()
    assert world.applied == []
    assert not world.missing.health.warning


async def test_the_mark_goes_when_there_is_a_journal(world: World) -> None:
    world.pod(marked=True)
    world.journals.add("default/web")
    await world.missing.reconcile()
    assert world.applied == [("web", [])]
    assert not world.missing.health.warning


async def test_a_mark_of_the_agent_before_this_one_stays_while_it_makes_sure(world: World) -> None:
    world.pod(marked=True)
    await world.look_twice()
    assert world.applied == []
    assert world.missing.health.warning


async def test_nothing_is_judged_before_journals_and_pods_are_known(world: World) -> None:
    world.pod()
    world.known = False
    assert await world.missing.reconcile() == 1
    assert not world.missing.health.settled


@pytest.mark.parametrize("kind", [errors.NotFound, errors.Conflict])
async def test_a_pod_that_is_gone_or_another_one_is_no_problem(world: World, kind: type[errors.ApiError]) -> None:
    world.pod()
    world.failing = kind(status=404, message="x")
    await world.look_twice()
    assert not world.missing.health.problem
