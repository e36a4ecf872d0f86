"""What came of a run: objects are counted as objects, and nothing is left out without a word."""

from __future__ import annotations

import pytest

from mooring.linting import outcomes
from mooring.linting.settings import Settings
from mooring.rules.findings import Severity

GOOD = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {{name: {name}, namespace: shop}}
spec:
  config: '{{"cniVersion": "1.0.0", "type": "bridge", "bridge": "{bridge}", "ipam": {ipam}}}'
"""
IPAM = '{"type": "host-local", "subnet": "10.0.0.0/24"}'
BROKEN = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: broken}
spec:
  config: '{"cniVersion": "1.0.0", "type": "bridge", "vlan": 5000, "mtu": "1", "bridg": "x"}'
"""


def good(name: str = "a", bridge: str = "br0", ipam: str = "{}") -> str:
    return GOOD.format(name=name, bridge=bridge, ipam=ipam)


def test_objects_are_counted_by_their_worst_finding() -> None:
    outcome = outcomes.judge({"a": BROKEN + "---\n" + BROKEN, "b": good() + "---\nkind: Pod\n"}, Settings())
    assert (outcome.judged, outcome.objects(Severity.ENFORCE), outcome.objects(Severity.WARN)) == (4, 2, 0)
    assert outcome.findings == 6
    assert outcome.total() == "4 objects in 2 files judged: 2 to be refused, 0 with a warning (6 findings)"


def test_findings_of_ignored_rules_are_counted_and_not_shown() -> None:
    outcome = outcomes.judge({"a": BROKEN}, Settings(ignore=("MR12",)))
    assert [each.finding.code for file in outcome.files for each in file.found] == ["MR110"]
    assert outcome.total() == (
        "1 object in 1 file judged: 0 to be refused, 1 with a warning (1 finding, 2 of ignored rules not shown)"
    )


def test_definitions_of_several_files_are_compared() -> None:
    outcome = outcomes.judge({"a": good("a", ipam=IPAM), "b": good("b", ipam=IPAM), "c": good("c")}, Settings())
    assert [(file.name, each.finding.code) for file in outcome.files for each in file.found] == [
        ("a", "MR320"),
        ("b", "MR320"),
    ]


def test_one_object_in_several_files_is_not_compared_with_itself() -> None:
    named = good(ipam=IPAM).replace('"type": "bridge"', '"name": "n", "type": "bridge"')
    outcome = outcomes.judge({"base": named, "overlay": named.replace("br0", "br1")}, Settings())
    assert outcome.findings == 0


@pytest.mark.parametrize(
    ("texts", "strict", "allow_empty", "status"),
    [
        ({"a": good()}, False, False, 0),
        ({"a": BROKEN}, False, False, 1),
        ({"a": BROKEN, "b": "a: ["}, False, False, 2),
        ({"a": good(), "b": "a: ["}, False, True, 2),
        ({}, False, False, 2),
        ({"a": "kind: Service\n"}, False, False, 2),
        ({"a": "kind: Service\n"}, True, True, 0),
    ],
)
def test_the_exit_status_tells_what_came_of_it(
    texts: dict[str, str], strict: bool, allow_empty: bool, status: int
) -> None:
    assert outcomes.judge(texts, Settings()).status(strict=strict, allow_empty=allow_empty) == status


def test_warnings_fail_where_that_is_asked_for() -> None:
    outcome = outcomes.judge({"a": good().replace('"bridge": ', '"bridg": ')}, Settings())
    assert outcome.objects(Severity.WARN) == 1
    assert outcome.status(strict=False, allow_empty=False) == 0
    assert outcome.status(strict=True, allow_empty=False) == 1


def test_a_mistake_in_the_yaml_is_told_with_its_line() -> None:
    outcome = outcomes.judge({"a.yaml": "a: 1\nb: [1\nc: 2\n"}, Settings())
    (note,) = outcome.unreadable
    assert str(note).startswith("a.yaml:3:2: not YAML: ")


@pytest.mark.parametrize(
    "text",
    ["{{- if .Values.network }}\nkind: X\n{{- end }}\n", 'metadata:\n  name: {{ include "x" . }}\n  {{ .Values.y }}\n'],
)
def test_an_unexpanded_template_is_skipped_with_a_note(text: str) -> None:
    outcome = outcomes.judge({"t.yaml": text, "a": good()}, Settings())
    (note,) = outcome.skipped
    assert str(note).startswith("t.yaml:")
    assert "helm template" in str(note)
    assert outcome.status(strict=True, allow_empty=False) == 0


def test_objects_that_are_not_for_the_rules_are_counted_by_kind() -> None:
    outcome = outcomes.judge({"a": "kind: Service\n---\nkind: Service\n---\n{}\n", "b": "kind: Secret\n"}, Settings())
    assert outcome.others == (("(without a kind)", 1), ("Secret", 1), ("Service", 2))
