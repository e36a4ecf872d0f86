"""Whatever comes in whatever order, in the end a pod's annotation is what its journal tells, at a bounded price."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import re
import tempfile
from pathlib import Path
from typing import Any

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mooring.agent import pods, sandboxes, status
from mooring.installing import podconditions
from mooring.kube import errors
from mooring.networks import statuses
from tests.unit.agent.conftest import FakeInformer, journal

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
NAMES = st.sampled_from(["web", "db"])
MOSTLY = st.sampled_from([True, True, True, False])
FAULTS = st.sampled_from(["unreachable", "conflict", "forbidden", "busy", "lost answer", "slow"])
ASKS = {"k8s.v1.cni.cncf.io/networks": "storage"}
GATE = {"readinessGates": [{"conditionType": "mooring.dev/NetworksAttached"}]}
WRITES_PER_CHANGE = 1


class Server:
    """Pods as the API server has them; each change goes to the agent's informer, a little later and in order."""

    def __init__(self, informer: FakeInformer, changed: Any) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self.patches = 0
        self.told: collections.deque[tuple[str, dict[str, Any] | None]] = collections.deque()
        self.informer = informer
        self.changed = changed

    def put(self, key: str, item: dict[str, Any] | None) -> None:
        """Change a pod, and have the watch tell of it."""
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = item
        kept = None if item is None else pods.keep(item)
        self.told.append((key, kept))
        asyncio.get_running_loop().call_later(0.05, self._tell)

    def _tell(self) -> None:
        # Timers of the same moment come in any order, changes do not.
        key, new = self.told.popleft()
        old = self.informer.store.get(key)
        if new is None:
            self.informer.store.pop(key, None)
        else:
            self.informer.store[key] = new
        self.changed(key, old, new)

    async def patch(self, resource: Any, name: str, patch: dict[str, Any], **more: Any) -> dict[str, Any]:
        self.patches += 1
        fault = self.faults.pop() if self.faults else ""
        await asyncio.sleep(30.0 if fault == "slow" else 0.01)
        match fault:
            case "unreachable":
                raise errors.Unreachable(message="away")
            case "conflict":
                raise errors.Conflict(status=409, message="changed")
            case "forbidden":
                raise errors.Forbidden(status=403, message="no")
            case "busy":
                raise errors.TooManyRequests(status=429, message="busy", retry_after=5.0)
        key = f"{more['namespace']}/{name}"
        item = self.items.get(key)
        if item is None:
            raise errors.NotFound(status=404, message="gone")
        if item["metadata"]["uid"] != patch["metadata"]["uid"]:
            causes = [{"field": "metadata.uid"}]
            raise errors.Invalid(status=422, message="uid", details={"causes": causes})
        annotations = {**item["metadata"]["annotations"], **patch["metadata"].get("annotations", {})}
        conditions = item["status"].get("conditions", [])
        for each in patch.get("status", {}).get("conditions", []):
            conditions = [] if "$patch" in each else [each]
        changed = {
            **item,
            "metadata": {**item["metadata"], "annotations": annotations},
            "status": {**item["status"], "conditions": conditions},
        }
        self.put(key, changed)
        if fault == "lost answer":
            raise errors.Unreachable(message="the answer was lost")
        return changed


