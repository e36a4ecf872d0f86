"""What a finding is about is underlined in the manifest itself, however YAML writes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.networks import manifests
from mooring.rules import extents, files

CONFIG = '{\n  "cniVersion": "1.0.0",\n  "type": "bridge",\n  "bridg": "it\'s",\n  "vlan": "100"\n}'


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))


STYLES = {
    "literal": "|\n" + _indented(CONFIG),
    "folded": ">-\n" + _indented(CONFIG),
    "single quotes": "'" + CONFIG.replace("'", "''").replace("\n", "\n    ") + "'",
    "double quotes": json.dumps(CONFIG),
    "double quotes over lines": '"' + json.dumps(CONFIG)[1:-1].replace(",", ",\\\n    ") + '"',
}


def _underlined(text: str) -> dict[str, str]:
    return {each.finding.code: text[each.place.offset : each.end.offset] for each in files.judge(text).found}


@pytest.mark.parametrize("style", STYLES)
def test_the_key_or_the_value_is_underlined_as_it_is_written(style: str) -> None:
    text = f"kind: NetworkAttachmentDefinition\nmetadata: {{name: a}}\nspec:\n  config: {STYLES[style]}\n"
    found = _underlined(text)
    quote = '\\"' if style.startswith("double") else '"'
    assert found["MR110"] == f"{quote}bridg{quote}"
    assert found["MR120"] == f"{quote}100{quote}"


def test_of_what_is_no_json_the_word_at_the_place_is_underlined() -> None:
    text = "kind: NetworkAttachmentDefinition\nmetadata: {name: a}\nspec:\n  config: '{\"type\": bridge}'\n"
    assert _underlined(text)["MR101"] == "bridge"


def test_of_an_annotation_in_a_block_the_first_line_is_underlined() -> None:
    text = "kind: Pod\nmetadata:\n  annotations:\n    k8s.v1.cni.cncf.io/networks: |\n      a,,b  \n"
    assert _underlined(text)["MR501"] == "a,,b"


@given(st.text(), st.integers(0, 50), st.sampled_from(["MR110", "MR120"]))
def test_any_text_has_an_extent_inside_of_it(text: str, offset: int, code: str) -> None:
    offset = min(offset, len(text))
    start, end = extents.extent(text, offset, code)
    assert 0 <= start <= end <= len(text)
    assert (start, end) == (offset, offset) or start < end or offset == len(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(0, 20), st.integers(0, 20))
def test_any_span_of_any_text_lies_in_the_file(config: str, start: int, length: int) -> None:
    text = json.dumps({"spec": {"config": config}})
    (manifest,) = manifests.read(text)
    first, last = manifest.span(("spec", "config"), start, start + length)
    assert 0 <= first.offset <= last.offset <= len(text)
