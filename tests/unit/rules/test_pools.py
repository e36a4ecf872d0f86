"""How many addresses a network has to give is said of its configuration alone."""

from __future__ import annotations

import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.rules import pools


def conf(**ipam: object) -> str:
    return json.dumps({"cniVersion": "1.0.0", "name": "lab", "type": "macvlan", "ipam": ipam})


def size(**ipam: object) -> int | None:
    found = pools.of(conf(**ipam))
    return None if found is None else found.size


def test_host_local_gives_all_but_network_gateway_and_broadcast_on_each_node() -> None:
    found = pools.of(conf(type="host-local", subnet="10.1.2.0/24"))
    assert found == pools.Pool("Node", 253, (ipaddress.ip_network("10.1.2.0/24"),), spans=True)


def test_a_range_is_as_large_as_it_is_written() -> None:
    assert size(type="host-local", subnet="10.1.2.0/24", rangeStart="10.1.2.10", rangeEnd="10.1.2.19") == 10
    assert size(type="host-local", ranges=[[{"subnet": "10.1.2.0/29"}, {"subnet": "10.1.3.0/29"}]]) == 10


def test_the_smallest_set_limits_a_pod_that_takes_an_address_of_each() -> None:
    assert size(type="host-local", ranges=[[{"subnet": "10.1.2.0/29"}], [{"subnet": "fd00::/64"}]]) == 5


def test_whereabouts_has_one_pool_for_all_nodes() -> None:
    found = pools.of(conf(type="whereabouts", range="10.1.2.0/24"))
    assert found == pools.Pool("Cluster", 254, (ipaddress.ip_network("10.1.2.0/24"),), spans=True)
    assert size(type="whereabouts", range="10.1.2.10-10.1.2.19/24") == 10
    assert size(type="whereabouts", range="10.1.2.0/24", range_start="10.1.2.10", range_end="10.1.2.19") == 10
    assert size(type="whereabouts", ipRanges=[{"range": "10.1.2.0/24"}, {"range": "10.1.3.0/28"}]) == 14


def test_what_is_excluded_is_counted_once() -> None:
    excluded = ["10.1.2.0/28", "10.1.2.8/29", "10.1.2.200", "10.9.0.0/16", "fd00::/64", "nonsense"]
    assert size(type="whereabouts", range="10.1.2.0/24", exclude=excluded) == 254 - 15 - 1


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "{}", '{"plugins": [1]}', conf(type="dhcp"), conf(type="host-local"), conf(type="whereabouts")],
)
def test_nothing_is_said_where_nothing_is_known(text: str) -> None:
    assert pools.of(text) is None


def test_of_several_plugins_the_one_that_gives_addresses_counts() -> None:
    plugins = [{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.2.0/24"}}, {"type": "tuning"}]
    found = pools.of(json.dumps({"name": "lab", "plugins": plugins}))
    assert found is not None
    assert found.size == 253


def test_a_bridge_joins_the_pods_of_one_node_and_a_macvlan_those_of_many() -> None:
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24"}
    for kind, spans in (("bridge", False), ("ptp", False), ("macvlan", True), ("sriov", True)):
        found = pools.of(json.dumps({"name": "lab", "type": kind, "ipam": ipam}))
        assert found is not None
        assert found.spans is spans, kind


@given(
    prefix=st.integers(24, 29),
    excluded=st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), max_size=6),
)
def test_the_count_agrees_with_counting(prefix: int, excluded: list[tuple[int, int]]) -> None:
    network = ipaddress.ip_network(f"10.1.2.0/{prefix}")
    out = [ipaddress.ip_interface(f"10.1.2.{last}/{length}").network for last, length in excluded]
    expected = sum(not any(host in each for each in out) for host in network.hosts())
    assert size(type="whereabouts", range=str(network), exclude=[str(each) for each in out]) == expected
