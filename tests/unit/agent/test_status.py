"""A pod carries the status that its journal tells, and nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import pods, sandboxes, status
from mooring.kube import errors
from mooring.networks import statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.unit.agent.conftest import FakeClient, FakeInformer

    Journal = Callable[..., bytes]

pytestmark = pytest.mark.looptime

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
ASKS = {"k8s.v1.cni.cncf.io/networks": "storage"}
GATE = {"readinessGates": [{"conditionType": "mooring.dev/NetworksAttached"}]}


class World:
    """One node: a folder of journals, its pods, and the reconciler between them."""

    def __init__(self, folder: Path, client: FakeClient, pods: FakeInformer) -> None:
        self.folder = folder
        self.client = client
        self.pods = pods
        self.events: list[tuple[str, str]] = []
        self.attached: list[tuple[str, tuple[str, ...]]] = []
        self.sandboxes = sandboxes.Sandboxes(on_change=lambda pod: self.status.sandbox_changed(pod))
        self.task: asyncio.Task[None] | None = None
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
            now=lambda: NOW,
            on_health=lambda: None,
        )
        self.status.follow(self.pods)  # type: ignore[arg-type]

    async def look(self, seconds: float = 0.2) -> None:
        """Let the reconciler run for a while."""
        if self.task is None:
            self.task = asyncio.create_task(self.status.run())
        await asyncio.sleep(seconds)

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
            self.task = None

    async def report(self, pod: dict[str, Any], reason: str, note: str) -> None:
        self.events.append((reason, note))

    def pod(
        self, name: str = "web", uid: str = "uid-1", mark: str = "", spec: Any = None, **annotations: str
    ) -> dict[str, Any]:
        """Have the API server tell of a pod; `mark` is the reason of its condition True."""
        key = f"default/{name}"
        old = self.pods.store.get(key)
        metadata = {"name": name, "namespace": "default", "uid": uid, "annotations": annotations}
        condition = {"type": "mooring.dev/NetworksAttached", "status": "True", "reason": mark}
        new = pods.keep({"metadata": metadata, "spec": spec, "status": {"conditions": [condition] if mark else []}})
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
        listed = [patch["metadata"].get("annotations", {}) for _, _, patch in self.client.patches]
        return [each[statuses.ANNOTATION] for each in listed if each]

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """Status and reason of the conditions that were written, in order."""
        listed = [each for _, _, patch in self.client.patches for each in patch.get("status", {}).get("conditions", [])]
        return [(each.get("status", ""), each.get("reason", each.get("$patch"))) for each in listed]


@pytest.fixture
async def world(tmp_path: Path, client: FakeClient, informer: FakeInformer) -> AsyncIterator[World]:
    made = World(tmp_path, client, informer)
    yield made
    await made.stop()


def names(text: str) -> list[str]:
    return [entry["name"] for entry in json.loads(text)]


async def test_the_status_is_patched_once_with_the_pod_s_uid_and_nothing_else(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.look()
    [(kind, name, patch)] = world.client.patches
    assert (kind, name) == ("Pod", "default/web")
    assert patch["metadata"]["uid"] == "uid-1"
    assert list(patch) == ["metadata"]
    assert list(patch["metadata"]["annotations"]) == [statuses.ANNOTATION]
    assert names(world.written[0]) == ["pod-network", "default/storage"]
    world.annotate(world.written[0])
    await world.look()
    assert len(world.written) == 1
    assert world.status.health.settled


async def test_journal_and_pod_may_come_in_any_order(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal())
    await world.look()
    assert world.written == []
    world.pod()
    await world.look()
    assert len(world.written) == 1


async def test_journals_of_pods_that_are_gone_cost_nothing(world: World, write_journal: Journal) -> None:
    world.pod()
    for number in range(50):
        world.sandbox(write_journal(pod=f"default/gone-{number}"), container=f"gone-{number}")
    world.sandbox(write_journal())
    put: list[str] = []
    work = world.status._workers._work

    async def remembering(key: str) -> None:
        put.append(key)
        await work(key)

    world.status._workers._work = remembering
    await world.look()
    assert set(put) == {"default/web"}
    assert len(world.written) == 1
    world.pod("gone-7")
    await world.look()
    assert world.client.patches[-1][1] == "default/gone-7"


async def test_a_pod_without_extra_networks_gets_its_status_too(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(networks=()))
    await world.look()
    assert names(world.written[0]) == ["pod-network"]


async def test_nothing_is_written_before_all_networks_are_attached_or_after_one_is_undone(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal(complete=False))
    await world.look()
    world.sandbox(write_journal(undone=True))
    await world.look()
    assert world.written == []


@pytest.mark.parametrize("text", [None, "[]", "not json", '[{"name":"pod-network"}]'])
async def test_a_status_that_is_removed_or_edited_by_hand_is_repaired(
    world: World, write_journal: Journal, text: str | None
) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.look()
    world.annotate(world.written[0])
    world.annotate(text)
    await world.look()
    assert len(world.written) == 2
    assert world.written[0] == world.written[1]


async def test_a_status_that_says_the_same_in_another_layout_is_left_alone(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.look()
    compact = json.dumps(json.loads(world.written[0]), sort_keys=True)
    world.annotate(compact)
    await world.look()
    assert len(world.written) == 1


async def test_a_pod_of_the_same_name_and_another_uid_gets_nothing(world: World, write_journal: Journal) -> None:
    world.pod(uid="uid-2")
    world.sandbox(write_journal(uid="uid-1"))
    await world.look()
    assert world.written == []


async def test_a_mirror_pod_is_known_by_the_hash_of_its_file(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal(uid="hash-1"))
    world.pod(uid="uid-9", **{"kubernetes.io/config.hash": "hash-1"})
    await world.look()
    assert world.written == []  # an ordinary pod with that annotation is not one
    mirror = {"kubernetes.io/config.hash": "hash-1", "kubernetes.io/config.mirror": "hash-1"}
    world.pod(uid="uid-9", **mirror)
    await world.look()
    assert world.client.patches[0][2]["metadata"]["uid"] == "uid-9"


async def test_a_runtime_that_tells_no_uid_leaves_the_name_to_go_by(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(uid=""))
    await world.look()
    assert len(world.written) == 1


async def test_of_several_sandboxes_the_newest_of_this_boot_counts(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(networks=("default/old",), time="2026-03-01T12:00:00.000001Z"), "a")
    world.sandbox(write_journal(networks=("default/new",), time="2026-03-01T12:00:01.000001Z"), "b")
    world.sandbox(write_journal(networks=("default/gone",), time="2026-03-01T13:00:00.000001Z", boot="boot-0"), "c")
    await world.look()
    assert names(world.written[0]) == ["pod-network", "default/new"]


async def test_while_the_newest_sandbox_is_being_made_the_old_status_stays(
    world: World, write_journal: Journal
) -> None:
    world.pod()
    world.sandbox(write_journal(time="2026-03-01T12:00:00.000001Z"), "a")
    world.sandbox(write_journal(time="2026-03-01T12:00:01.000001Z", complete=False), "b")
    await world.look()
    assert world.written == []


async def test_a_pod_that_is_gone_is_no_problem(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    world.client.errors = [errors.NotFound(status=404, message="gone")]
    await world.look()
    assert not world.status.health.problem
    assert world.status.health.settled


async def test_a_conflict_is_tried_again_after_a_pause(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    world.client.errors = [errors.Conflict(status=409, message="changed")]
    await world.look(0.1)
    assert world.written == []
    assert not world.status.health.settled
    await world.look(0.2)
    assert len(world.written) == 1
    assert world.status.health.settled


async def test_a_pod_that_is_another_one_by_now_is_no_failure(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    causes = [{"field": "metadata.uid", "reason": "FieldValueInvalid", "message": "field is immutable"}]
    refused = errors.Invalid(status=422, message="metadata.uid: field is immutable", details={"causes": causes})
    world.client.errors = [refused]
    await world.look(0.1)
    assert world.status.health.warning == ""
    assert world.written == []
    await world.look()
    assert len(world.written) == 1, "it is looked at again"


async def test_one_pod_that_cannot_be_written_does_not_hold_the_others(world: World, write_journal: Journal) -> None:
    for name in ("one", "two"):
        world.pod(name, uid=name)
        world.sandbox(write_journal(pod=f"default/{name}", uid=name), name)
    world.client.errors = [errors.Forbidden(status=403, message="no")]
    await world.look(0.1)
    assert len(world.written) == 1
    assert "cannot be written" in world.status.health.warning


async def test_who_keeps_changing_a_status_makes_us_slower_and_is_told(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    for _ in range(200):
        if world.written:
            world.annotate(world.written[-1])
        world.annotate("[]")
        await world.look(0.1)
    assert 5 <= len(world.written) <= 6
    assert "Another program keeps changing the network-status of default/web" in world.status.health.warning
    await world.look(120)
    world.annotate(world.written[-1])
    await world.look(120)
    assert not world.status.health.warning


async def test_every_status_is_looked_at_again_from_time_to_time(world: World, write_journal: Journal) -> None:
    """A change that no event told, because the watch was broken when it was made and unmade."""
    world.pod()
    world.sandbox(write_journal())
    await world.look()
    world.annotate(world.written[0])
    await world.look()
    world.pods.store["default/web"]["metadata"]["annotations"].clear()
    await world.look()
    assert len(world.written) == 1
    await world.look(world.status.period + 1)
    assert len(world.written) == 2


async def test_changes_of_a_pod_that_are_none_of_ours_are_not_looked_at(world: World) -> None:
    world.pod()
    await world.look()
    world.pod()
    assert world.status._workers.idle


async def test_networks_that_did_not_fit_are_told_in_an_event(
    world: World, write_journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = statuses.annotation
    monkeypatch.setattr(statuses, "annotation", lambda attached: whole(attached, most_bytes=150))
    world.pod()
    world.sandbox(write_journal())
    await world.look()
    assert names(world.written[0]) == ["pod-network"]
    assert world.events == [
        ("NetworkStatusTooLong", "The network-status would be too long; it leaves out default/storage")
    ]


async def test_it_is_settled_only_when_pods_and_journals_are_known(world: World) -> None:
    world.pods.synced.clear()
    world.pods.last_error = errors.Forbidden(status=403, message="no")
    await world.look()
    assert "cannot be listed" in world.status.health.problem
    world.pods.synced.set()
    await world.look(1)
    assert world.status.health.settled


ADDED = ("Add eth0 [] from pod-network", "Add net1 [] from default/storage")


async def test_what_a_new_sandbox_has_is_told_once_it_is_in_the_status(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(complete=False))
    await world.look()
    assert world.attached == []
    world.sandbox(write_journal())
    world.client.errors = [errors.Conflict(status=409, message="changed")]
    await world.look(0.1)
    assert world.attached == []
    await world.look()
    assert world.attached == [("uid-1", ADDED)]


async def test_a_status_that_is_repaired_tells_nothing_again(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.look()
    world.annotate("[]")
    await world.look()
    assert len(world.written) == 2
    assert len(world.attached) == 1


async def test_an_agent_that_starts_tells_nothing_that_was_told(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal())
    await world.look()
    world.annotate(world.written[0])
    await world.stop()
    world.start()
    await world.look()
    world.annotate(None)
    await world.look()
    assert len(world.written) == 2
    assert len(world.attached) == 1


async def test_an_agent_that_starts_tells_what_was_attached_without_it(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal())
    world.pod()
    world.start()
    await world.look()
    assert world.attached == [("uid-1", ADDED)]


async def test_a_status_that_the_plugin_wrote_itself_is_told_too(world: World, write_journal: Journal) -> None:
    world.pod("other", "uid-2")
    world.sandbox(write_journal(pod="default/other", uid="uid-2"), "other")
    await world.look()
    world.pod(**{statuses.ANNOTATION: world.written[0]})
    world.sandbox(write_journal())
    await world.look()
    assert len(world.written) == 1
    assert world.attached == [("uid-2", ADDED), ("uid-1", ADDED)]


async def test_a_second_sandbox_of_a_pod_is_told_as_the_first_one(world: World, write_journal: Journal) -> None:
    world.pod()
    world.sandbox(write_journal(), "a")
    await world.look()
    world.annotate(world.written[0])
    # The status says the same of it, letter by letter.
    world.sandbox(write_journal(time="2026-03-01T12:00:01.000001Z"), "b")
    await world.look()
    assert world.attached == [("uid-1", ADDED), ("uid-1", ADDED)]


async def test_a_pod_that_runs_lives_in_its_newest_sandbox(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal(time="2026-03-01T12:00:00.000001Z"), "old")
    world.sandbox(write_journal(time="2026-03-01T13:00:00.000001Z"), "new")
    item = {"metadata": {"name": "web", "namespace": "default", "uid": "uid-1"}}
    lives = []
    for phase in ("Pending", "Running", "Succeeded"):
        world.pods.store["default/web"] = pods.keep({**item, "status": {"phase": phase}})
        lives.append([world.status.runs_in(f"{name}@eth0.jsonl", "default/web") for name in ("old", "new")])
    assert lives == [[False, False], [False, True], [False, False]]
    assert not world.status.runs_in("new@eth0.jsonl", "default/other")


@pytest.mark.parametrize(("annotations", "reason"), [(ASKS, "Attached"), ({}, "NoneAsked")], ids=["asks", "asks not"])
@pytest.mark.parametrize("spec", [None, GATE], ids=["", "gated"])
async def test_status_and_condition_are_one_request_where_somebody_reads_the_condition(
    world: World, write_journal: Journal, annotations: dict[str, str], reason: str, spec: Any
) -> None:
    world.pod(spec=spec, **annotations)
    world.sandbox(write_journal())
    await world.look()
    [(_, _, patch)] = world.client.patches
    assert list(patch["metadata"]["annotations"]) == [statuses.ANNOTATION]
    expected = [("True", reason)] if annotations or spec else []
    assert world.conditions == expected
    more = {statuses.ANNOTATION: world.written[0], **annotations}
    world.pod(mark=reason if expected else "", spec=spec, **more)
    await world.look(world.status.period * 3)
    assert len(world.client.patches) == 1


async def test_a_condition_that_is_taken_away_or_wrong_is_put_back_alone(world: World, write_journal: Journal) -> None:
    world.pod(**ASKS)
    world.sandbox(write_journal())
    await world.look()
    for mark in ("", "SomethingElse"):
        world.pod(mark="Attached", **ASKS, **{statuses.ANNOTATION: world.written[0]})
        world.pod(mark=mark, **ASKS, **{statuses.ANNOTATION: world.written[0]})
        await world.look()
        assert world.client.patches[-1][2]["metadata"] == {"uid": "uid-1"}
    assert world.conditions == [("True", "Attached")] * 3


async def test_a_condition_that_nobody_reads_any_more_goes(world: World, write_journal: Journal) -> None:
    world.sandbox(write_journal())
    world.pod(mark="Attached")
    await world.look()
    assert world.conditions == [("", "delete")]


async def test_a_new_pod_is_not_kept_waiting_by_a_hundred_slow_repairs(world: World, write_journal: Journal) -> None:
    names_of_all = [f"web-{number}" for number in range(100)]
    for name in names_of_all:
        world.pod(name, uid=name)
        world.sandbox(write_journal(pod=f"default/{name}", uid=name), name)
    await world.look(10)
    assert len(world.written) == 100
    for name in names_of_all:
        world.annotate(world.written[0], name)
    world.client.seconds = 30.0
    for name in names_of_all:
        world.annotate(None, name)
    await world.look(1)
    world.client.seconds = 0.0
    world.pod("new", uid="new")
    world.sandbox(write_journal(pod="default/new", uid="new"), "new")
    await world.look(0.01)
    assert [name for _, name, _ in world.client.patches[100:]] == ["default/new"]
    await world.look(60)
    repaired = [name for _, name, _ in world.client.patches[101:]]
    assert sorted(repaired) == sorted(f"default/{name}" for name in names_of_all)


async def test_a_change_that_the_watch_is_slow_to_show_is_not_written_twice(
    world: World, write_journal: Journal
) -> None:
    world.pod(**ASKS)
    world.sandbox(write_journal())
    await world.look()
    for _ in range(3):
        world.status.sandbox_changed("default/web")
        await world.look()
    assert len(world.written) == 1
