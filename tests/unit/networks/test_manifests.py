"""Reading files so that each value is found again."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mooring.networks import manifests

CONFIG = '{\n  "cniVersion": "1.0.0",\n  "type": "macvlan",\n  "name": "it\'s",\n  "mtu": 9000\n}'


def at(text: str, word: str, *, config: str = CONFIG) -> str:
    """Return what stands in the file where the configuration has `word`."""
    (manifest,) = manifests.read(text)
    spec = manifest.value["spec"]
    assert isinstance(spec, dict)
    place = manifest.inside(("spec", "config"), spec["config"].index(word))
    lines = text.split("\n")
    return lines[place.line - 1][place.column - 1 :]


def indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))


STYLES = {
    "literal": "spec:\n  config: |\n" + indented(CONFIG) + "\n",
    "literal with a remark": "spec:\n  config: |-  # mine\n\n" + indented(CONFIG) + "\n",
    "folded": "spec:\n  config: >-\n" + indented(CONFIG.replace("\n", "\n\n")) + "\n",
    "single quotes": "spec:\n  config: '" + CONFIG.replace("'", "''").replace("\n", "\n\n    ") + "'\n",
    "double quotes": "spec:\n  config: " + json.dumps(CONFIG) + "\n",
    "double quotes over lines": 'spec:\n  config: "' + json.dumps(CONFIG)[1:-1].replace(",", ",\\\n    ") + '"\n',
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("word", ["macvlan", "9000", "mtu", "1.0.0"])
def test_a_place_in_the_configuration_is_found_in_the_file(style: str, word: str) -> None:
    assert at(STYLES[style], word).startswith(word)


def test_the_end_of_the_configuration_is_found() -> None:
    (manifest,) = manifests.read("spec:\n  config: '{'\n")
    assert manifest.inside(("spec", "config"), 1).column == 13


def test_a_place_of_something_that_is_no_text_is_its_beginning() -> None:
    (manifest,) = manifests.read("spec:\n  config:\n    a: 1\n")
    assert manifest.inside(("spec", "config"), 5).line == 3


def test_the_deepest_value_that_there_is_is_located() -> None:
    (manifest,) = manifests.read("metadata:\n  name: x\n  annotations:\n    a: b\n")
    assert manifest.locate(("metadata", "annotations", "a")).line == 4
    assert manifest.locate(("metadata", "annotations", "c")).line == 4
    assert manifest.locate(("metadata", "name", "more")).line == 2


def test_all_objects_of_a_file_are_read_those_of_lists_as_well() -> None:
    text = "kind: A\n---\n---\n- 1\n---\nkind: List\nitems:\n- kind: B\n- kind: List\n  items: [{kind: C}]\n- 5\n"
    assert [manifest.value["kind"] for manifest in manifests.read(text)] == ["A", "B", "C"]


def test_a_file_may_be_json() -> None:
    (manifest,) = manifests.read('{"kind": "A", "spec": {"config": "{}"}}')
    assert manifest.value["kind"] == "A"


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1\nb: 2\n", 2), ("a: 'x\n", 2), ("a: *b\n", 1), ("a: !x b\n", 1), ("a: \x00", 1)]
)
def test_what_is_no_yaml_is_told_with_its_place(text: str, line: int) -> None:
    with pytest.raises(manifests.NotYAMLError) as caught:
        manifests.read(text)
    assert caught.value.place.line == line


@given(st.text(max_size=60) | st.text(alphabet="{}[]:,-|>'\"&*!# \n\tab", max_size=40))
def test_no_text_makes_it_raise_otherwise(text: str) -> None:
    try:
        read = manifests.read(text)
    except manifests.NotYAMLError:
        return
    for manifest in read:
        manifest.locate(("spec", "config"))


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=20)
)
def test_any_text_is_found_again_however_it_is_written(text: str) -> None:
    written = yaml.safe_dump({"spec": {"config": text + " END"}}, allow_unicode=False)
    (manifest,) = manifests.read(written)
    place = manifest.inside(("spec", "config"), len(text) + 1)
    assert written[place.offset :].startswith("END")


def _places(node: yaml.Node | None) -> list[tuple[str, int, int]]:
    assert node is not None
    found = [(node.tag, node.start_mark.index, node.end_mark.index)]
    if isinstance(node, yaml.MappingNode):
        return found + [place for pair in node.value for each in pair for place in _places(each)]
    if isinstance(node, yaml.SequenceNode):
        return found + [place for each in node.value for place in _places(each)]
    return found


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(alphabet="aé😀 '\"\\:#\n\t-", max_size=12)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abé", max_size=3), inner)),
        max_leaves=12,
    ),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.booleans(),
)
def test_the_fast_reader_sees_what_pythons_own_sees(value: object, style: str | None, flow: bool) -> None:
    text = yaml.safe_dump(
        {"kind": "A", "value": value}, default_style=style, default_flow_style=flow, allow_unicode=True
    )
    (manifest,) = manifests.read(text)
    slow = yaml.compose(text, Loader=yaml.SafeLoader)
    assert manifest.value == yaml.safe_load(text)
    assert [each[:2] for each in _places(manifest.node)] == [each[:2] for each in _places(slow)]


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "[" * 5_000 + "]" * 5_000, "- " * 20_000])
def test_what_is_nested_too_deep_is_told_and_ends_nothing(text: str) -> None:
    with pytest.raises(manifests.NotYAMLError):
        manifests.read(text)
