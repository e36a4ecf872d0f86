"""Everybody who asks gets the node's numbers, by the names that the reference page has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import parser

from mooring.agent import measuring, sandboxes, wiring
from mooring.metrics import agent as metrics
from mooring.metrics import families
from mooring.node import places, traffic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by name and labels, in the order of their names; two of the same are a fault."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {})
            found[sample.name][labels] = sample.value
    return found


def sandbox(name: str = "c@eth0.jsonl", *, pod: str = "default/web", time: str = "1", **more: Any) -> sandboxes.Sandbox:
    entries = ('{"interface":"eth0","network":"pod-network"}', '{"interface":"net1","network":"default/storage"}')
    known: dict[str, Any] = {"held": entries, "networks": ("default/storage",), "netns": f"/run/netns/{name}"}
    return sandboxes.Sandbox(
        name=name, pod=pod, uid="u", boot="b", time=time, status="[]", left_out=(), **{**known, **more}
    )


class Unasked:
    """A client that nobody asks anything."""

    def on_moved(self, call: Callable[[], None]) -> None:
        """Never call."""


@pytest.fixture
async def agent(tmp_path: Path) -> wiring.Agent:
    client: Any = Unasked()
    return wiring.Agent(
        client, node="node-1", namespace="mooring-system", host_root=tmp_path, programs=tmp_path, state_dir=places.STATE
    )


async def test_an_agent_tells_every_metric_of_the_page_once_it_knows_something(agent: wiring.Agent) -> None:
    agent.sandboxes.take({"c@eth0.jsonl": sandbox()})
    agent.networks.last_contact = 0.0
    answer = await agent._metrics.answer()
    assert (answer.status, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    text = answer.body.decode()
    for each in metrics.FAMILIES:
        assert f"# TYPE {each.name} {each.kind}\n" in text
    found = samples(answer.body)
    assert found["mooring_agent_ready"] == {(): 0}
    assert found["mooring_agent_attachments"] == {("default/storage",): 1}
    assert found["mooring_agent_pod_networks_unread"] == {(): 1}  # no runtime listens below that folder
    assert found["mooring_agent_reconcile_duration_seconds_count"] == {(each.name,): 0 for each in agent.reconcilers}
    assert found["process_resident_memory_bytes"][()] > 1 << 20


async def test_the_status_delay_counts_from_the_end_of_the_last_add(agent: wiring.Agent) -> None:
    pod = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}}
    agent._attached(pod, sandbox(ended="2026-03-01T12:00:00.5Z"))
    agent._attached(pod, sandbox(ended=""))
    found = samples((await agent._metrics.answer()).body)
    assert found["mooring_agent_status_delay_seconds_count"] == {(): 1}
    assert found["mooring_agent_status_delay_seconds_bucket"][("300.0",)] == 0


@pytest.mark.looptime
async def test_many_who_ask_at_the_same_time_are_answered_by_one_look(
    agent: wiring.Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    real = measuring.known_numbers

    def known(sources: measuring.Sources) -> families.Numbers:
        nonlocal looks
        looks += 1
        return real(sources)

    async def at_once(call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)

    monkeypatch.setattr(measuring, "known_numbers", known)
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    await asyncio.gather(*(agent._metrics.answer() for _ in range(50)))
    assert looks == 1
    await asyncio.sleep(2)
    await agent._metrics.answer()
    assert looks == 2


async def test_interfaces_are_named_by_pod_and_network_and_counted_where_their_namespace_is_entered() -> None:
    known = sandboxes.Sandboxes(on_change=lambda pod: None)
    known.take({"new": sandbox("new", time="2"), "old": sandbox("old", time="1")})
    known.take({"plain": sandbox("plain", pod="default/plain", held=()), "b": sandbox("b", pod="default/b")})
    attached = measuring.attachments(known)
    assert [each.netns for each in attached] == ["/run/netns/new", "/run/netns/b"]
    counted = {"net1": traffic.Counters(1, 2, 3, 4, 5, 6), "tunl0": traffic.Counters(9, 9, 9, 9, 9, 9)}
    found = samples(families.text(families.Numbers(measuring.traffic_numbers(attached, [counted, None]))))
    assert found["pod_network_name_info"][("net1", "default", "default/storage", "web")] == 0
    assert len(found["pod_network_name_info"]) == 4
    of_net1 = ("net1", "default", "default/storage", "web")
    assert found["mooring_agent_pod_network_receive_bytes_total"] == {of_net1: 1}
    assert found["mooring_agent_pod_network_transmit_dropped_packets_total"] == {of_net1: 6}
    assert found["mooring_agent_pod_networks_unread"] == {(): 1}


async def test_of_interfaces_without_end_the_newest_are_told() -> None:
    known = sandboxes.Sandboxes(on_change=lambda pod: None)
    names = [f"{number:05}" for number in range(2000)]
    known.take({name: sandbox(name, pod=f"default/{name}", time=name) for name in names})
    attached = measuring.attachments(known)
    assert len(attached) == 500  # of two interfaces each
    assert attached[0].pod == ("default", "01999")
