"""Judging what a pod asks for."""

from __future__ import annotations

import json

import pytest

from mooring.networks import annotations as selections
from mooring.rules import pods
from mooring.rules.findings import Severity


def codes(networks: object = None, default: object = None) -> list[str]:
    written = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in ((selections.NETWORKS, networks), (selections.DEFAULT_NETWORK, default))
        if value is not None
    }
    return [finding.code for finding in pods.validate(written, namespace="own")]


@pytest.mark.parametrize("networks", [None, "", "a,b", "a@net1,b@net2", [{"name": "a", "default-route": ["10.0.0.1"]}]])
def test_what_is_right_has_no_findings(networks: object) -> None:
    assert codes(networks) == []


def test_what_cannot_be_read_is_told_where_it_stands() -> None:
    (finding,) = pods.validate(
        {selections.NETWORKS: "a,b//c"}, namespace="own", path="spec.template.metadata.annotations"
    )
    assert finding.code == "MR501"
    assert finding.path == f"spec.template.metadata.annotations[{selections.NETWORKS}]: position 3"


def test_an_annotation_that_is_no_text_is_told() -> None:
    (finding,) = pods.validate({selections.NETWORKS: ["a"]}, namespace="own")
    assert finding.code == "MR501"


@pytest.mark.parametrize("networks", ["a@net1,b@net1", "a@eth0"])
def test_an_interface_has_one_network(networks: str) -> None:
    assert codes(networks) == ["MR502"]


def test_a_renamed_default_interface_is_taken_and_eth0_is_free() -> None:
    default = [{"name": "x", "interface": "front0"}]
    assert codes("a@eth0", default) == []
    assert codes("a@front0", default) == ["MR502"]


def test_a_pod_has_one_default_network() -> None:
    assert codes(default="a") == []
    assert codes(default="a,b") == ["MR503"]
    assert codes(default="A") == ["MR503"]


def test_a_key_that_nobody_reads_is_a_warning() -> None:
    (finding,) = pods.validate({selections.NETWORKS: '[{"name": "a", "colour": 1}]'}, namespace="own")
    assert (finding.code, finding.severity) == ("MR504", Severity.WARN)


def test_the_default_route_has_one_gateway_of_each_family() -> None:
    one = {"name": "a", "default-route": ["10.0.0.1"]}
    other = {"name": "b", "default-route": ["fd00::1"]}
    assert codes([one, other]) == []
    assert codes([one, one]) == ["MR505"]


def test_the_administrator_may_relax_a_rule() -> None:
    (finding,) = pods.validate({selections.NETWORKS: "A"}, namespace="own", severities={"MR501": Severity.AUDIT})
    assert finding.severity is Severity.AUDIT


class TestReferences:
    CLUSTER = pods.Cluster(definitions={("own", "a"), ("other", "b"), ("default", "c")}, isolation=True)

    def codes(self, networks: str, cluster: pods.Cluster = CLUSTER) -> list[str]:
        found = pods.validate({selections.NETWORKS: networks}, namespace="own", cluster=cluster)
        return [finding.code for finding in found]

    def test_networks_of_the_own_and_of_global_namespaces_may_be_used(self) -> None:
        assert self.codes("a,default/c") == []

    def test_a_network_that_does_not_exist_is_told(self) -> None:
        assert self.codes("a,b") == ["MR510"]

    def test_a_network_of_an_isolated_namespace_is_told_whether_it_exists_or_not(self) -> None:
        assert self.codes("other/b,other/x") == ["MR511", "MR511"]

    def test_without_isolation_any_network_may_be_used(self) -> None:
        assert self.codes("other/b", pods.Cluster(definitions=self.CLUSTER.definitions)) == []

    def test_the_default_network_is_compared_as_well(self) -> None:
        found = pods.validate({selections.DEFAULT_NETWORK: "x"}, namespace="own", cluster=self.CLUSTER)
        assert [finding.code for finding in found] == ["MR510"]
