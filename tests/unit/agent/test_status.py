"""A pod carries the status that its journal tells, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import sandboxes, status
from mooring.kube import errors
from mooring.networks import statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.agent.conftest import FakeClient, FakeInformer

    Journal = Callable[..., bytes]

pytestmark = pytest.mark.looptime


class World:
    """One node: a folder of journals, its pods, and the reconciler between them."""

    def __init__(self, folder: Path, client: FakeClient, pods: FakeInformer) -> None:
        self.folder = folder
        self.client = client
        self.pods = pods
        self.events: list[tuple[str, str]] = []
        self.attached: list[tuple[str, tuple[str, ...]]] = []
        self.sandboxes = sandboxes.Sandboxes(on_change=lambda pod: self.status.sandbox_changed(pod))
        self.start()
        pods.synced.set()
        self.sandboxes.scanned.set()

    def start(self) -> None:
        """Make the reconciler anew, as an agent that was restarted."""
        self.status = status.Status(
            self.client,  # type: ignore[arg-type]
            boot="boot-1",
            sandboxes=self.sandboxes,
            report_on_pod=self.report,
            on_attached=lambda pod, sandbox: self.attached.append((pod["metadata"]["uid"], sandbox.added)),
            on_health=lambda: None,
        )
        self.status.follow(self.pods)  # type: ignore[arg-type]

    async def report(self, pod: dict[str, Any], reason: str, note: str) -> None:
        self.events.append((reason, note))

    def pod(self, name: str = "web", uid: str = "uid-1", **annotations: str) -> dict[str, Any]:
        key = f"default/{name}"
        old = self.pods.store.get(key)
        new = status.keep({"metadata": {"name": name, "namespace": "default", "uid": uid, "annotations": annotations}})
        self.pods.store[key] = new
        self.status.pod_changed(key, old, new)
        return new

    def sandbox(self, content: bytes, container: str = "c") -> None:
        path = self.folder / f"{container}@eth0.jsonl"
        path.write_bytes(content)
        self.sandboxes.take(sandboxes.read([path]))

    def annotate(self, text: str | None, name: str = "web") -> None:
        """Do what the API server's answer and watch do: the pod has the annotation."""
        more = {} if text is None else {statuses.ANNOTATION: text}
        uid = self.pods.store[f"default/{name}"]["metadata"]["uid"]
        self.pod(name, uid, **more)

    @property
    def written(self) -> list[str]:
        """The texts that were written, in order."""
        return [patch["metadata"]["annotations"][statuses.ANNOTATION] for _, _, patch in self.client.patches]


@pytest.fixture
async def world(tmp_path: Path, client: FakeClient, informer: FakeInformer) -> World:
    return World(tmp_path, client, informer)


def names(text: str) -> list[str]:
    return [entry["name"] for entry in json.loads(text)]


