"""What a sandbox holds is told as long as it is held, for pods that have more than the default network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mooring.agent import holdings
from mooring.installing import attachmentslices
from mooring.networks import fingerprints
from mooring.node import journals
from tests.unit.agent.conftest import line

EXAMPLES = Path(__file__).parents[3] / "plugin" / "contract" / "examples" / "journal"
DEVICE = "0000:03:02.1"
CONF = {"cniVersion": "1.0.0", "name": "storage", "type": "macvlan", "master": "eth1"}


def entries(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(text) for text in holdings.entries(journals.parse(data))]


def attached(
    *, nad: bool = True, default: bool = False, result: dict[str, Any] | None = None, uid: str = "u", **more: Any
) -> bytes:
    """Return a journal of one network."""
    pod = {"namespace": "default", "name": "web", "uid": uid}
    header = {"type": "header", "version": 1, "time": "2026-03-01T12:00:00.000001Z", "pod": pod}
    intent = {"index": 0, "network": "a/n", "nad": nad, "default": default, "ifName": "net1", "conf": CONF, **more}
    done = {"type": "result", "verb": "ADD", "index": 0, "time": "2026-03-01T12:00:01.000001Z"}
    done["result"] = result or {"cniVersion": "1.0.0", "ips": [{"address": "10.1.1.2/24"}]}
    return line(header) + line({"type": "intents", "attachments": [intent]}) + line(done)


def test_both_networks_of_a_pod_are_told_as_the_contract_shows() -> None:
    found = entries((EXAMPLES / "attached.jsonl").read_bytes())
    pod = {"namespace": "default", "name": "web-1", "uid": "6d0f1c3e-8a57-4b0e-9a3e-0d6f5b2a7c11"}
    conf = {"cniVersion": "1.0.0", "name": "storage", "type": "macvlan", "master": "eth1", "ipam": {"type": "static"}}
    assert [each["network"] for each in found] == ["pod-network", "default/storage"]
    assert found[0]["addresses"] == ["10.244.1.5/24"], "the bridge on the node's side is not the pod's"
    assert found[1] == {
        "pod": pod,
        "network": "default/storage",
        "interface": "net1",
        "addresses": ["192.168.7.5/24"],
        "mac": "0a:58:c0:a8:07:05",
        "configHash": fingerprints.of_definition("storage", json.dumps(conf)),
        "attachedAt": "2026-03-01T12:00:00.052000Z",
    }


def test_a_pod_with_the_default_network_alone_holds_nothing_that_is_told() -> None:
    assert entries((EXAMPLES / "alone.jsonl").read_bytes()) == []


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ({"nad": True, "default": True}, True),
        ({"nad": False, "default": True}, False),
        ({"nad": False, "default": False}, True),
        ({"nad": False, "default": False, "result": {"cniVersion": "1.0.0"}}, False),
        ({"nad": True, "default": False, "result": {"cniVersion": "1.0.0"}}, True),
    ],
)
def test_a_definition_or_an_address_beside_the_default_network_makes_a_pod_worth_telling(
    network: dict[str, Any], told: bool
) -> None:
    assert bool(entries(attached(**network))) == told


def test_what_is_being_undone_or_could_not_be_is_held_until_it_is_undone() -> None:
    data = attached()
    for record in (
        {"type": "begun", "verb": "DEL", "index": 0},
        {"type": "result", "verb": "DEL", "index": 0, "error": {"code": 11, "msg": "no"}},
        {"type": "quarantined", "index": 0},
    ):
        data += line(record)
        assert len(entries(data)) == 1, record
    assert entries(data + line({"type": "result", "verb": "DEL", "index": 0})) == []


def test_an_add_that_failed_holds_nothing() -> None:
    failed = {"type": "result", "verb": "ADD", "index": 0, "error": {"code": 7, "msg": "no"}}
    assert entries(b"".join(attached().splitlines(keepends=True)[:2]) + line(failed)) == []


def test_each_interface_of_a_network_is_an_entry_with_its_own_addresses_in_their_shortest_form() -> None:
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "br1", "mac": "02:00:00:00:00:01"},
            {"name": "a0", "mac": "02:00:00:00:00:0A", "sandbox": "/x"},
            {"name": "b0", "sandbox": "/x"},
        ],
        "ips": [
            {"address": "10.1.1.1/24", "interface": 0},
            {"address": "FD00:0::2/64", "interface": 1},
            {"address": "::ffff:10.1.1.3/120", "interface": 2},
        ],
    }
    assert [(each["interface"], each["addresses"], each.get("mac")) for each in entries(attached(result=result))] == [
        ("a0", ["fd00::2/64"], "02:00:00:00:00:0a"),
        ("b0", ["10.1.1.3/24"], None),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"capabilityArgs": {"deviceID": DEVICE}, "conf": {**CONF, "deviceID": "another"}},
        {"conf": {**CONF, "pciBusID": DEVICE}},
        {"conf": {"name": "n", "plugins": [{"type": "x"}, {"type": "sriov", "deviceID": DEVICE}]}},
    ],
)
def test_the_device_is_the_one_that_was_given_or_that_the_configuration_names(more: dict[str, Any]) -> None:
    assert [each["device"] for each in entries(attached(**more))] == [DEVICE]


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-13-01T12:00:00Z", "2026-03-01T12:00:00", "2026-03-01"])
def test_a_time_that_the_api_server_would_refuse_is_left_out(moment: str) -> None:
    lines = attached().splitlines(keepends=True)
    record = {"type": "result", "verb": "ADD", "index": 0, "time": moment, "result": {}}
    [entry] = entries(b"".join(lines[:2]) + line(record))
    assert "attachedAt" not in entry


def test_what_a_journal_lacks_an_entry_lacks() -> None:
    [entry] = entries(attached(uid="", conf=None, result={"cniVersion": "1.0.0", "interfaces": [{"mac": "\ud800"}]}))
    assert set(entry) == {"pod", "network", "interface", "addresses", "attachedAt"}
    assert entry["pod"] == {"namespace": "default", "name": "web"}


def test_half_a_character_is_stored_as_the_api_server_would() -> None:
    assert json.loads(holdings.text({"network": "\ud83d"})) == {"network": "\ufffd"}


def test_every_entry_fits_the_model_of_the_crd() -> None:
    for path in EXAMPLES.iterdir():
        for entry in entries(path.read_bytes()):
            attachmentslices.HeldAttachment.model_validate(entry)
