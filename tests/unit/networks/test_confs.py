"""Reading configurations as text."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.networks import confs, paths

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def failure(text: str) -> confs.NotJSONError:
    with pytest.raises(confs.NotJSONError) as caught:
        confs.parse(text)
    return caught.value


class TestWhatIsJSON:
    @given(JSON)
    def test_it_is_read_as_it_was_written(self, value: object) -> None:
        assert confs.parse(json.dumps(value)).value == value

    @given(JSON)
    def test_every_value_is_found_again_in_the_text(self, value: object) -> None:
        text = json.dumps(value, indent=1)
        places = paths.Locator(text)
        waiting: list[tuple[paths.Path, object]] = [((), value)]
        while waiting:
            path, item = waiting.pop()
            place = places.locate(path)
            assert place is not None
            assert json.JSONDecoder().raw_decode(text, place.offset)[0] == item
            if isinstance(item, dict):
                waiting.extend(((*path, key), child) for key, child in item.items())
            elif isinstance(item, list):
                waiting.extend(((*path, index), child) for index, child in enumerate(item))

    def test_a_key_that_stands_twice_is_told_with_its_path(self) -> None:
        document = confs.parse('{"a": [{"b": 1, "c": 2, "b": 3}], "a": [{"b": 1, "b": 2}]}')
        assert [paths.render(path) for path in document.duplicates] == ["$.a", "$.a[0].b"]

    def test_the_last_of_two_keys_is_the_one_that_is_located(self) -> None:
        place = paths.Locator('{"a": 1, "a": 22}').locate(("a",))
        assert place is not None
        assert place.offset == 14

    @pytest.mark.parametrize("path", [("b",), ("a", 0), (0,), ("a", "b", "c")])
    def test_what_is_not_there_has_no_place(self, path: paths.Path) -> None:
        assert paths.Locator('{"a": {"b": 1}}').locate(path) is None

    def test_an_integer_of_any_length_is_read(self) -> None:
        assert confs.parse("1" * 10_000).value == float("inf")


class TestWhatIsNotJSON:
    @given(st.text(alphabet="{}[]\",:# \n\t\\/abct0123.-+'\u201c$\x00\ufeff\ud800", max_size=40))
    @example("[" * 100_000)
    @example('{"a":' * 100_000)
    @example('"')
    @example('{"a": -Infinity}')
    def test_no_text_makes_it_fail_otherwise(self, text: str) -> None:
        try:
            confs.parse(text)
        except confs.NotJSONError as error:
            assert 0 <= error.place.offset <= len(text)
            assert "\n" not in error.excerpt
            assert "<HERE>" in error.excerpt
            assert error.hint.endswith(".")

    def test_the_place_is_told_by_line_and_column(self) -> None:
        error = failure('{\n  "type": "bridge"\n  "mtu": 5\n}')
        assert (error.place.line, error.place.column) == (3, 3)
        assert error.excerpt == '{ "type": "bridge" <HERE>"mtu": 5 }'

    def test_a_long_text_is_cut_around_the_place(self) -> None:
        error = failure('{"a": "' + "x" * 500 + '", b: "' + "y" * 500 + '"}')
        assert len(error.excerpt) < 80
        assert error.excerpt.startswith("...")
        assert error.excerpt.endswith("...")

    @pytest.mark.parametrize(
        ("text", "problem", "hint"),
        [
            ('{"a": 1 "b": 2}', "missing comma", "Write a comma"),
            ('{"a" 1}', "missing colon", "Write a colon"),
            ('{"a": 1,}', "after the last entry", "Remove the last comma"),
            ('{"a": [1,]}', "after the last entry", "Remove the last comma"),
            ('{"a": 1,, "b": 2}', "comma too many", "Remove one comma"),
            ('{,"a": 1}', "comma too many", "Remove one comma"),
            ('{"a": }', "name without a value", "Write a value"),
            ('{"a": 1 # x\n}', "a comment", "Remove the remark"),
            ('{"a": 1 /* x */}', "a comment", "Remove the remark"),
            ("{'a': 1}", "single quote", "double quotes"),
            ("{“a”: 1}", "typographic quote", "double quotes"),
            ('{"a": yes}', "the word `yes`", "Write true"),
            ('{"a": None}', "the word `None`", "Write null"),
            ('{"a": bridge}', "the word `bridge`", "double quotes"),
            ("{a: 1}", "the word `a`", "double quotes"),
            ("{1: 1}", "something else than a name", '"name"'),
            ('{"a": NaN}', "no such number", "Write a number"),
            ('{"a": "NaN", "b": Infinity}', "no such number", "Write a number"),
            ('{"a": 007}', "number that goes on", "leading zeros"),
            ('{"a": 10.0.0.1}', "number that goes on", "double quotes"),
            ('{"a": 0x10}', "number that goes on", "double quotes"),
            ('{"a": "b\tc"}', "tab inside a text", "\\t"),
            ('{"a": "b', "never ends", "Close the text"),
            ('{"a": "\\d"}', "backslash", "Write \\\\"),
            ('{"a": [1, {"b": 2', "3 bracket(s) still open", "Write `}]}` at the end"),
            ('{"a": 1}}', "bracket too many", "Remove what follows"),
            ('{"a": 1} {"b": 2}', "after the end of the object", "Remove what follows"),
            ('{"a": [1}', "closes nothing here", "bracket"),
            ('{"a": ${A}}', "placeholder", "variable"),
            ('{"a": {{ .A }}}', "template", "Expand"),
            ("\ufeff{}", "byte order mark", "without"),
            ("type: bridge", "not JSON (YAML", "Write a JSON object"),
            (" \n ", "nothing but blanks", "Write a configuration"),
            ("[" * 5000, "nested too deep", "fewer levels"),
            ('{"a": +5}', "something that is not JSON", "double quotes"),
        ],
    )
    def test_what_is_meant_is_guessed(self, text: str, problem: str, hint: str) -> None:
        error = failure(text)
        assert problem in error.problem
        assert hint in error.hint


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ((), "$"),
            (("plugins", 0, "ipam"), "$.plugins[0].ipam"),
            (("capabilities", "io.kubernetes.cri"), '$.capabilities["io.kubernetes.cri"]'),
            (("a b", "ü", '"'), '$["a b"]["\\u00fc"]["\\""]'),
        ],
    )
    def test_they_are_written_as_people_write_them(self, path: paths.Path, text: str) -> None:
        assert paths.render(path) == text

    def test_an_offset_beyond_the_end_is_the_end(self) -> None:
        assert paths.position("a\nb", 99) == paths.Position(offset=3, line=2, column=2)
