"""A NetworkReport says what is wrong with a network, who is on it, and what is left of its addresses."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import TYPE_CHECKING, Any

from mooring.insight import networkreports, usage
from mooring.rules.findings import Finding, Severity

if TYPE_CHECKING:
    from mooring.installing.networkreports import NetworkReport

NOW = datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(hours=1)


def conf(kind: str = "bridge", subnet: str = "10.1.2.0/29", **more: object) -> str:
    return json.dumps({"name": "lab", "type": kind, **more, "ipam": {"type": "host-local", "subnet": subnet}})


def held(pod: str, *addresses: str, node: str = "a", network: str = "shop/lab", digest: str = "") -> usage.Held:
    return usage.Held(network, node, f"shop/{pod}", "net1", addresses, digest)


def finding(severity: Severity) -> Finding:
    return Finding(code="MR305", severity=severity, path="spec.config", message="too small", remedy="larger")


READY = networkreports.Node("a", ready=True, programs=frozenset({"bridge", "macvlan", "host-local"}))


def report(
    *entries: usage.Held,
    config: str = conf(),
    findings: tuple[Finding, ...] = (),
    nodes: tuple[networkreports.Node, ...] = (READY,),
    before: dict[str, Any] | None = None,
    now: datetime.datetime = NOW,
) -> NetworkReport | None:
    facts = networkreports.Facts("shop", "lab", config, findings, usage.Usage(entries), networkreports.Nodes(nodes))
    return networkreports.describe(facts, before=before, now=now)


def made(*entries: usage.Held, **more: Any) -> NetworkReport:
    found = report(*entries, **more)
    assert found is not None
    return found


def condition(found: NetworkReport, kind: str) -> tuple[str, str, str]:
    each = next(one for one in found.conditions if one.type == kind)
    return each.status, each.reason, each.message


def test_a_network_that_nobody_uses_and_nothing_is_wrong_with_has_no_report() -> None:
    assert report() is None


def test_the_overview_is_the_report_in_a_line() -> None:
    found = made(
        held("web", "10.1.2.2/29"),
        held("db", "10.1.2.3/29"),
        findings=(finding(Severity.ENFORCE), finding(Severity.WARN), finding(Severity.WARN)),
        nodes=(READY, networkreports.Node("b", ready=False)),
    )
    assert found.overview.to_wire() == {"findings": "1 Enforce, 2 Warn", "nodes": "1/2", "addresses": "2/5 per node"}
    assert condition(found, "Valid") == ("False", "Refused", "Admission would refuse it: too small")


def test_a_node_that_cannot_serve_the_network_is_named_with_what_it_lacks() -> None:
    poor = networkreports.Node("b", ready=True, programs=frozenset({"host-local"}), missing_masters=frozenset({"eth7"}))
    found = made(held("web"), config=conf("macvlan", master="eth7"), nodes=(READY, poor))
    assert [each.to_wire() for each in found.nodes.unable] == [
        {"name": "b", "reason": "it has no program macvlan in its folder of CNI plugins; it has no interface eth7"}
    ]
    assert condition(found, "Served")[0] == "False"


def test_an_agent_that_does_not_tell_its_programs_is_not_blamed() -> None:
    found = made(held("web"), nodes=(networkreports.Node("a", ready=True),))
    assert (found.nodes.able, found.nodes.selected) == (1, 1)


def test_a_pool_that_is_used_up_is_told_with_its_node() -> None:
    entries = [held(f"web-{number}", f"10.1.2.{number}/29") for number in range(2, 7)]
    found = made(*entries, held("other", "10.1.2.2/29", node="b"))
    assert condition(found, "AddressesLeft") == (
        "False",
        "UsedUp",
        "All 5 addresses are in use on node a: the next pod does not start.",
    )


def test_one_address_on_two_nodes_is_a_duplicate_only_where_these_share_a_segment() -> None:
    entries = (held("web", "10.1.2.2/29"), held("db", "10.1.2.2/29", node="b"))
    assert made(*entries).addresses.duplicates == []
    found = made(*entries, config=conf("macvlan"))
    assert found.addresses.duplicates == ["10.1.2.2"]
    assert condition(found, "NoDuplicates")[0] == "False"
    twice = (held("web", "10.1.2.2/29"), held("db", "10.1.2.2/24"))
    assert made(*twice).addresses.duplicates == ["10.1.2.2"]


def test_interfaces_of_an_older_configuration_are_counted() -> None:
    current = made(held("web")).config_hash
    found = made(held("web", digest=current), held("db", digest="0123456789abcdef"), held("older"))
    assert (found.attachments.interfaces, found.attachments.pods, found.attachments.stale) == (3, 3, 1)


def test_the_time_of_the_last_change_moves_only_with_the_configuration() -> None:
    first = made(held("web")).to_wire()
    assert "changedAt" not in first
    same = made(held("web"), held("db"), before=first, now=LATER).to_wire()
    assert "changedAt" not in same
    assert same["conditions"] == first["conditions"]
    changed = made(held("web"), before=same, config=conf(subnet="10.1.3.0/24"), now=LATER).to_wire()
    assert changed["changedAt"] == "2026-05-04T04:02:01Z"
    assert made(held("web"), before=changed, config=conf(subnet="10.1.3.0/24")).to_wire() == changed


def test_an_entry_that_moves_between_slices_counts_once() -> None:
    entry = {"pod": {"namespace": "shop", "name": "web"}, "network": "shop/lab", "interface": "net1"}
    item = {"nodeName": "a", "attachments": [{**entry, "addresses": ["10.1.2.2/29"], "configHash": "ab"}]}
    slices = [usage.compact(item), usage.compact(item), usage.compact({"nodeName": "a"})]
    assert usage.by_network(slices) == {"shop/lab": usage.Usage((held("web", "10.1.2.2/29", digest="ab"),))}


def test_a_configuration_that_is_not_json_needs_nothing_of_nodes() -> None:
    found = made(config="{", findings=(finding(Severity.ENFORCE),))
    assert (found.nodes.able, found.addresses.scope, found.config_hash) == (1, None, "")


def test_a_node_is_not_blamed_for_an_interface_that_is_looked_for_in_the_pod() -> None:
    poor = networkreports.Node("a", ready=True, missing_masters=frozenset({"net0"}))
    found = made(held("web"), config=conf("macvlan", master="net0", linkInContainer=True), nodes=(poor,))
    assert (found.nodes.able, found.nodes.selected) == (1, 1)


def test_nodes_that_lack_the_same_are_each_named_in_order_among_thousands_that_lack_nothing() -> None:
    poor = [networkreports.Node(name, ready=True, programs=frozenset({"host-local"})) for name in ("z", "b", "m")]
    fine = [dataclasses.replace(READY, name=f"fine-{number:04}") for number in range(2000)]
    found = made(held("web"), nodes=(*fine[:1000], *poor, *fine[1000:]))
    assert (found.nodes.selected, found.nodes.able) == (2003, 2000)
    assert [each.name for each in found.nodes.unable] == ["b", "m", "z"]
    assert {each.reason for each in found.nodes.unable} == {"it has no program bridge in its folder of CNI plugins"}
