"""Where host-local keeps the addresses of a network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mooring.networks import leases

IPAM = {"type": "host-local"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"name": "a", "type": "bridge", "ipam": IPAM}, {"/var/lib/cni/networks/a"}),
        ({"name": "a", "plugins": [{"type": "bridge", "ipam": IPAM}, {"type": "tuning"}]}, {"/var/lib/cni/networks/a"}),
        ({"type": "bridge", "ipam": {**IPAM, "dataDir": "/run/leases/"}}, {"/run/leases/nad"}),
        ({"name": "a", "type": "bridge", "ipam": {"type": "whereabouts"}}, set()),
        ({"name": "../a", "type": "bridge", "ipam": IPAM}, set()),
        ({"name": "..", "type": "bridge", "ipam": IPAM}, set()),
        ({"name": 7, "type": "bridge", "ipam": IPAM}, set()),
        ({"name": "a", "type": "bridge", "ipam": {**IPAM, "dataDir": "relative"}}, set()),
        ({"name": "a", "type": "bridge", "ipam": {**IPAM, "dataDir": "/a/../b"}}, set()),
        ({"name": "a", "plugins": ["no object"]}, set()),
        (["no object"], set()),
    ],
)
def test_a_network_s_leases_are_where_its_configuration_says(config: Any, expected: set[str]) -> None:
    assert leases.folders_in(json.dumps(config), name="nad") == expected


def test_what_is_no_json_has_no_leases() -> None:
    assert leases.folders_in("{", name="nad") == set()
