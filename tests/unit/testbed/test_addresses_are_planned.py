"""Planning a cluster's names and addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed import addresses, failures


def plan(
    name: str = "demo",
    nodes: int = 2,
    *,
    node_network: str | None = "192.168.250.0/24",
    pod_network: str = "10.244.0.0/16",
    service_network: str = "10.96.0.0/16",
    taken: list[str] | None = None,
) -> addresses.Plan:
    return addresses.make(
        name,
        nodes,
        node_network=node_network,
        pod_network=pod_network,
        service_network=service_network,
        taken=[ipaddress.IPv4Network(text) for text in taken or []],
    )


class TestNames:
    def test_everything_is_named_after_the_cluster(self) -> None:
        made = plan("demo")
        assert made.link == "mtb-demo"
        assert made.cgroup("n1") == "mooring-demo-n1"

    def test_the_longest_name_still_makes_a_valid_link_name(self) -> None:
        assert len(plan("abcdefghijk").link) <= 15

    @pytest.mark.parametrize("name", ["", "abcdefghijkl", "Demo", "1a", "a-", "a/b", "a.b", "a b"])
    def test_a_name_that_could_not_name_links_and_folders_is_refused(self, name: str) -> None:
        with pytest.raises(failures.Failure, match="name"):
            plan(name)


class TestAddresses:
    def test_the_machine_has_the_last_address_and_nodes_count_from_the_first(self) -> None:
        made = plan()
        assert made.machine_address == "192.168.250.254"
        assert made.api_address == made.node_address(1) == "192.168.250.1"
        assert made.node_address(2) == "192.168.250.2"

    def test_each_node_has_its_own_part_of_the_pod_network(self) -> None:
        assert [str(plan().pod_subnet(number)) for number in (1, 2)] == ["10.244.0.0/24", "10.244.1.0/24"]

    @given(st.integers(min_value=1, max_value=250), st.integers(min_value=1, max_value=250))
    def test_no_two_nodes_share_an_address_a_subnet_or_a_mac(self, one: int, other: int) -> None:
        made = plan(nodes=250)
        if one != other:
            assert made.node_address(one) != made.node_address(other)
            assert made.node_hardware_address(one) != made.node_hardware_address(other)
            assert not made.pod_subnet(one).overlaps(made.pod_subnet(other))
        assert made.pod_subnet(one).subnet_of(made.pod_network)


class TestConflicts:
    def test_a_network_that_the_machine_routes_is_refused_and_named(self) -> None:
        with pytest.raises(failures.Failure, match=r"192\.168\.250\.0/24 overlaps .*192\.168\.0\.0/16"):
            plan(taken=["192.168.0.0/16"])

    def test_without_a_choice_the_first_free_network_is_taken(self) -> None:
        assert str(plan(node_network=None).node_network) == "192.168.250.0/24"
        assert str(plan(node_network=None, taken=["192.168.250.7/32"]).node_network) == "192.168.251.0/24"

    def test_without_a_free_network_it_asks_for_one(self) -> None:
        with pytest.raises(failures.Failure, match="--node-network"):
            plan(node_network=None, taken=["192.168.0.0/16"])

    def test_pod_and_service_networks_may_overlap_the_machine_s(self) -> None:
        assert plan(taken=["10.0.0.0/8"]).nodes == 2

    def test_its_own_networks_must_not_overlap(self) -> None:
        with pytest.raises(failures.Failure, match=r"--pod-network 10\.96\.0\.0/16 overlaps --service-network"):
            plan(pod_network="10.96.0.0/16")

    @pytest.mark.parametrize(
        ("option", "choices"),
        [
            ("--nodes", {"nodes": 0}),
            ("--node-network", {"nodes": 30, "node_network": "192.168.250.0/27"}),
            ("--node-network", {"node_network": "192.168.250.1/24"}),
            ("--node-network", {"node_network": "fd00::/64"}),
            ("--pod-network", {"nodes": 5, "pod_network": "10.244.0.0/22"}),
            ("--pod-network", {"pod_network": "10.244.0.0/25"}),
            ("--service-network", {"service_network": "10.96.0.0/28"}),
            ("--service-network", {"service_network": "nonsense"}),
        ],
    )
    def test_what_cannot_be_names_the_option(self, option: str, choices: dict[str, object]) -> None:
        with pytest.raises(failures.Failure, match=option):
            plan(**choices)  # type: ignore[arg-type]

    def test_default_routes_are_no_conflict(self) -> None:
        routes: list[dict[str, object]] = [
            {"dst": "default", "gateway": "192.0.2.1"},
            {"dst": "192.0.2.0/24"},
            {"type": "local", "dst": "192.0.2.2"},
        ]
        assert [str(network) for network in addresses.parse_routes(routes)] == ["192.0.2.0/24", "192.0.2.2/32"]
