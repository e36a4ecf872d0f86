"""What a configuration needs of a node is said once, for the agent, the rules and the reports."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.networks import needs


def test_the_programs_are_the_plugins_and_their_ipam_each_once_and_in_order() -> None:
    listed = [{"type": "bridge", "ipam": {"type": "host-local"}}, {"type": "tuning"}, {"type": "bridge", "ipam": {}}]
    assert needs.programs({"plugins": listed}) == ("bridge", "host-local", "tuning")
    assert needs.programs(listed[0]) == ("bridge", "host-local")


def test_a_master_that_is_looked_for_in_the_pod_is_none_of_the_nodes() -> None:
    conf = {"plugins": [{"type": "macvlan", "master": "eth1"}, {"type": "vlan", "master": "eth2"}]}
    assert needs.masters(conf) == ("eth1", "eth2")
    assert needs.masters({"type": "ipvlan", "master": "net1", "linkInContainer": True}) == ()


def test_a_name_that_is_too_long_for_an_interface_is_not_asked_for() -> None:
    assert needs.masters({"type": "macvlan", "master": "a" * 16}) == ()
    assert needs.masters({"type": "macvlan", "master": "a" * 15}) == ("a" * 15,)


@pytest.mark.parametrize("conf", [None, 1, "bridge", [], {"plugins": [1, None]}, {"type": 7, "master": 7, "ipam": 7}])
def test_what_is_no_configuration_needs_nothing(conf: Any) -> None:
    assert needs.programs(conf) == ()
    assert needs.masters(conf) == ()
