"""Pods without their networks are evicted with the operator's own rights, and disruption budgets hold."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from mooring.controller import evicting
from mooring.installing import podconditions
from mooring.kube import events, resources
from mooring.kube.client import Client
from tests.integration.conftest import SYSTEM, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from testbed.controlplane import ControlPlane
    from tests.integration.conftest import Installed

REPLICAS = 3


class World:
    """A node, a ReplicaSet whose pods are there, and the leader's evictor."""

    def __init__(self, plane: ControlPlane, admin: Client, leader: Client, namespace: str, node: str) -> None:
        self.plane = plane
        self.admin = admin
        self.namespace = namespace
        self.node = node
        self.states: dict[str, dict[str, Any]] = {}
        self.evictor = evicting.Evictor(
            leader,
            states=self.states,
            wanted=self.wanted,
            leading=lambda: True,
            recorder=events.Recorder(leader, controller="mooring-operator", instance="test"),
            now=lambda: datetime.datetime.now(datetime.UTC),
        )

    async def wanted(self) -> bool:
        return True

    async def pods(self) -> dict[str, dict[str, Any]]:
        found = await self.admin.list(resources.PODS, namespace=self.namespace, label_selector="app=web")
        return {each["metadata"]["name"]: each for each in found["items"]}

    async def run_all(self) -> None:
        """Do a kubelet's and an agent's work: every pod runs, is Ready, and lacks its networks."""
        listed = []
        for name, pod in (await self.pods()).items():
            now = datetime.datetime.now(datetime.UTC)
            mark = podconditions.condition(podconditions.Reason.RIVAL, "a rival", now=now)
            ready = {"type": "Ready", "status": "True"}
            patch = {"status": {"phase": "Running", "conditions": [ready, mark]}}
            await self.admin.patch(resources.PODS, name, patch, namespace=self.namespace, subresource="status")
            uid = pod["metadata"]["uid"]
            listed.append({"namespace": self.namespace, "name": name, "uid": uid, "cause": "RivalConf"})
        conditions = [{"type": "Ready", "status": "True"}]
        pods = {"count": len(listed), "pods": listed}
        self.states[self.node] = {"status": {"conditions": conditions, "podsWithoutNetworks": pods}}

    async def reasons(self) -> set[str]:
        found = await self.admin.list(resources.EVENTS, namespace=self.namespace)
        return {each["reason"] for each in found["items"] if each["reportingController"].startswith("mooring.dev/")}


@pytest.fixture
def node(plane: ControlPlane) -> Iterator[str]:
    name = f"node-{uuid.uuid4().hex[:8]}"
    plane.kubectl(
        "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    )
    yield name
    plane.kubectl("delete", "node", name)


@pytest.fixture
async def world(installed: Installed, namespace: str, node: str, client: Client) -> AsyncIterator[World]:
    plane = installed.plane
    user = f"system:serviceaccount:{SYSTEM}:mooring-operator"
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{SYSTEM}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KUBECONFIG", str(plane.kubeconfig_for(user, *groups)))
        leader = await Client.load()
    async with leader:
        template = {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0},
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        }
        plane.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=30s")
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        plane.kubectl(
            "wait",
            f"--for=jsonpath={{.status.replicas}}={REPLICAS}",
            "replicaset/web",
            "-n",
            namespace,
            "--timeout=30s",
        )
        made = World(plane, client, leader, namespace, node)
        await made.run_all()
        yield made


async def test_a_pod_is_evicted_and_its_controller_makes_another(world: World) -> None:
    before = await world.pods()
    await world.evictor.reconcile()
    evicted = [name for name, pod in before.items() if await gone(world, name, pod["metadata"]["uid"])]
    assert len(evicted) == 1, "one of a node at a time"
    assert await world.reasons() == {"EvictedWithoutNetworks"}
    counts: list[int] = []

    def replaced() -> bool:
        found = json.loads(world.plane.kubectl("get", "pods", "-n", world.namespace, "-o", "json"))["items"]
        alive = [each for each in found if not each["metadata"].get("deletionTimestamp")]
        counts.append(len(alive))
        return len(alive) == REPLICAS

    await eventually(replaced, what="the pod that is made in its place")


async def gone(world: World, name: str, uid: str) -> bool:
    found = (await world.pods()).get(name)
    return found is None or found["metadata"]["uid"] != uid or bool(found["metadata"].get("deletionTimestamp"))


async def test_a_disruption_budget_holds(world: World) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": world.namespace},
        "spec": {"minAvailable": REPLICAS, "selector": {"matchLabels": {"app": "web"}}},
    }
    world.plane.kubectl("apply", "-f", "-", stdin=json.dumps(budget))
    counted = f"--for=jsonpath={{.status.currentHealthy}}={REPLICAS}"
    world.plane.kubectl("wait", counted, "pdb/web", "-n", world.namespace, "--timeout=30s")
    before = await world.pods()
    await world.evictor.reconcile()
    assert [name for name, pod in before.items() if await gone(world, name, pod["metadata"]["uid"])] == []
    assert await world.reasons() == {"EvictionRefused"}


async def test_another_pod_of_the_name_is_not_evicted(world: World) -> None:
    for each in world.states[world.node]["status"]["podsWithoutNetworks"]["pods"]:
        each["uid"] = str(uuid.uuid4())
    before = await world.pods()
    await world.evictor.reconcile()
    assert {name: pod["metadata"]["uid"] for name, pod in (await world.pods()).items()} == {
        name: pod["metadata"]["uid"] for name, pod in before.items()
    }
    assert await world.reasons() == set()
