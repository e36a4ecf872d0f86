"""A pod's events tell what a network gave it in Multus' words."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.networks import additions

INTERFACE = [{"name": "eth0", "sandbox": "/run/netns/x"}]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"ips": [{"address": "10.1.1.2/24"}]}, "Add eth0 [10.1.1.2/24] from weave1"),
        (
            {"interfaces": INTERFACE, "ips": [{"address": "10.1.1.2/24"}, {"address": "fd00::2/64"}]},
            "Add eth0 [10.1.1.2/24 fd00::2/64] from weave1",
        ),
        ({"interfaces": INTERFACE}, "Add eth0 [] from weave1"),
        ({"ips": [{"address": "::ffff:10.1.1.2/120"}]}, "Add eth0 [10.1.1.2/24] from weave1"),
        ({"ips": [{"address": "10.1.1.2"}]}, "Add eth0 [10.1.1.2] from weave1"),
        ({"interfaces": [], "dns": {}}, ""),
        ({}, ""),
    ],
)
def test_addresses_stand_with_their_length_in_order(result: dict[str, Any], said: str) -> None:
    result = {"cniVersion": "1.0.0", **result}
    assert additions.note(network="weave1", interface="eth0", result=result) == said


def test_a_result_of_an_old_version_is_told_too() -> None:
    result = {"cniVersion": "0.2.0", "ip4": {"ip": "1.1.1.2/24"}}
    assert additions.note(network="weave1", interface="eth0", result=result) == "Add eth0 [1.1.1.2/24] from weave1"


def test_a_network_without_a_name_is_left_out() -> None:
    result = {"cniVersion": "1.0.0", "ips": [{"address": "1.1.1.2/24"}]}
    assert additions.note(network="", interface="eth0", result=result) == "Add eth0 [1.1.1.2/24]"
