"""The network-status annotation says what was attached, in the form that readers know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.networks import statuses

SANDBOX = "/run/netns/cni-1"
BRIDGE = {
    "cniVersion": "0.3.1",
    "interfaces": [
        {"name": "cni0", "mac": "0a:58:0a:f4:01:01"},
        {"name": "veth1f2e3d4c", "mac": "5e:6b:2e:01:02:03"},
        {"name": "eth0", "mac": "0a:58:0a:f4:01:05", "mtu": 1400, "sandbox": SANDBOX},
    ],
    "ips": [{"version": "4", "interface": 2, "address": "10.244.1.5/24", "gateway": "10.244.1.1"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}],
    "dns": {},
}
MACVLAN = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "net1", "mac": "0a:58:c0:a8:07:05", "sandbox": SANDBOX}],
    "ips": [{"interface": 0, "address": "192.168.7.5/24"}],
    "dns": {"nameservers": ["10.0.0.1"], "search": ["a.example"]},
}


def one(result: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return statuses.entries([statuses.Attached(network="default/storage", default=False, result=result, **more)])


def default(result: dict[str, Any]) -> list[dict[str, Any]]:
    return statuses.entries([statuses.Attached(network="pod-network", default=True, result=result)])


class TestOrdinaryResults:
    def test_two_networks_have_an_entry_each_in_order(self) -> None:
        attached = [
            statuses.Attached(network="pod-network", default=True, result=BRIDGE),
            statuses.Attached(network="default/storage", default=False, result=MACVLAN),
        ]
        assert statuses.entries(attached) == [
            {
                "name": "pod-network",
                "interface": "eth0",
                "ips": ["10.244.1.5"],
                "mac": "0a:58:0a:f4:01:05",
                "mtu": 1400,
                "default": True,
                "dns": {},
                "gateway": ["10.244.1.1"],
            },
            {
                "name": "default/storage",
                "interface": "net1",
                "ips": ["192.168.7.5"],
                "mac": "0a:58:c0:a8:07:05",
                "dns": {"nameservers": ["10.0.0.1"], "search": ["a.example"]},
            },
        ]

    def test_the_text_is_laid_out_as_readers_know_it(self) -> None:
        text = statuses.annotation([statuses.Attached(network="n", default=True, result={})]).text
        assert text == '[{\n    "name": "n",\n    "default": true,\n    "dns": {}\n}]'

    def test_dual_stack_keeps_both_addresses_and_both_gateways(self) -> None:
        result = {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "sandbox": SANDBOX}],
            "ips": [{"interface": 0, "address": "10.1.0.2/16"}, {"interface": 0, "address": "fd00::2/64"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "::/0", "gw": "fd00::1"}, {"dst": "10.0.0.0/8"}],
        }
        [entry] = default(result)
        assert entry["ips"] == ["10.1.0.2", "fd00::2"]
        assert entry["gateway"] == ["10.1.0.1", "fd00::1"]

    def test_a_default_route_without_a_gateway_gives_no_gateway(self) -> None:
        [entry] = default({**BRIDGE, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::0/0", "gw": None}]})
        assert "gateway" not in entry

    def test_a_requested_default_route_and_a_device_are_told(self) -> None:
        device = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:01:00.1"}}
        [entry] = one(MACVLAN, default_route=("192.168.7.1",), device_info=device)
        assert entry["default-route"] == ["192.168.7.1"]
        assert entry["device-info"] == device
        [entry] = one(MACVLAN, default_route=())
        assert entry["default-route"] == []


class TestResultsWithoutInterfaces:
    @pytest.mark.parametrize("result", [{}, {"cniVersion": "1.0.0"}, {"cniVersion": "0.2.0"}, {"interfaces": []}])
    def test_an_empty_result_gets_a_minimal_entry(self, result: dict[str, Any]) -> None:
        assert one(result) == [{"name": "default/storage", "dns": {}}]
        assert default(result) == [{"name": "pod-network", "default": True, "dns": {}}]

    def test_a_result_of_an_old_version_has_its_addresses(self) -> None:
        result = {
            "cniVersion": "0.2.0",
            "ip4": {"ip": "10.1.2.3/24", "gateway": "10.1.2.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}]},
            "ip6": {"ip": "fd00::3/64"},
            "dns": {"domain": "a.example"},
        }
        assert default(result) == [
            {
                "name": "pod-network",
                "ips": ["10.1.2.3", "fd00::3"],
                "default": True,
                "dns": {"domain": "a.example"},
                "gateway": ["10.1.2.1"],
            }
        ]

    def test_one_interface_without_a_sandbox_has_all_addresses_and_no_name(self) -> None:
        result = {
            "cniVersion": "0.3.1",
            "interfaces": [{"name": "cali123", "mac": "ee:ee:ee:ee:ee:ee"}],
            "ips": [{"version": "4", "address": "10.1.2.3/32"}],
        }
        assert default(result) == [{"name": "pod-network", "ips": ["10.1.2.3"], "default": True, "dns": {}}]

    def test_several_interfaces_of_the_node_s_side_alone_make_one_entry(self) -> None:
        result = {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "br0"}, {"name": "veth0"}],
            "ips": [{"address": "10.1.2.3/32"}],
        }
        assert default(result) == [{"name": "pod-network", "ips": ["10.1.2.3"], "default": True, "dns": {}}]


class TestSeveralInterfaces:
    RESULT: dict[str, Any] = {  # noqa: RUF012
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "br0"},
            {"name": "eth0", "sandbox": SANDBOX},
            {"name": "eth1", "sandbox": SANDBOX},
            {"name": "eth2", "sandbox": SANDBOX},
        ],
        "ips": [
            {"interface": 0, "address": "10.0.0.1/24"},
            {"interface": 1, "address": "10.0.1.1/24"},
            {"interface": 2, "address": "10.0.2.1/24", "gateway": "10.0.2.254"},
            {"address": "10.0.3.1/24"},
            {"interface": -1, "address": "10.0.3.2/24"},
            {"interface": 9, "address": "10.0.3.3/24"},
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.2.254"}],
        "dns": {"domain": "a.example"},
    }

    def test_each_has_an_entry_with_its_addresses_and_the_last_has_the_rest(self) -> None:
        entries = one(self.RESULT)
        assert [(entry["interface"], entry["ips"]) for entry in entries] == [
            ("eth0", ["10.0.1.1"]),
            ("eth1", ["10.0.2.1"]),
            ("eth2", ["10.0.3.1", "10.0.3.2", "10.0.3.3"]),
        ]
        assert all(entry["dns"] == {"domain": "a.example"} for entry in entries)
        assert all(entry["gateway"] == ["10.0.2.254"] for entry in entries)

    def test_the_default_one_is_the_first_that_has_an_address_with_a_gateway(self) -> None:
        assert [entry.get("default") for entry in default(self.RESULT)] == [None, True, None]

    def test_without_any_gateway_it_is_the_first_of_the_pod(self) -> None:
        result = {**self.RESULT, "ips": [{"interface": 2, "address": "10.0.2.1/24"}]}
        assert [entry.get("default") for entry in default(result)] == [True, None, None]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "sandbox", "mac", "mtu", "address", "interface", "gateway", "dst", "gw", "ip", "routes"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
RESULTS = st.dictionaries(
    st.sampled_from(["cniVersion", "interfaces", "ips", "routes", "dns", "ip4", "ip6"]), JSON, max_size=6
)


@given(results=st.lists(st.tuples(RESULTS, st.booleans()), max_size=5))
def test_whatever_plugins_return_the_status_is_json_with_one_default_where_there_is_a_default_network(
    results: list[tuple[dict[str, Any], bool]],
) -> None:
    attached = [
        statuses.Attached(network=f"n{index}", default=is_default, result=result)
        for index, (result, is_default) in enumerate(results)
    ]
    entries = json.loads(statuses.annotation(attached).text)
    assert sum("default" in entry for entry in entries) == any(is_default for _, is_default in results)
    assert {entry["name"] for entry in entries} == {each.network for each in attached}


class TestLength:
    def test_twenty_networks_with_long_names_fit(self) -> None:
        attached = [statuses.Attached(network="pod-network", default=True, result=BRIDGE)]
        attached += [
            statuses.Attached(network=f"{'n' * 63}/{'é' * 200}{index}", default=False, result=MACVLAN)
            for index in range(20)
        ]
        annotation = statuses.annotation(attached)
        assert annotation.left_out == ()
        assert len(json.loads(annotation.text)) == 21

    def test_the_last_networks_are_left_out_and_named_and_the_default_one_stays(self) -> None:
        attached = [
            statuses.Attached(network=f"default/n{index}", default=index == 3, result=MACVLAN) for index in range(4)
        ]
        whole = statuses.annotation(attached).text
        annotation = statuses.annotation(attached, most_bytes=len(whole) - 1)
        assert [entry["name"] for entry in json.loads(annotation.text)] == ["default/n0", "default/n1", "default/n3"]
        assert annotation.left_out == ("default/n2",)
        assert statuses.annotation(attached, most_bytes=len(whole)).text == whole


class TestComparison:
    def test_layout_order_of_keys_and_a_default_of_false_say_nothing(self) -> None:
        ours = statuses.annotation([statuses.Attached(network="a", default=False, result=MACVLAN)]).text
        theirs = json.dumps([{"default": False, **dict(reversed(json.loads(ours)[0].items()))}])
        assert statuses.same(ours, theirs)

    @pytest.mark.parametrize("other", [None, "", "[]", "{}", "[", '"x"', '[{"name":"b"}]', "[" * 100_000])
    def test_other_content_differs(self, other: str | None) -> None:
        assert not statuses.same('[{"name":"a","dns":{}}]', other)
