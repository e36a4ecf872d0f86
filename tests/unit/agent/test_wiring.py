"""The reconcilers of a node are wired so that each is asked for what it knows, and woken by what concerns it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import triggers, wiring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.agent.conftest import FakeInformer, Node


class Unasked:
    """A client that nobody asks anything."""

    def on_moved(self, call: Callable[[], None]) -> None:
        """Never call."""


@pytest.fixture
async def agent(tmp_path: Path) -> wiring.Agent:
    client: Any = Unasked()
    return wiring.Agent(
        client,
        node="node-1",
        namespace="mooring-system",
        host_root=tmp_path,
        programs=tmp_path,
        state_dir="/var/lib/mooring",
    )


FOUNDATION = ("drain", "revisions", "binaries", "conf", "runtime")


async def test_a_new_pod_gets_its_networks_whatever_else_of_the_agent_fails(agent: wiring.Agent) -> None:
    for each in agent.reconcilers:
        each.report(settled=True, problem="the API server is slow")
    for name in FOUNDATION:
        getattr(agent, name).report(settled=True)
    agent._supervisor._dead["networks"] = "it ended"
    reasons = {reason for reason, _ in agent.readiness.problems()}
    assert {"TaskDied", agent.cache.reason, agent.credentials.reason} <= reasons
    assert agent.readiness.foundation() is None


@pytest.mark.parametrize("name", FOUNDATION)
async def test_a_new_pod_needs_what_the_node_is_to_have(
    agent: wiring.Agent, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in agent.reconcilers:
        each.report(settled=True)
    assert agent.readiness.foundation() is None
    woken: list[str] = []
    monkeypatch.setattr(agent.missing, "wake", lambda: woken.append(name))
    concerned = getattr(agent, name)
    concerned.report(problem="it is not there")
    assert agent.readiness.foundation() == (concerned.reason, "it is not there")
    assert woken == [name]


async def test_every_trigger_wakes_somebody_who_exists(agent: wiring.Agent) -> None:
    assert set(triggers.WAKES) == set(triggers.Trigger)
    names = {each.name for each in agent.reconcilers}
    for trigger, woken in triggers.WAKES.items():
        assert woken == triggers.ALL or set(woken) <= names, trigger


async def test_a_trigger_wakes_those_whom_it_concerns_and_nobody_else(
    agent: wiring.Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    for each in agent.reconcilers:
        monkeypatch.setattr(each, "wake", functools.partial(woken.append, each.name))
    for trigger, names in triggers.WAKES.items():
        woken.clear()
        agent._triggers.fire(trigger)
        everybody = [each.name for each in agent.reconcilers]
        assert woken == (everybody if names == triggers.ALL else list(names)), trigger


async def test_a_conf_comes_after_its_plugin_and_the_plugin_sets_that_its_networks_may_need(
    agent: wiring.Agent,
) -> None:
    agent.binaries.applied = "mooring-revision-2"
    agent.pluginsets.applied = "mooring-revision-1"
    assert agent._installed() == ""
    agent.pluginsets.applied = "mooring-revision-2"
    assert agent._installed() == "mooring-revision-2"


async def test_while_a_drained_node_has_attached_pods_the_dhcp_daemon_is_kept_and_nothing_else(
    agent: wiring.Agent, node: Node, informer: FakeInformer
) -> None:
    agent.revisions.current = node.revision(dhcp_daemon=True)
    agent.drain.follow(informer)  # type: ignore[arg-type]
    assert agent.dhcpdaemon._revision() is agent.revisions.current
    informer.store["node-1"] = {"spec": {"drain": True}}
    assert agent.dhcpdaemon._revision() is None
    agent.drain.holding = True
    assert agent.dhcpdaemon._revision() is agent.revisions.current
    assert agent._revision() is None