async def test_the_status_is_patched_once_with_the_pod_s_uid_and_nothing_else(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.status.reconcile()
    [(kind, name, patch)] = world.client.patches
    assert (kind, name) == ("Pod", "default/web")
    assert patch["metadata"]["uid"] == "uid-1"
    assert list(patch) == ["metadata"]
    assert list(patch["metadata"]["annotations"]) == [statuses.ANNOTATION]
    assert names(world.written[0]) == ["pod-network", "default/storage"]
    world.annotate(world.written[0])
    await world.status.reconcile()
    assert len(world.written) == 1
    assert world.status.health.settled


async def test_journal_and_pod_may_come_in_any_order(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal())
    await world.status.reconcile()
    assert world.written == []
    world.pod()
    await world.status.reconcile()
    assert len(world.written) == 1


async def test_journals_of_pods_that_are_gone_cost_no_task(world: World, write_journal: Journal) -> None:
    world.pod()
    for number in range(50):
        world.sandbox(write_journal(pod=f"default/gone-{number}"), container=f"gone-{number}")
    world.sandbox(write_journal())
    tasks: list[str] = []
    loop = asyncio.get_running_loop()

    def remembering(of: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        tasks.append(work.__qualname__)
        return asyncio.Task(work, loop=of, **more)

    loop.set_task_factory(remembering)
    await world.status.reconcile()
    loop.set_task_factory(None)
    assert len(tasks) == 1
    assert len(world.written) == 1
    world.pod("gone-7")
    await world.status.reconcile()
    assert world.client.patches[-1][1] == "default/gone-7"


async def test_a_pod_without_extra_networks_gets_its_status_too(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(networks=()))
    await world.status.reconcile()
    assert names(world.written[0]) == ["pod-network"]


async def test_nothing_is_written_before_all_networks_are_attached_or_after_one_is_undone(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal(complete=False))
    await world.status.reconcile()
    world.sandbox(write_journal(undone=True))
    await world.status.reconcile()
    assert world.written == []


@pytest.mark.parametrize("text", [None, "[]", "not json", '[{"name":"pod-network"}]'])
async def test_a_status_that_is_removed_or_edited_by_hand_is_repaired(
    world: World, write_journal: Journal, text: str | None
) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.status.reconcile()
    world.annotate(world.written[0])
    world.annotate(text)
    await world.status.reconcile()
    assert len(world.written) == 2
    assert world.written[0] == world.written[1]


async def test_a_status_that_says_the_same_in_another_layout_is_left_alone(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.status.reconcile()
    compact = json.dumps(json.loads(world.written[0]), sort_keys=True)
    world.annotate(compact)
    await world.status.reconcile()
    assert len(world.written) == 1


async def test_a_pod_of_the_same_name_and_another_uid_gets_nothing(world: World, write_journal: Journal) -> None:
    world.pod(uid="uid-2")
    world.sandbox(write_journal(uid="uid-1"))
    await world.status.reconcile()
    assert world.written == []


async def test_a_mirror_pod_is_known_by_the_hash_of_its_file(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal(uid="hash-1"))
    world.pod(uid="uid-9", **{"kubernetes.io/config.hash": "hash-1"})
    await world.status.reconcile()
    assert world.written == []  # an ordinary pod with that annotation is not one
    mirror = {"kubernetes.io/config.hash": "hash-1", "kubernetes.io/config.mirror": "hash-1"}
    world.pod(uid="uid-9", **mirror)
    await world.status.reconcile()
    assert world.client.patches[0][2]["metadata"]["uid"] == "uid-9"


async def test_a_runtime_that_tells_no_uid_leaves_the_name_to_go_by(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(uid=""))
    await world.status.reconcile()
    assert len(world.written) == 1


async def test_of_several_sandboxes_the_newest_of_this_boot_counts(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(networks=("default/old",), time="2026-03-01T12:00:00.000001Z"), "a")
    world.sandbox(write_journal(networks=("default/new",), time="2026-03-01T12:00:01.000001Z"), "b")
    world.sandbox(write_journal(networks=("default/gone",), time="2026-03-01T13:00:00.000001Z", boot="boot-0"), "c")
    await world.status.reconcile()
    assert names(world.written[0]) == ["pod-network", "default/new"]


async def test_while_the_newest_sandbox_is_being_made_the_old_status_stays(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal(time="2026-03-01T12:00:00.000001Z"), "a")
    world.sandbox(write_journal(time="2026-03-01T12:00:01.000001Z", complete=False), "b")
    await world.status.reconcile()
    assert world.written == []


async def test_a_pod_that_is_gone_is_no_problem(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    world.client.errors = [errors.NotFound(status=404, message="gone")]
    assert await world.status.reconcile() is None
    assert not world.status.health.problem


async def test_a_conflict_is_tried_again_after_a_pause(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    world.client.errors = [errors.Conflict(status=409, message="changed")]
    wait = await world.status.reconcile()
    assert wait is not None
    assert 0 < wait <= 0.5
    assert not world.status.health.settled
    await asyncio.sleep(wait)
    await world.status.reconcile()
    assert len(world.written) == 1
    assert world.status.health.settled


async def test_a_pod_that_is_another_one_by_now_is_no_failure(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    causes = [{"field": "metadata.uid", "reason": "FieldValueInvalid", "message": "field is immutable"}]
    refused = errors.Invalid(status=422, message="metadata.uid: field is immutable", details={"causes": causes})
    world.client.errors = [refused]
    assert await world.status.reconcile() is not None, "it is looked at again"
    assert world.status.health.warning == ""
    assert world.written == []


async def test_one_pod_that_cannot_be_written_does_not_hold_the_others(world: World, write_journal: Journal) -> None:
    for name in ("one", "two"):
        world.pod(name, uid=name)
        world.sandbox(write_journal(pod=f"default/{name}", uid=name), name)
    world.client.errors = [errors.Forbidden(status=403, message="no")]
    await world.status.reconcile()
    assert len(world.written) == 1
    assert "cannot be written" in world.status.health.warning


async def test_who_keeps_changing_a_status_makes_us_slower_and_is_told(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    for _ in range(200):
        if world.written:
            world.annotate(world.written[-1])
        world.annotate("[]")
        wait = await world.status.reconcile()
        await asyncio.sleep(min(wait or 0.1, 0.1))
    assert 5 <= len(world.written) <= 6
    assert "Another program keeps changing the network-status of default/web" in world.status.health.warning
    await asyncio.sleep(120)
    await world.status.reconcile()
    world.annotate(world.written[-1])
    await world.status.reconcile()
    assert not world.status.health.warning


async def test_every_status_is_looked_at_again_from_time_to_time(world: World, write_journal: Journal) -> None:
    """A change that no event told, because the watch was broken when it was made and unmade."""
    pod = world.pod()
    world.sandbox(write_journal())
    await world.status.reconcile()
    pod["metadata"]["annotations"].clear()
    assert await world.status.reconcile() is None
    await asyncio.sleep(world.status.period + 1)
    await world.status.reconcile()
    assert len(world.written) == 2


async def test_changes_of_a_pod_that_are_none_of_ours_are_not_looked_at(world: World) -> None:
    world.pod()
    await world.status.reconcile()
    world.pod()
    assert not world.status._pending


async def test_networks_that_did_not_fit_are_told_in_an_event(
    world: World, write_journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = statuses.annotation
    monkeypatch.setattr(statuses, "annotation", lambda attached: whole(attached, most_bytes=150))
    world.pod()
    world.sandbox(write_journal())
    await world.status.reconcile()
    assert names(world.written[0]) == ["pod-network"]
    assert world.events == [
        ("NetworkStatusTooLong", "The network-status would be too long; it leaves out default/storage")
    ]


async def test_it_is_settled_only_when_pods_and_journals_are_known(world: World) -> None:
    world.pods.synced.clear()
    world.pods.last_error = errors.Forbidden(status=403, message="no")
    assert await world.status.reconcile() == 0.5
    assert "cannot be listed" in world.status.health.problem
    world.pods.synced.set()
    assert await world.status.reconcile() is None
    assert world.status.health.settled


ADDED = ("Add eth0 [] from pod-network", "Add net1 [] from default/storage")


async def test_what_a_new_sandbox_has_is_told_once_it_is_in_the_status(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(complete=False))
    await world.status.reconcile()
    assert world.attached == []
    world.sandbox(write_journal())
    world.client.errors = [errors.Conflict(status=409, message="changed")]
    wait = await world.status.reconcile()
    assert world.attached == []
    await asyncio.sleep(wait or 0)
    await world.status.reconcile()
    assert world.attached == [("uid-1", ADDED)]


async def test_a_status_that_is_repaired_tells_nothing_again(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.status.reconcile()
    world.annotate("[]")
    await world.status.reconcile()
    assert len(world.written) == 2
    assert len(world.attached) == 1


async def test_an_agent_that_starts_tells_nothing_that_was_told(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.status.reconcile()
    world.annotate(world.written[0])
    world.start()
    await world.status.reconcile()
    world.annotate(None)
    await world.status.reconcile()
    assert len(world.written) == 2
    assert len(world.attached) == 1


async def test_an_agent_that_starts_tells_what_was_attached_without_it(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal())
    world.pod()
    world.start()
    await world.status.reconcile()
    assert world.attached == [("uid-1", ADDED)]


async def test_a_status_that_the_plugin_wrote_itself_is_told_too(world: World, write_journal: Journal) -> None:
    world.pod("other", "uid-2")
    world.sandbox(write_journal(pod="default/other", uid="uid-2"), "other")
    await world.status.reconcile()
    world.pod(**{statuses.ANNOTATION: world.written[0]})
    world.sandbox(write_journal())
    await world.status.reconcile()
    assert len(world.written) == 1
    assert world.attached == [("uid-2", ADDED), ("uid-1", ADDED)]


async def test_a_second_sandbox_of_a_pod_is_told_as_the_first_one(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(), "a")
    await world.status.reconcile()
    world.annotate(world.written[0])
    # The status says the same of it, letter by letter.
    world.sandbox(write_journal(time="2026-03-01T12:00:01.000001Z"), "b")
    await world.status.reconcile()
    assert world.attached == [("uid-1", ADDED), ("uid-1", ADDED)]


async def test_a_pod_that_runs_lives_in_its_newest_sandbox(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal(time="2026-03-01T12:00:00.000001Z"), "old")
    world.sandbox(write_journal(time="2026-03-01T13:00:00.000001Z"), "new")
    item = {"metadata": {"name": "web", "namespace": "default", "uid": "uid-1"}}
    lives = []
    for phase in ("Pending", "Running", "Succeeded"):
        world.pods.store["default/web"] = status.keep({**item, "status": {"phase": phase}})
        lives.append([world.status.runs_in(f"{name}@eth0.jsonl", "default/web") for name in ("old", "new")])
    assert lives == [[False, False], [False, True], [False, False]]
    assert not world.status.runs_in("new@eth0.jsonl", "default/other")
