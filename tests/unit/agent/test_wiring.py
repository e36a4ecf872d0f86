"""The reconcilers of a node are wired so that each is asked for what it knows, and woken by what concerns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import wiring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Unasked:
    """A client that nobody asks anything."""

    def on_moved(self, call: Callable[[], None]) -> None:
        """Never call."""


@pytest.fixture
async def agent(tmp_path: Path) -> wiring.Agent:
    client: Any = Unasked()
    return wiring.Agent(client, node="node-1", namespace="mooring-system", host_root=tmp_path, programs=tmp_path)


GROUND = ("revisions", "binaries", "conf", "runtime")


async def test_a_pod_made_anew_gets_its_networks_whatever_else_of_the_agent_fails(agent: wiring.Agent) -> None:
    for each in agent.reconcilers:
        each.report(settled=True, problem="the API server is slow")
    for name in GROUND:
        getattr(agent, name).report(settled=True)
    agent._supervisor._dead["networks"] = "it ended"
    reasons = {reason for reason, _ in agent.problems()}
    assert {"TaskDied", agent.cache.reason, agent.credentials.reason} <= reasons
    assert agent.why_in_vain() is None


@pytest.mark.parametrize("name", GROUND)
async def test_a_pod_made_anew_needs_what_the_node_is_to_have(
    agent: wiring.Agent, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in agent.reconcilers:
        each.report(settled=True)
    assert agent.why_in_vain() is None
    woken: list[str] = []
    monkeypatch.setattr(agent.missing, "wake", lambda: woken.append(name))
    concerned = getattr(agent, name)
    concerned.report(problem="it is not there")
    assert agent.why_in_vain() == (concerned.reason, "it is not there")
    assert woken == [name]
