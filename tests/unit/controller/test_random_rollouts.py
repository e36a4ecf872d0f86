"""Roll-outs over random clusters: nodes that fail, leave, join and flap, changing minds, and operators that die."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mooring.installing import rollouts
from tests.unit.controller.clusters import SOAK, Cluster

if TYPE_CHECKING:
    from mooring.installing.standings import Told

NAMES = [f"n{number}" for number in range(12)]
REVISIONS = st.sampled_from(["r-good-0", "r-good-1", "r-good-2", "r-broken-1", "r-networkless-1", "r-failing-1"])


class RandomRollouts(RuleBasedStateMachine):
    """What must never happen, whatever the cluster does."""

    @initialize(
        count=st.integers(1, 8), canaries=st.integers(1, 3), limit=st.sampled_from([0, 1, 2, 3, "10%", "30%", "100%"])
    )
    def begin(self, count: int, canaries: int, limit: int | str) -> None:
        self.cluster = Cluster()
        self.cluster.canaries, self.cluster.max_unavailable = canaries, limit
        # By revision: who was a canary of it at any time.
        self.canaries: dict[str, set[str]] = {}
        for name in NAMES[:count]:
            self.cluster.join(name)

    @rule(dies_after=st.none() | st.integers(0, 6))
    def operator_passes(self, dies_after: int | None) -> None:
        cluster = self.cluster
        before = {name: cluster.told(name) for name in cluster.nodes}
        on_the_way = {name for name in cluster.nodes if cluster.on_its_way(name)}
        stage = cluster.status.get("stage") if cluster.status.get("revision") == cluster.target else None
        former = {canary["node"] for canary in cluster.status.get("canaries", ())} if stage == "Canaries" else set()
        decision = cluster.operator(dies_after=dies_after)
        now_canaries = {canary.node for canary in decision.status.canaries}
        if decision.status.stage == "Canaries":
            there = {name for name in former & cluster.nodes.keys() if cluster.awake(name) and not cluster.held(name)}
            assert there <= now_canaries, "a canary whose kubelet lives was replaced"
        self.canaries.setdefault(cluster.target, set()).update(now_canaries)
        changed = {name: told for name, told in decision.told.items() if told.revision != before.get(name, "")}
        self._check_changes(changed, before, decision)
        started = {name for name, told in changed.items() if told.before is not None} - on_the_way
        allowed = max(1, rollouts.limit(cluster.max_unavailable, total=len(cluster.nodes)))
        assert not started or len(started) + len(on_the_way) <= allowed, f"{started} follow {on_the_way}"
        if decision.status.stage == "Rest" and stage != "Rest" and decision.status.last_good:
            for name in now_canaries:
                since = cluster.machines[name].good_since
                assert since is not None
                assert cluster.now - since >= datetime.timedelta(seconds=SOAK), "followed before the soak was over"

    def _check_changes(self, changed: dict[str, Told], before: dict[str, str], decision: rollouts.Decision) -> None:
        cluster = self.cluster
        for name, told in changed.items():
            assert not cluster.held(name), "a held node was changed"
            if told.before is None:
                assert told.revision == decision.status.last_good, "a new node joins the last good revision"
                assert before[name] == ""
                continue
            assert told.revision == cluster.target
            assert cluster.awake(name), "a node that is away was changed"
            assert not decision.status.halted, "it halted, and yet changed a node"
            assert not cluster.paused
            if decision.status.stage == "Canaries":
                assert name in {canary.node for canary in decision.status.canaries}, "beyond the canaries"

    @rule(name=st.sampled_from(NAMES))
    def agent_works(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.agent(name)

    @rule()
    def all_agents_work(self) -> None:
        for name in self.cluster.nodes:
            self.cluster.agent(name)

    @rule(seconds=st.sampled_from([1, 10, 61, 300, 601]))
    def time_passes(self, seconds: int) -> None:
        self.cluster.pass_time(seconds)

    @rule(name=st.sampled_from(NAMES))
    def node_goes_away_or_comes_back(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.wake(name, awake=not self.cluster.awake(name))

    @rule(name=st.sampled_from(NAMES))
    def node_joins_or_leaves(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.leave(name)
        else:
            self.cluster.join(name)

    @rule(name=st.sampled_from(NAMES))
    def node_falls_sick_or_recovers(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.machines[name].sick = not self.cluster.machines[name].sick
            self.cluster.agent(name)

    @rule(name=st.sampled_from(NAMES))
    def node_loses_its_network_or_gets_it_back(self, name: str) -> None:
        if name in self.cluster.nodes:
            machine = self.cluster.machines[name]
            machine.networkless = not machine.networkless
            self.cluster.wake(name, awake=self.cluster.awake(name))
            self.cluster.agent(name)

    @rule(name=st.sampled_from(NAMES))
    def node_is_held_or_let_go(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.hold(name, held=not self.cluster.held(name))

    @rule(revision=REVISIONS)
    def admin_changes_the_spec(self, revision: str) -> None:
        self.cluster.want(revision)

    @precondition(lambda self: self.cluster.paused)
    @rule()
    def admin_resumes(self) -> None:
        self.cluster.paused = False
        self.cluster.generation += 1

    @rule()
    def admin_pauses(self) -> None:
        self.cluster.paused = True
        self.cluster.generation += 1

    @invariant()
    def a_bad_revision_is_on_its_canaries_alone(self) -> None:
        for name in self.cluster.nodes:
            revision = self.cluster.told(name)
            if "good" not in revision and revision:
                assert name in self.canaries[revision], f"{name} has {revision}, which failed its canary"
                assert self.cluster.status.get("lastGood") != revision

    def teardown(self) -> None:
        """Always progress when all is well: everybody back, a good revision, and it comes to its end."""
        cluster = self.cluster
        if not cluster.nodes:
            cluster.join("n0")
        for name in cluster.nodes:
            cluster.machines[name].sick = cluster.machines[name].networkless = False
            cluster.wake(name, awake=True)
            cluster.hold(name, held=False)
        cluster.paused = False
        cluster.want("r-good-3")
        for _ in range(200):
            self.all_agents_work()
            self.operator_passes(None)
            cluster.pass_time(20)
        assert {cluster.told(name) for name in cluster.nodes} == {"r-good-3"}
        assert cluster.status["stage"] == "Complete"
        assert cluster.status["lastGood"] == "r-good-3"
        # And then nothing is written any more.
        before = (cluster.status, cluster.states)
        self.operator_passes(None)
        assert (cluster.status, cluster.states) == before


def test_a_revision_that_leaves_the_nodes_without_a_network_halts_at_its_canary() -> None:
    cluster = Cluster()
    for number in range(10):
        cluster.join(f"n{number}")
    passes(cluster, 20)
    assert cluster.status["lastGood"] == "r-good-0"
    cluster.want("r-networkless-1")
    passes(cluster, 300)
    halt = cluster.status["halted"]
    assert [name for name in cluster.nodes if cluster.told(name) == "r-networkless-1"] == [halt["node"]]
    assert "kubelet" in halt["message"]


def test_nodes_that_have_no_network_before_the_first_revision_are_told_it() -> None:
    cluster = Cluster()
    for name in ("a", "b"):
        cluster.join(name)
        cluster.machines[name].needs_us = True
        cluster.wake(name, awake=True)
    passes(cluster, 20)
    assert {cluster.told(name) for name in cluster.nodes} == {"r-good-0"}
    assert cluster.status["stage"] == "Complete"


def passes(cluster: Cluster, count: int) -> None:
    """Let agents and operator work, with 20 seconds between."""
    for _ in range(count):
        for name in cluster.nodes:
            cluster.agent(name)
        cluster.operator()
        cluster.pass_time(20)


TestRandomRollouts = pytest.mark.timeout(300)(RandomRollouts.TestCase)
TestRandomRollouts.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
