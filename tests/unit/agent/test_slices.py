"""The AttachmentSlices of a node hold what its journals say, whatever happens to them or to the API server."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from typing import TYPE_CHECKING, Any

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.agent import loops, sandboxes, slices
from mooring.installing import attachmentslices
from mooring.kube import errors
from tests.unit.agent.conftest import journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Journal = Callable[..., bytes]

pytestmark = pytest.mark.looptime

Pods = dict[str, list[str]]
NODE = {"metadata": {"name": "n1", "uid": "node-uid"}}


class LostAnswer(errors.Unreachable):
    """The request was carried out, and nobody heard of it."""


class FakeApi:
    """An API server that keeps AttachmentSlices and one Node; `failures` meet the calls, one each."""

    def __init__(self) -> None:
        self.node: dict[str, Any] | None = copy.deepcopy(NODE)
        self.slices: dict[str, dict[str, Any]] = {}
        self.failures: list[errors.ApiError | None] = []
        self.calls: list[str] = []
        self.writes: list[tuple[str, str, float]] = []
        self._version = 0

    async def list(self, resource: Any, *, field_selector: str) -> dict[str, Any]:
        await self._called("list")
        node = field_selector.removeprefix("nodeName=")
        return {"items": [copy.deepcopy(each) for each in self.slices.values() if each["nodeName"] == node]}

    async def get(self, resource: Any, name: str) -> dict[str, Any]:
        await self._called("get")
        if self.node is None:
            raise errors.NotFound(status=404, message="no node")
        return self.node

    async def create(self, resource: Any, body: dict[str, Any], *, field_manager: str) -> dict[str, Any]:
        name = body["metadata"]["name"]
        lost = await self._called("create")
        if name in self.slices:
            raise errors.Conflict(status=409, reason="AlreadyExists", message=name)
        return self._answer(lost, self._put("create", name, copy.deepcopy(body)))

    async def patch(self, resource: Any, name: str, patch: dict[str, Any], *, field_manager: str) -> dict[str, Any]:
        lost = await self._called("patch")
        found = copy.deepcopy(self._of(name))
        metadata = dict(patch["metadata"])
        if metadata.pop("resourceVersion") != found["metadata"]["resourceVersion"]:
            raise errors.Conflict(status=409, message="changed meanwhile")
        found["metadata"].setdefault("labels", {}).update(metadata.pop("labels", {}))
        found["metadata"] |= metadata
        found["attachments"] = patch["attachments"]
        return self._answer(lost, self._put("patch", name, found))

    async def delete(self, resource: Any, name: str, *, uid: str) -> None:
        lost = await self._called("delete")
        if self._of(name)["metadata"]["uid"] != uid:
            raise errors.Conflict(status=409, message="another uid")
        del self.slices[name]
        self._wrote("delete", name)
        self._answer(lost, {})

    def edit(self, name: str, *, metadata: dict[str, Any] | None = None, **more: Any) -> None:
        """Change or make a slice as somebody else would."""
        found = copy.deepcopy(self.slices.get(name) or {"metadata": {"name": name}, "nodeName": "n1"})
        found["metadata"] |= metadata or {}
        self._put("", name, {**found, **more})

    def pods(self) -> Pods:
        """Return the pods in each slice."""
        return {
            name: [each["pod"]["name"] for each in item["attachments"]] for name, item in sorted(self.slices.items())
        }

    def _of(self, name: str) -> dict[str, Any]:
        if name not in self.slices:
            raise errors.NotFound(status=404, message=name)
        return self.slices[name]

    def _put(self, verb: str, name: str, item: dict[str, Any]) -> dict[str, Any]:
        assert len(item.get("attachments") or []) <= 100
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        item["metadata"].setdefault("uid", f"uid-{self._version}")
        self.slices[name] = item
        if verb:
            self._wrote(verb, name)
        return copy.deepcopy(item)

    def _wrote(self, verb: str, name: str) -> None:
        self.writes.append((verb, name, asyncio.get_running_loop().time()))

    async def _called(self, verb: str) -> LostAnswer | None:
        self.calls.append(verb)
        await asyncio.sleep(0.001)
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or (isinstance(failure, LostAnswer) and verb in ("create", "patch", "delete")):
            return failure
        raise failure

    def _answer(self, lost: LostAnswer | None, item: dict[str, Any]) -> dict[str, Any]:
        if lost is not None:
            raise lost
        return item


class World:
    """The journals of a node in a folder, and the reconciler on them."""

    def __init__(self, api: FakeApi, folder: Path, write_journal: Journal) -> None:
        self.api = api
        self.folder = folder
        self._journal = write_journal
        self.begin()

    def begin(self) -> None:
        """Begin as an agent that was just started."""
        self.sandboxes = sandboxes.Sandboxes(on_change=lambda pod: self.slices.changed())
        self.slices = slices.Slices(
            self.api,  # type: ignore[arg-type]
            node="n1",
            sandboxes=self.sandboxes,
            on_health=lambda: None,
        )

    def attach(self, *pods: str, networks: tuple[str, ...] = ("default/storage",)) -> None:
        for pod in pods:
            path = self.folder / f"{pod}@eth0.jsonl"
            path.write_bytes(self._journal(pod=f"default/{pod}", networks=networks))
            self.sandboxes.take(sandboxes.read([path]))

    def detach(self, *pods: str) -> None:
        for pod in pods:
            path = self.folder / f"{pod}@eth0.jsonl"
            path.unlink()
            self.sandboxes.take(sandboxes.read([path]))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.sandboxes.scan(self.folder)
        task = asyncio.create_task(self.slices.run())
        try:
            await asyncio.sleep(5)
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(call: Any, *arguments: Any) -> Any:
        return call(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


@pytest.fixture
def world(tmp_path: Path, write_journal: Journal) -> World:
    return World(FakeApi(), tmp_path, write_journal)


async def test_a_slice_is_of_its_node_and_says_who_holds_what(world: World) -> None:
    world.attach("web")
    async with world.running():
        [item] = world.api.slices.values()
    assert item["metadata"]["name"] == "n1-1"
    assert item["metadata"]["labels"] == {
        "app.kubernetes.io/name": "mooring",
        "app.kubernetes.io/managed-by": "mooring-agent",
        "mooring.dev/node": "n1",
    }
    assert item["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid"}
    ]
    assert item["nodeName"] == "n1"
    assert [(each["network"], each["interface"]) for each in item["attachments"]] == [
        ("pod-network", "eth0"),
        ("default/storage", "net1"),
    ]
    attachmentslices.AttachmentSlice.model_validate({key: item[key] for key in ("nodeName", "attachments")})


async def test_a_node_that_holds_nothing_writes_nothing_and_asks_once_in_ten_minutes(world: World) -> None:
    world.attach("plain", networks=())
    async with world.running():
        await asyncio.sleep(3590)
    assert world.api.writes == []
    assert set(world.api.calls) == {"list"}
    assert 6 <= len(world.api.calls) <= 8


async def test_a_burst_of_pods_is_one_write_a_second_later(world: World) -> None:
    async with world.running():
        began = asyncio.get_running_loop().time()
        for number in range(20):
            world.attach(f"p{number}")
            await asyncio.sleep(0.04)
        await asyncio.sleep(1)
    [(verb, name, at)] = world.api.writes
    assert (verb, name) == ("create", "n1-1")
    assert 1 <= at - began <= 1.1


async def test_pods_that_come_and_go_without_an_end_are_written_every_second(world: World) -> None:
    async with world.running():
        for number in range(100):
            world.attach(f"p{number}")
            await asyncio.sleep(0.1)
            world.detach(f"p{number}")
        world.attach("last")
        await asyncio.sleep(2)
        assert world.api.pods() == {"n1-1": ["last", "last"]}
    assert 5 <= len(world.api.writes) <= 12


async def test_a_sandbox_of_which_nothing_changed_is_not_written_again(world: World) -> None:
    world.attach("web")
    async with world.running():
        world.attach("web")
        world.slices.changed()
        await asyncio.sleep(700)
    assert [verb for verb, _, _ in world.api.writes] == ["create"]


async def test_more_than_a_hundred_are_several_slices_and_the_last_pod_takes_the_last_slice_with_it(
    world: World,
) -> None:
    pods = [f"p{number:03}" for number in range(120)]
    world.attach(*pods)
    async with world.running():
        assert {name: len(held) for name, held in world.api.pods().items()} == {"n1-1": 100, "n1-2": 100, "n1-3": 40}
        world.api.writes.clear()
        world.detach(pods[0])
        await asyncio.sleep(2)
        assert [(verb, name) for verb, name, _ in world.api.writes] == [("patch", "n1-1")]
        world.detach(*pods[1:])
        await asyncio.sleep(2)
        assert world.api.slices == {}


async def test_an_agent_that_just_started_knows_from_the_journals_alone_and_writes_only_what_differs(
    world: World,
) -> None:
    world.attach("stays", "goes")
    async with world.running():
        pass
    world.detach("goes")
    world.attach("comes")
    world.api.writes.clear()
    world.begin()
    async with world.running():
        assert sorted(set(world.api.pods()["n1-1"])) == ["comes", "stays"]
    assert [verb for verb, _, _ in world.api.writes] == ["patch"]
    world.api.writes.clear()
    world.begin()
    async with world.running():
        pass
    assert world.api.writes == []


async def test_before_the_journals_were_read_nothing_is_taken_for_stale(world: World) -> None:
    world.attach("web")
    async with world.running():
        pass
    world.begin()
    task = asyncio.create_task(world.slices.run())
    await asyncio.sleep(60)
    assert world.api.pods() == {"n1-1": ["web", "web"]}
    assert world.slices.health.settled, "nobody waits for this"
    task.cancel()


async def test_stale_slices_of_the_node_go_and_those_of_other_nodes_stay(world: World) -> None:
    world.api.edit("n1-7", attachments=[{"pod": {"namespace": "default", "name": "old"}}])
    world.api.edit("stray", attachments=[])
    world.api.edit("n2-1", nodeName="n2", attachments=[])
    async with world.running():
        assert set(world.api.slices) == {"n2-1"}
        world.attach("web")
        await asyncio.sleep(2)
        assert set(world.api.slices) == {"n1-1", "n2-1"}


async def test_a_name_that_somebody_else_s_slice_has_is_passed_over(world: World) -> None:
    world.api.edit("n1-1", nodeName="n2", attachments=[])
    world.attach("web")
    async with world.running():
        assert set(world.api.slices) == {"n1-1", "n1-2"}
    assert world.slices.health.warning == ""


@pytest.mark.parametrize(
    "edit",
    [
        {"attachments": []},
        {"attachments": None},
        {"metadata": {"labels": {"theirs": "1"}}},
        {"metadata": {"ownerReferences": []}},
    ],
)
async def test_an_edit_by_hand_is_put_right_within_ten_minutes(world: World, edit: dict[str, Any]) -> None:
    world.attach("web")
    async with world.running():
        before = copy.deepcopy(world.api.slices["n1-1"])
        world.api.edit("n1-1", **edit)
        await asyncio.sleep(601)
        after = world.api.slices["n1-1"]
        assert after["attachments"] == before["attachments"]
        assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
        assert before["metadata"]["labels"].items() <= after["metadata"]["labels"].items()


async def test_an_edit_by_hand_is_put_right_with_the_next_pod_and_is_no_reason_to_complain(world: World) -> None:
    world.attach("web")
    async with world.running():
        world.api.edit("n1-1", attachments=[])
        world.attach("more")
        await asyncio.sleep(3)
        assert sorted(world.api.pods()["n1-1"]) == ["more", "more", "web", "web"]
        del world.api.slices["n1-1"]
        world.attach("another")
        await asyncio.sleep(3)
        assert len(world.api.pods()["n1-1"]) == 6
        assert world.slices.health.warning == ""


async def test_under_a_node_that_was_made_anew_the_slices_are_its_own(world: World) -> None:
    world.attach("web")
    async with world.running():
        assert world.api.node is not None
        world.api.node["metadata"]["uid"] = "another"
        world.api.slices.clear()  # the garbage collector's work
        await asyncio.sleep(601)
        assert world.api.slices["n1-1"]["metadata"]["ownerReferences"][0]["uid"] == "another"


async def test_without_an_api_server_it_backs_off_and_catches_up_by_itself(world: World) -> None:
    world.attach("before")
    async with world.running():
        world.api.failures = [errors.Unreachable(message="refused", request="x")] * 9
        calls = len(world.api.calls)
        for number in range(100):
            world.attach(f"p{number}")
            await asyncio.sleep(0.5)
        assert len(world.api.calls) - calls < 10, "what wakes it does not make it try"
        assert "refused" in world.slices.health.warning
        assert world.slices.health.problem == "", "pods get their networks all the same"
        await asyncio.sleep(120)
        assert sum(len(held) for held in world.api.pods().values()) == 202
        assert world.slices.health.warning == ""


async def test_a_fault_of_ours_does_not_take_the_node_s_readiness(world: World) -> None:
    world.api.failures = [KeyError("items")]  # type: ignore[list-item]
    async with world.running():
        await asyncio.sleep(10)
        assert world.slices.health == loops.Health(settled=True, warning="a fault in the agent: KeyError: 'items'")


async def test_an_api_server_that_asks_to_wait_is_left_alone_for_that_long(world: World) -> None:
    async with world.running():
        world.api.failures = [errors.TooManyRequests(status=429, message="busy", retry_after=40)]
        world.attach("web")
        await asyncio.sleep(2)
        calls = len(world.api.calls)
        await asyncio.sleep(38)
        assert len(world.api.calls) == calls
        await asyncio.sleep(2)
        assert world.api.pods() == {"n1-1": ["web", "web"]}


async def test_a_slice_that_the_api_server_refuses_keeps_no_other_from_being_written(world: World) -> None:
    pods = [f"p{number:03}" for number in range(60)]
    world.attach(*pods)
    async with world.running():
        world.detach(pods[0], pods[59])  # one in each of two slices
        world.api.failures = [errors.Invalid(status=422, message="spec of nothing")]
        await asyncio.sleep(1.2)
        assert [name for _, name, _ in world.api.writes] == ["n1-1", "n1-2", "n1-2"]
        assert "spec of nothing" in world.slices.health.warning
        await asyncio.sleep(30)
        assert sum(len(held) for held in world.api.pods().values()) == 116
        assert world.slices.health.warning == ""


async def test_of_more_than_a_node_can_have_the_newest_are_told_and_that_the_others_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "_MOST_SLICES", 1)
    for number in range(60):
        path = world.folder / f"p{number:02}@eth0.jsonl"
        stamp = f"2026-03-01T12:00:{number:02}.000001Z"
        path.write_bytes(journal(pod=f"default/p{number:02}", time=stamp))
    async with world.running():
        assert set(world.api.pods()["n1-1"]) == {f"p{number:02}" for number in range(10, 60)}
        assert list(world.api.slices) == ["n1-1"]
        assert "leave out 20 older attachments" in world.slices.health.warning
        world.detach(*(f"p{number:02}" for number in range(50, 60)))
        await asyncio.sleep(2)
        assert set(world.api.pods()["n1-1"]) == {f"p{number:02}" for number in range(50)}
        assert world.slices.health.warning == ""


FAILURES = st.lists(
    st.sampled_from(
        [
            None,
            errors.Unreachable(message="refused", request="x"),
            LostAnswer(message="timed out", request="x"),
            errors.Conflict(status=409, message="meanwhile"),
            errors.NotFound(status=404, message="gone"),
            errors.ApiError(status=500, message="etcd"),
        ]
    ),
    max_size=12,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["attach", "detach", "edit", "remove", "restart", "wait"]),
        st.integers(0, 8),
        FAILURES,
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(steps=STEPS)
def test_whatever_happens_the_slices_come_to_hold_exactly_what_the_journals_say(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, list[errors.ApiError | None]]]
) -> None:
    async def play() -> None:
        api = FakeApi()
        # Another node's, some of them by names that ours would have next.
        for name in ("n2-1", "n1-4", "n1-x"):
            api.edit(name, nodeName="n2", attachments=[{"pod": {"name": "theirs"}}])
        theirs = copy.deepcopy(api.slices)
        world = World(api, tmp_path_factory.mktemp("journals"), journal)
        held: set[str] = set()
        most = 0  # how many writes there may be: each slice that there is, and a new one, for each change
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(world.running())
            for step, number, failures in steps:
                api.failures += failures
                pods = {f"p{number}-{each}" for each in range(number * 9)}
                match step:
                    case "attach":
                        world.attach(*pods)
                        held |= pods
                    case "detach":
                        world.detach(*(pods & held))
                        held -= pods
                    case "edit" if f"n1-{number + 1}" not in theirs:
                        api.edit(f"n1-{number + 1}", attachments=[], metadata={"labels": {}})
                    case "remove" if f"n1-{number + 1}" not in theirs:
                        api.slices.pop(f"n1-{number + 1}", None)
                    case "restart":
                        await stack.aclose()
                        world.begin()
                        await stack.enter_async_context(world.running())
                most += 2 * len(held) // attachmentslices.MOST + len(api.slices) - len(theirs) + 2
                await asyncio.sleep(number * 0.3)
            api.failures.clear()
            await asyncio.sleep(700)
            expected = sorted(entry for sandbox in world.sandboxes for entry in sandbox.held)
            ours = {name: item for name, item in api.slices.items() if name not in theirs}
            assert {name: api.slices[name] for name in theirs} == theirs
            found = [json.dumps(each, sort_keys=True, separators=(",", ":")) for each in _entries(ours)]
            assert sorted(found) == expected
            assert len(expected) == 2 * len(held)
            assert all(item["metadata"]["ownerReferences"] for item in ours.values())
            writes = len(api.writes)
            assert writes <= most
            await asyncio.sleep(700)
            assert len(api.writes) == writes

    loop = looptime.new_event_loop()
    with contextlib.closing(loop):
        loop.run_until_complete(play())


def _entries(slices: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for item in slices.values() for each in item["attachments"]]
