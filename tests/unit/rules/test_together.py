"""Definitions compared with one another."""

from __future__ import annotations

import json
from typing import Any

from mooring.rules import together


def definition(key: str, config: dict[str, object] | str) -> dict[str, Any]:
    namespace, _, name = key.rpartition("/")
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {"config": config if isinstance(config, str) else json.dumps(config)},
    }


def found(**configs: dict[str, object] | str) -> dict[str, list[str]]:
    manifests = [definition(key.replace("__", "/"), config) for key, config in configs.items()]
    return {
        "/".join(key).strip("/"): [finding.code for finding in findings]
        for key, findings in together.compare(manifests).items()
    }


def bridge(subnet: str, **options: object) -> dict[str, object]:
    return {"type": "bridge", "bridge": "br1", "ipam": {"type": "host-local", "subnet": subnet}} | options


class TestNames:
    def test_one_name_for_different_networks_is_told_to_both(self) -> None:
        one, other = bridge("10.0.0.0/24", name="n"), bridge("10.0.1.0/24", name="n")
        assert found(a__x=one, b__x=other) == {"a/x": ["MR203"], "b/x": ["MR203"]}

    def test_one_name_for_the_same_network_is_fine(self) -> None:
        one = bridge("10.0.0.0/24", name="n", cniVersion="0.3.1")
        assert found(a__x=one, b__x=bridge("10.0.0.0/24", name="n", cniVersion="1.0.0")) == {}

    def test_names_that_mean_one_network_are_fine(self) -> None:
        ovn = {"name": "n", "type": "ovn-k8s-cni-overlay"}
        assert found(a__x={**ovn, "netAttachDefName": "a/x"}, b__x={**ovn, "netAttachDefName": "b/x"}) == {}


class TestRanges:
    def test_the_same_addresses_on_one_bridge_are_told_to_both(self) -> None:
        assert found(a__x=bridge("10.0.0.0/24"), a__y=bridge("10.0.0.0/25")) == {"a/x": ["MR320"], "a/y": ["MR320"]}

    def test_other_addresses_on_one_bridge_are_fine(self) -> None:
        assert found(a__x=bridge("10.0.0.0/24"), a__y=bridge("10.0.1.0/24")) == {}

    def test_the_same_addresses_on_other_bridges_or_vlans_are_fine(self) -> None:
        configs = [bridge("10.0.0.0/24"), bridge("10.0.0.0/24", bridge="br2"), bridge("10.0.0.0/24", vlan=5)]
        assert found(a__x=configs[0], a__y=configs[1], a__z=configs[2]) == {}

    def test_one_network_in_two_namespaces_shares_its_leases(self) -> None:
        config = bridge("10.0.0.0/24", name="n")
        assert found(a__x=config, b__y=config) == {}

    def test_leases_in_another_folder_are_not_shared(self) -> None:
        ipam = {"type": "host-local", "subnet": "10.0.0.0/24", "dataDir": "/elsewhere"}
        assert set(found(a__x=bridge("10.0.0.0/24", name="n"), b__y=bridge("10.0.0.0/24", name="n", ipam=ipam))) == {
            "a/x",
            "b/y",
        }

    def test_a_bridge_without_a_name_is_cni0(self) -> None:
        one, other = bridge("10.0.0.0/24", bridge="cni0"), bridge("10.0.0.0/24")
        del other["bridge"]
        assert set(found(a__x=one, a__y=other)) == {"a/x", "a/y"}

    def test_a_wide_range_clashes_with_each_in_it(self) -> None:
        wide = found(
            a__w=bridge("10.0.0.0/16"),
            a__x=bridge("10.0.1.0/24"),
            a__y=bridge("10.0.2.0/24"),
            a__z=bridge("10.1.0.0/24"),
        )
        assert wide == {"a/w": ["MR320", "MR320"], "a/x": ["MR320"], "a/y": ["MR320"]}

    def test_masters_and_chains_are_looked_at_as_well(self) -> None:
        macvlan: dict[str, object] = {
            "type": "macvlan",
            "master": "eth1",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}]]},
        }
        chain: dict[str, object] = {"name": "n", "plugins": [macvlan, {"type": "tuning"}]}
        manifests = [definition("a/x", macvlan), definition("a/y", chain)]
        (finding,) = together.compare(manifests)["a", "y"]
        assert finding.path == "spec.config: $.plugins[0].ipam.ranges[0][0]"
        assert "a/x gives addresses of 10.0.0.0/24 on the same master eth1" in finding.message


def test_what_cannot_be_read_is_left_out() -> None:
    assert found(a="{", b="[]", c={"plugins": [{}]}, d="", e={"type": "bridge", "ipam": {"type": "host-local"}}) == {}


def test_a_thousand_definitions_are_compared() -> None:
    manifests = [definition(f"a/x{n}", bridge(f"10.{n // 250}.{n % 250}.0/24")) for n in range(1000)]
    assert together.compare(manifests) == {}
