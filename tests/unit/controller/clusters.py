"""A cluster in memory for random roll-outs: Nodes, NodeStates and the Installation's status, as they are on the wire.

Owns what kubelets, agents and the API server would do. Refuses to keep anything of an operator's: each pass begins with
the objects alone.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import json
from typing import Any

from mooring.controller import reading
from mooring.installing import nodestates, rollouts
from mooring.installing.installations import RolloutStatus

DEADLINE = 600
SOAK = 60
BEGIN = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclasses.dataclass
class Machine:
    """What really is on a node."""

    good_since: datetime.datetime | None = None
    sick: bool = False
    networkless: bool = False
    """Whether the runtime says that its network is not ready, which its kubelet repeats."""
    needs_us: bool = False
    """Whether there is no conf on the node until ours is."""


class Cluster:
    """Objects by name, the machines behind them, and a clock. `bad`: what a revision does to a node."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.nodes: dict[str, dict[str, Any]] = {}
        self.states: dict[str, dict[str, Any]] = {}
        self.machines: dict[str, Machine] = {}
        self.status: dict[str, Any] = {}
        self.generation = 1
        self.target = "r-good-0"
        self.paused = False
        self.max_unavailable: int | str = 2
        self.canaries = 1

    def join(self, name: str) -> None:
        self.machines[name] = Machine()
        self.nodes[name] = {"metadata": {"name": name, "uid": f"{name}-{stamp(self.now)}", "annotations": {}}}
        self.wake(name, awake=True)

    def leave(self, name: str) -> None:
        for table in (self.nodes, self.states, self.machines):
            table.pop(name, None)

    def wake(self, name: str, *, awake: bool) -> None:
        """The kubelet speaks from now on, or is silent."""
        status = "Unknown"
        if awake:
            machine, revision = self.machines[name], self._applied(name)
            bad = machine.networkless or "networkless" in revision or (machine.needs_us and not revision)
            status = "False" if bad else "True"
        before = self.nodes[name].get("status", {"conditions": [{}]})["conditions"][0]
        if before.get("status") != status:
            ready = {"type": "Ready", "status": status, "lastTransitionTime": stamp(self.now)}
            self.nodes[name]["status"] = {"conditions": [ready]}

    def awake(self, name: str) -> bool:
        return bool(self.nodes[name]["status"]["conditions"][0]["status"] != "Unknown")

    def _ready(self, name: str) -> bool:
        return bool(self.nodes[name]["status"]["conditions"][0]["status"] == "True")

    def _applied(self, name: str) -> str:
        return str(((self.states.get(name) or {}).get("status") or {}).get("revision") or "")

    def hold(self, name: str, *, held: bool) -> None:
        self.nodes[name]["metadata"]["annotations"] = {reading.HOLD: "true"} if held else {}

    def held(self, name: str) -> bool:
        return reading.HOLD in self.nodes[name]["metadata"]["annotations"]

    def agent(self, name: str) -> None:
        """The agent of a node does all that it can, and says so."""
        state = self.states.get(name)
        if state is None or not self.awake(name):
            return
        revision = state["spec"]["revision"]
        machine = self.machines[name]
        before = state.get("status") or {}
        ready = bool(revision) and "broken" not in revision and not machine.sick
        good = before.get("conditions", [{}])[0].get("status") == "True" and before.get("revision") == revision
        if not ready or machine.networkless or "networkless" in revision:
            machine.good_since = None
        elif not good or machine.good_since is None:
            machine.good_since = self.now
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "reason": "AsWanted" if ready else "ConfNotWritten",
            "message": "" if ready else "no such network",
            "lastTransitionTime": stamp(self.now),
        }
        for former in before.get("conditions", []):
            if former["status"] == condition["status"]:
                condition["lastTransitionTime"] = former["lastTransitionTime"]
        state["status"] = {
            "revision": revision,
            "observedGeneration": state["metadata"]["generation"],
            "failedAdds": 9 if "failing" in revision else 0,
            "conditions": [condition],
        }
        self.wake(name, awake=True)

    def observed(self) -> list[Any]:
        wire = json.loads(json.dumps([self.nodes, self.states]))
        return reading.nodes(wire[0], wire[1], None, now=self.now)

    def operator(self, *, dies_after: int | None = None) -> rollouts.Decision:
        """One pass of an operator that knows nothing but the objects; it may die after so many writes."""
        persisted = RolloutStatus.model_validate(json.loads(json.dumps(self.status)))
        decision = rollouts.decide(
            self.observed(),
            persisted,
            target=self.target,
            settings=rollouts.Settings(
                max_unavailable=self.max_unavailable,
                canaries=self.canaries,
                soak=datetime.timedelta(seconds=SOAK),
                deadline=datetime.timedelta(seconds=DEADLINE),
                paused=self.paused,
                generation=self.generation,
            ),
            now=self.now,
        )
        if dies_after == 0:
            return decision
        self.status = decision.status.to_wire()
        writes = 1
        for name, told in decision.told.items():
            if dies_after is not None and writes >= dies_after:
                break
            writes += self._write(nodestates.desired(self.nodes[name], told))
        return decision

    def _write(self, desired: dict[str, Any]) -> bool:
        name = desired["metadata"]["name"]
        state = self.states.get(name)
        if state is not None and state["spec"] == desired["spec"]:
            return False
        made = copy.deepcopy(desired)
        made["metadata"]["generation"] = (state["metadata"]["generation"] if state else 0) + 1
        made["status"] = state.get("status", {}) if state else {}
        self.states[name] = json.loads(json.dumps(made))
        return True

    def pass_time(self, seconds: int) -> None:
        self.now += datetime.timedelta(seconds=seconds)

    def want(self, revision: str) -> None:
        self.target = revision
        self.generation += 1

    def told(self, name: str) -> str:
        return str((self.states.get(name) or {"spec": {"revision": ""}})["spec"]["revision"])

    def on_its_way(self, name: str) -> bool:
        """Whether a node is being changed, by its objects alone."""
        state = self.states.get(name)
        if state is None or not state["spec"]["revision"] or not self.awake(name) or self.held(name):
            return False
        status = state.get("status") or {}
        heard = status.get("observedGeneration") == state["metadata"]["generation"]
        ready = status.get("conditions", [{}])[0].get("status") == "True"
        if heard and ready and self._ready(name) and status.get("revision") == state["spec"]["revision"]:
            return False
        if "before" not in state["spec"]:
            return False  # it joins
        return self.now - datetime.datetime.fromisoformat(state["spec"]["assignedAt"]) < datetime.timedelta(
            seconds=DEADLINE
        )
