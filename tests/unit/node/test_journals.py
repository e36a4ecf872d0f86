"""A journal is read as far as it can be, whatever happened to it."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.node import journals

EXAMPLES = Path(__file__).parents[3] / "plugin" / "contract" / "examples"
INDEX = [entry for entry in json.loads((EXAMPLES / "index.json").read_text()) if entry["format"] == "journal"]


def line(record: object) -> bytes:
    body = json.dumps(record, separators=(",", ":")).encode()
    return b'{"crc":"%08x","record":%b}\n' % (zlib.crc32(body), body)


@pytest.mark.parametrize("entry", INDEX, ids=[entry["file"] for entry in INDEX])
def test_the_contract_s_examples_are_read_as_its_index_says(entry: dict[str, Any]) -> None:
    journal = journals.read(EXAMPLES / entry["file"])
    assert journal is not None
    assert {
        "readable": journal.readable,
        "torn": journal.torn,
        "records": journal.records,
        "intact": journal.intact,
        "attached": [each.index for each in journal.attachments if each.attached],
        "undone": [each.index for each in journal.attachments if each.undone],
        "quarantined": [each.index for each in journal.attachments if each.quarantined],
    } == {key: entry[key] for key in ("readable", "torn", "records", "intact", "attached", "undone", "quarantined")}


def test_header_and_results_are_told() -> None:
    journal = journals.read(EXAMPLES / "journal" / "attached.jsonl")
    assert journal is not None
    assert (journal.namespace, journal.pod, journal.interface) == ("default", "web-1", "eth0")
    assert journal.uid == "6d0f1c3e-8a57-4b0e-9a3e-0d6f5b2a7c11"
    assert journal.complete
    assert [(each.network, each.nad, each.default) for each in journal.attachments] == [
        ("pod-network", False, True),
        ("default/storage", True, False),
    ]
    assert journal.attachments[1].result is not None
    assert journal.attachments[1].result["ips"] == [{"interface": 0, "address": "192.168.7.5/24"}]


@given(data=st.binary())
def test_no_bytes_make_the_reader_fail(data: bytes) -> None:
    journals.parse(data)


@given(cut=st.integers(min_value=0))
def test_a_power_cut_at_any_byte_loses_the_last_line_at_most(cut: int) -> None:
    whole = (EXAMPLES / "journal" / "attached.jsonl").read_bytes()
    cut %= len(whole) + 1
    journal = journals.parse(whole[:cut])
    assert journal.records == whole[:cut].count(b"\n")
    assert journal.torn == (not whole[:cut].endswith(b"\n") and cut > 0)
    assert journal.intact
    assert journal.readable


@given(place=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_is_noticed(place: int, bit: int) -> None:
    whole = bytearray((EXAMPLES / "journal" / "attached.jsonl").read_bytes())
    place %= len(whole)
    before = journals.parse(bytes(whole))
    whole[place] ^= 1 << bit
    after = journals.parse(bytes(whole))
    assert after.records < before.records
    assert after.torn or not after.intact


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["header", "intents", "begun", "result", "quarantined", "later"])},
    optional=dict.fromkeys(
        ("version", "pod", "attachments", "index", "verb", "result", "error", "time", "deviceInfo"), JSON
    ),
)


@given(records=st.lists(RECORDS | JSON, max_size=6))
def test_records_of_any_shape_with_right_checksums_make_nothing_fail(records: list[object]) -> None:
    journal = journals.parse(b"".join(map(line, records)))
    assert journal.records == sum(isinstance(record, dict) for record in records)


def test_a_journal_that_is_gone_is_none(tmp_path: Path) -> None:
    assert journals.read(tmp_path / "c@eth0.jsonl") is None


@pytest.mark.parametrize("name", ["abc@eth0.jsonl", "a.b-c_d@net1.jsonl"])
def test_names_of_journals_are_known(name: str) -> None:
    assert journals.is_journal(name)
    container, interface = journals.sandbox(name)
    assert f"{container}@{interface}.jsonl" == name


@pytest.mark.parametrize(
    "name", [".abc@eth0.jsonl.tmp", "abc.jsonl", "abc@eth0.json", "@eth0.jsonl", "../a@b.jsonl", ""]
)
def test_other_names_are_not(name: str) -> None:
    assert not journals.is_journal(name)
    with pytest.raises(ValueError, match="not the name of a journal"):
        journals.sandbox(name)


def test_what_was_executed_and_when_it_succeeded_is_told() -> None:
    journal = journals.read(EXAMPLES / "journal" / "attached.jsonl")
    assert journal is not None
    storage = journal.attachments[1]
    assert storage.conf["master"] == "eth1"
    assert storage.given == {"ips": ["192.168.7.5/24"]}
    assert storage.time == "2026-03-01T12:00:00.052000Z"
    assert storage.held


@pytest.mark.parametrize("entry", INDEX, ids=[entry["file"] for entry in INDEX])
def test_what_an_add_gave_is_held_until_it_is_undone(entry: dict[str, Any]) -> None:
    journal = journals.read(EXAMPLES / entry["file"])
    assert journal is not None
    held = {each.index for each in journal.attachments if each.held}
    assert set(entry["attached"]) <= held
    assert not held & set(entry["undone"])