class Statuses(RuleBasedStateMachine):
    """Pods and journals come, change and go, and the API server fails as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner(loop_factory=looptime.new_event_loop)
        self.journals: dict[str, Path] = {}
        self.changes = 0
        self.faults = 0
        self.number = 0
        self.server: Server = None  # type: ignore[assignment]  # made in the event loop
        self.status: status.Status

    @initialize()
    def begin(self) -> None:
        self.runner.run(self._begin())
        for name in ("web", "db"):
            self.pod_comes_or_is_another_one(name, asks=name == "web", gated=False)
            self.sandbox_comes(name, own=True, complete=True, networks=1)

    async def _begin(self) -> None:
        informer = FakeInformer()
        self.sandboxes = sandboxes.Sandboxes(on_change=lambda pod: self.status.sandbox_changed(pod))
        self.server = Server(informer, lambda *change: self.status.pod_changed(*change))
        self.informer = informer
        self.status = self._made()
        informer.synced.set()
        self.sandboxes.scanned.set()
        self.task = asyncio.get_running_loop().create_task(self.status.run())

    def _made(self) -> status.Status:
        async def report(pod: dict[str, Any], reason: str, note: str) -> None:
            raise AssertionError("nothing here is too long")

        made = status.Status(
            self.server,  # type: ignore[arg-type]
            boot="boot-1",
            sandboxes=self.sandboxes,
            report_on_pod=report,
            on_attached=lambda pod, sandbox: None,
            now=lambda: NOW,
            on_health=lambda: None,
        )
        made.follow(self.informer)  # type: ignore[arg-type]
        return made

    def do(self, change: Any) -> None:
        """Make a change in the event loop, and let a moment pass."""

        async def act() -> None:
            change()
            await asyncio.sleep(0.02)

        self.changes += 1
        self.runner.run(act())

    @rule(name=NAMES, asks=st.booleans(), gated=st.booleans())
    def pod_comes_or_is_another_one(self, name: str, asks: bool, gated: bool) -> None:
        self.number += 1
        metadata = {"name": name, "namespace": "default", "uid": f"uid-{self.number}"}
        item = {
            "metadata": {**metadata, "annotations": dict(ASKS) if asks else {}},
            "spec": GATE if gated else {},
            "status": {"phase": "Running"},
        }
        self.do(lambda: self.server.put(f"default/{name}", item))

    @precondition(lambda self: self.number % 4 == 0)
    @rule(name=NAMES)
    def pod_goes(self, name: str) -> None:
        self.do(lambda: self.server.put(f"default/{name}", None))

    @rule(name=NAMES, text=st.sampled_from([None, "[]", "no JSON"]))
    def somebody_changes_the_status(self, name: str, text: str | None) -> None:
        item = self.server.items.get(f"default/{name}")
        if item is not None:
            annotations = {k: v for k, v in item["metadata"]["annotations"].items() if k != statuses.ANNOTATION}
            annotations |= {statuses.ANNOTATION: text} if text is not None else {}
            changed = {**item, "metadata": {**item["metadata"], "annotations": annotations}}
            self.do(lambda: self.server.put(f"default/{name}", changed))

    @rule(name=NAMES, mark=st.sampled_from([None, ("False", "Nonsense"), ("True", "NoneAsked")]))
    def somebody_changes_the_condition(self, name: str, mark: tuple[str, str] | None) -> None:
        item = self.server.items.get(f"default/{name}")
        if item is not None:
            conditions = [{"type": podconditions.CONDITION, "status": mark[0], "reason": mark[1]}] if mark else []
            changed = {**item, "status": {"phase": "Running", "conditions": conditions}}
            self.do(lambda: self.server.put(f"default/{name}", changed))

    @rule(name=NAMES, own=MOSTLY, complete=MOSTLY, networks=st.integers(min_value=0, max_value=2))
    def sandbox_comes(self, name: str, own: bool, complete: bool, networks: int) -> None:
        self.number += 1
        item = self.server.items.get(f"default/{name}")
        uid = item["metadata"]["uid"] if item and own else "uid-of-nobody"
        content = journal(
            pod=f"default/{name}",
            uid=uid,
            time=f"2026-03-01T12:00:00.{self.number:06}Z",
            networks=tuple(f"default/of-{uid}.{each}" for each in range(networks)),
            complete=complete or not networks,
        )
        path = Path(self.folder.name) / f"c{self.number}@eth0.jsonl"
        path.write_bytes(content)
        self.journals[path.name] = path
        self.do(lambda: self.sandboxes.take(sandboxes.read([path])))

    @rule(data=st.data())
    def sandbox_goes(self, data: st.DataObject) -> None:
        if self.journals:
            path = self.journals.pop(data.draw(st.sampled_from(sorted(self.journals))))
            path.unlink()
            self.do(lambda: self.sandboxes.take(sandboxes.read([path])))

    @rule(faults=st.lists(FAULTS, min_size=1, max_size=4))
    def api_server_fails(self, faults: list[str]) -> None:
        self.faults += len(faults)
        self.server.faults = [*self.server.faults, *faults]

    @rule(seconds=st.sampled_from([0.1, 1.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @rule()
    def agent_restarts(self) -> None:
        async def restart() -> None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
            self.status = self._made()
            self.task = asyncio.get_running_loop().create_task(self.status.run())

        self.changes += 2  # both pods are looked at once more
        self.runner.run(restart())

    @invariant()
    def no_pod_has_the_status_of_another(self) -> None:
        for item in self.server.items.values() if self.server else ():
            text = item["metadata"]["annotations"].get(statuses.ANNOTATION) or ""
            told = set(re.findall(r"default/of-([^.]*)\.\d", text))
            assert told <= {item["metadata"]["uid"]}

    def teardown(self) -> None:
        try:
            if self.server:
                self.runner.run(self._end())
        finally:
            self.runner.close()
            self.folder.cleanup()

    async def _end(self) -> None:
        self.server.faults.clear()
        # Longer than any pause and any fight is remembered; shorter than until all are looked at anew.
        await asyncio.sleep(150)
        for key, item in self.server.items.items():
            kept = pods.keep(item)
            sandbox = self.status.newest(key, kept)
            if sandbox is None or not sandbox.status:
                continue
            assert statuses.same(kept["metadata"]["annotations"].get(statuses.ANNOTATION), sandbox.status)
            wanted = ("True", "Attached" if kept["asks"] else "NoneAsked") if kept["asks"] or kept["gated"] else None
            assert kept["mark"] == wanted
        written = self.server.patches
        assert written <= WRITES_PER_CHANGE * self.changes + self.faults, "so many writes are no correction"
        assert self.status.health.settled
        assert not self.status.health.warning
        await asyncio.sleep(self.status.period * 2)
        assert self.server.patches == written, "what is right is left alone"
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


Statuses.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestStatuses = Statuses.TestCase
