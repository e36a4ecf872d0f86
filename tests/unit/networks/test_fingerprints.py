"""A definition and what was executed of it have one hash, whatever the plugin filled in; anything else has another."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.networks import fingerprints

SINGLE = {"type": "macvlan", "master": "eth1", "ipam": {"type": "static"}}
LISTED = {
    "name": "own",
    "plugins": [{"type": "bridge", "bridge": "br1"}, {"type": "tuning", "args": {"cni": {"a": 1}}}],
}


def executed(
    conf: dict[str, Any], *, name: str, version: str, args: dict[str, Any], device: str | None
) -> dict[str, Any]:
    """Do to a configuration what the plugin does before it executes it."""
    made = copy.deepcopy(conf)
    if not made.get("name"):
        made["name"] = name
    made["cniVersion"] = version
    plugins = [made] if "type" in made else made["plugins"]
    for plugin in plugins:
        if args:
            outer = plugin.get("args") or {}
            plugin["args"] = {**outer, "cni": {**(outer.get("cni") or {}), **args}}
        if device is not None:
            plugin |= {"deviceID": device, "pciBusID": device}
    return made


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
OPTIONS = st.dictionaries(st.sampled_from(["master", "mtu", "ipam", "mode", "capabilities", "deviceID"]), VALUES)
PLUGIN = st.builds(lambda kind, more: {**more, "type": kind}, st.sampled_from(["bridge", "vlan"]), OPTIONS)
OUTER = st.fixed_dictionaries({}, optional={"name": st.sampled_from(["", "own"]), "cniVersion": st.just("0.4.0")})
CONFS = st.builds(lambda outer, plugin: {**outer, **plugin}, OUTER, PLUGIN) | st.builds(
    lambda outer, plugins: {**outer, "plugins": plugins}, OUTER, st.lists(PLUGIN, min_size=1, max_size=3)
)


@given(
    conf=CONFS,
    version=st.sampled_from(["0.3.1", "1.0.0"]),
    args=st.dictionaries(st.text(max_size=3), VALUES, max_size=2),
    device=st.none() | st.just("0000:03:02.1"),
)
def test_what_is_filled_in_and_merged_for_a_pod_changes_nothing(
    conf: dict[str, Any], version: str, args: dict[str, Any], device: str | None
) -> None:
    made = executed(conf, name="storage", version=version, args=args, device=device)
    found = fingerprints.of_definition("storage", json.dumps(conf, indent=2))
    assert found == fingerprints.of_conf(made)
    assert len(found) == fingerprints.DIGITS


def test_the_order_of_keys_and_the_layout_change_nothing() -> None:
    text = '{ "ipam": {"type": "static"},\n "type": "macvlan", "master": "eth1"}'
    assert fingerprints.of_definition("n", text) == fingerprints.of_definition("n", json.dumps(SINGLE))


@pytest.mark.parametrize(
    "other",
    [
        {**SINGLE, "master": "eth2"},
        {**SINGLE, "ipam": {"type": "static", "args": {}}},
        {**SINGLE, "name": "another"},
        {**SINGLE, "mtu": 9000},
        {**SINGLE, "plugins": []},
    ],
)
def test_another_network_has_another_hash(other: dict[str, Any]) -> None:
    assert fingerprints.of_definition("n", json.dumps(other)) != fingerprints.of_definition("n", json.dumps(SINGLE))


def test_the_order_of_plugins_makes_another_network() -> None:
    turned = {**LISTED, "plugins": LISTED["plugins"][::-1]}
    assert fingerprints.of_definition("n", json.dumps(turned)) != fingerprints.of_definition("n", json.dumps(LISTED))


def test_the_hash_is_as_the_contract_says() -> None:
    # sha256 of {"ipam":{"type":"static"},"master":"eth1","name":"n","type":"macvlan"}
    assert fingerprints.of_definition("n", json.dumps({**SINGLE, "cniVersion": "1.0.0"})) == "ef3d9b6ce75c8628"


@pytest.mark.parametrize("config", ["", " ", "[]", "null", "{", "[" * 100_000])
def test_what_is_no_configuration_has_no_hash(config: str) -> None:
    assert fingerprints.of_definition("n", config) == ""


@given(conf=st.dictionaries(st.text(max_size=5) | st.sampled_from(["plugins", "type", "name"]), VALUES, max_size=4))
def test_nothing_that_is_an_object_makes_it_fail(conf: dict[str, Any]) -> None:
    assert len(fingerprints.of_conf(conf)) == fingerprints.DIGITS
