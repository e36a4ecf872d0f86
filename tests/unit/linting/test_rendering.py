"""What was found, in the words of those who read it: a person, a program, a workflow, code scanning."""

from __future__ import annotations

import json
import re

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from mooring.linting import github, outcomes, records, sarif, text
from mooring.linting.settings import Settings
from mooring.networks import paths
from mooring.rules.files import Located
from mooring.rules.findings import Finding, Severity

BROKEN = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: broken}
spec:
  config: '{"cniVersion": "1.0.0", "type": "bridge", "vlan": 5000, "bridg": "x"}'
"""
TEXTS = {"./net works/a.yaml": BROKEN, "b.yaml": "a: [", "c.yaml": "{{ a }}\n{{ b }}\n"}
OUTCOME = outcomes.judge(TEXTS, Settings())

#: What the published schema of SARIF 2.1.0 requires of the objects that we write, and what they may hold of ours.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {"$ref": "#/$defs/run"}},
    },
    "$defs": {
        "run": {
            "type": "object",
            "required": ["tool"],
            "additionalProperties": False,
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "additionalProperties": False,
                    "properties": {"driver": {"$ref": "#/$defs/component"}},
                },
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "invocations": {"type": "array", "items": {"$ref": "#/$defs/invocation"}},
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
        },
        "component": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "version": {"type": "string"},
                "rules": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/rule"}},
            },
        },
        "rule": {
            "type": "object",
            "required": ["id"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "string"},
                **{key: {"$ref": "#/$defs/words"} for key in ("shortDescription", "fullDescription", "help")},
                "defaultConfiguration": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"level": {"$ref": "#/$defs/level"}},
                },
                "properties": {
                    "type": "object",
                    "properties": {"tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}},
                },
            },
        },
        "invocation": {
            "type": "object",
            "required": ["executionSuccessful"],
            "additionalProperties": False,
            "properties": {
                "executionSuccessful": {"type": "boolean"},
                "toolExecutionNotifications": {"type": "array", "items": {"$ref": "#/$defs/notification"}},
            },
        },
        "notification": {
            "type": "object",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "message": {"$ref": "#/$defs/words"},
                "level": {"$ref": "#/$defs/level"},
                "locations": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/location"}},
            },
        },
        "result": {
            "type": "object",
            # `locations` and the fingerprints are what GitHub asks for beyond the schema.
            "required": ["message", "ruleId", "locations", "partialFingerprints"],
            "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": -1},
                "level": {"$ref": "#/$defs/level"},
                "message": {"$ref": "#/$defs/words"},
                "locations": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/location"}},
                "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "location": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "required": ["artifactLocation"],
                    "additionalProperties": False,
                    "properties": {
                        "artifactLocation": {
                            "type": "object",
                            "required": ["uri"],
                            "additionalProperties": False,
                            "properties": {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9._~:/%+-]+$"}},
                        },
                        "region": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                key: {"type": "integer", "minimum": 1}
                                for key in ("startLine", "startColumn", "endLine", "endColumn")
                            },
                        },
                    },
                },
                "logicalLocations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {"fullyQualifiedName": {"type": "string"}, "kind": {"type": "string"}},
                    },
                },
            },
        },
        "level": {"enum": ["none", "note", "warning", "error"]},
        "words": {
            "type": "object",
            "required": ["text"],
            "additionalProperties": False,
            "properties": {"text": {"type": "string", "minLength": 1}},
        },
    },
}


def test_a_person_sees_the_place_underlined_and_all_that_was_left_out() -> None:
    bad, unknown = (each.finding for each in OUTCOME.files[0].found)
    assert list(text.render(OUTCOME)) == [
        "./net works/a.yaml:5:62: Enforce MR121 NetworkAttachmentDefinition broken: spec.config: $.vlan",
        """     5 |   config: '{"cniVersion": "1.0.0", "type": "bridge", "vlan": 5000, "bridg": "x"}'""",
        "       | " + " " * 61 + "^^^^",
        f"    {bad.message}",
        f"    {bad.remedy}",
        "./net works/a.yaml:5:68: Warn MR110 NetworkAttachmentDefinition broken: spec.config: $.bridg",
        """     5 |   config: '{"cniVersion": "1.0.0", "type": "bridge", "vlan": 5000, "bridg": "x"}'""",
        "       | " + " " * 67 + "^^^^^^^",
        f"    {unknown.message}",
        f"    {unknown.remedy}",
        f"skipped c.yaml:1:1: {outcomes.UNEXPANDED}",
        "1 object in 1 file judged: 1 to be refused, 0 with a warning (2 findings)",
    ]


def _located(line: str, start: int, end: int) -> Located:
    finding = Finding("MR110", Severity.WARN, "spec", "m", "r")
    return Located("x", paths.position(line, start), finding, paths.position(line, end), 0)


def test_of_a_long_line_the_piece_with_the_place_is_shown() -> None:
    line = "a" * 500 + "WRONG" + "b" * 500
    shown, marked = text.underline([line], _located(line, 500, 505))
    assert len(shown) < 130
    assert shown[marked.index("^") : marked.rindex("^") + 1] == "WRONG"
    assert shown.endswith("...")
    assert " | ..." in shown


def test_wide_characters_and_tabs_are_marked_where_a_terminal_shows_them() -> None:
    line = "\t名: 値"
    assert list(text.underline([line], _located(line, 4, 5))) == ["     1 | \t名: 値", "       | \t    ^^"]


def test_what_a_terminal_would_act_on_is_not_printed() -> None:
    line = "a\x1b[31m: b"
    assert "\x1b" not in "".join(text.underline([line], _located(line, 0, 1)))


@given(st.text(alphabet=st.characters(blacklist_characters="\n"), max_size=300), st.data())
def test_any_place_in_any_line_can_be_underlined(line: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, len(line)))
    for each in text.underline([line], _located(line, start, end)):
        assert len(each) < 400


def test_a_program_gets_everything_in_one_document() -> None:
    document = json.loads(records.render(OUTCOME))
    assert document["version"] == "mooring.dev/lint/v1"
    first = document["findings"][0]
    assert (first["file"], first["line"], first["column"], first["endColumn"]) == ("./net works/a.yaml", 5, 62, 66)
    assert (first["code"], first["severity"], first["object"]) == (
        "MR121",
        "Enforce",
        "NetworkAttachmentDefinition broken",
    )
    assert document["unreadable"][0]["line"] == 1
    assert document["skipped"][0]["file"] == "c.yaml"
    assert document["totals"] == {
        "files": 1,
        "judged": 1,
        "refused": 1,
        "warned": 0,
        "findings": 2,
        "hidden": 0,
        "others": {},
    }


def test_a_workflow_gets_one_command_for_each_finding_and_note() -> None:
    lines = list(github.render(OUTCOME))
    assert lines[0].startswith("::error file=./net works/a.yaml,line=5,endLine=5,col=62,endColumn=65,title=MR121 ")
    assert lines[1].startswith("::warning ")
    assert lines[2].startswith("::error file=b.yaml,line=1,")
    assert lines[3].startswith("::notice file=c.yaml,line=1,col=1::")
    assert lines[4] == OUTCOME.total()


@given(st.text(), st.text())
def test_no_text_ends_a_command_of_a_workflow_or_begins_another(name: str, path: str) -> None:
    finding = Finding("MR110", Severity.WARN, path, "m", "r")
    place = paths.Position(0, 1, 1)
    file = outcomes.File(name, "", 1, (Located("x", place, finding, place, 0),))
    first, _ = github.render(outcomes.Outcome((file,), (), (), (), 0))
    assert "\n" not in first
    assert "\r" not in first
    assert re.match(r"::warning file=[^,:]*,line=1,", first)


def test_code_scanning_gets_what_the_standard_requires() -> None:
    log = json.loads(sarif.render(OUTCOME, version="1.2.3"))
    jsonschema.Draft202012Validator(SARIF).validate(log)
    (run,) = log["runs"]
    assert run["tool"]["driver"]["version"] == "1.2.3"
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "net%20works/a.yaml"}
    assert place["region"] == {"startLine": 5, "startColumn": 62, "endLine": 5, "endColumn": 66}
    assert [result["level"] for result in run["results"]] == ["error", "warning"]
    invocation = run["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert [each["level"] for each in invocation["toolExecutionNotifications"]] == ["error", "note"]


def test_a_finding_is_the_same_alert_wherever_it_moves() -> None:
    moved = outcomes.judge({"other.yaml": "# more\n\n" + BROKEN}, Settings())
    prints = [
        [each["partialFingerprints"] for each in json.loads(sarif.render(outcome, version="1"))["runs"][0]["results"]]
        for outcome in (OUTCOME, moved)
    ]
    assert prints[0] == prints[1]
    assert prints[0][0] != prints[0][1]
