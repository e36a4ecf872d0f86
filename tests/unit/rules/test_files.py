"""Judging whole files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.networks import manifests
from mooring.rules import files
from mooring.rules.findings import Severity

EXAMPLES = Path(__file__).parents[3] / "examples"

NAD = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: storage
  namespace: shop
spec:
  config: |
    {
      "cniVersion": "1.0.0",
      "type": "bridge",
      "vlan": "100"
    }
"""
BROKEN = NAD.replace('"vlan"', '// remark\n      "vlan"')


def seen(text: str) -> list[str]:
    return [f"{each.place.line}:{each.place.column} {each.finding.code}" for each in files.judge(text).found]


def test_a_finding_tells_the_place_in_the_file_and_the_object() -> None:
    (located,) = files.judge("# a remark\n---\n" + NAD).found
    assert located.subject == "NetworkAttachmentDefinition shop/storage"
    assert (located.place.line, located.place.column) == (13, 15)


def test_what_is_not_json_tells_the_place_in_the_file() -> None:
    assert seen(BROKEN) == ["11:7 MR101"]


def test_the_shape_of_the_manifest_tells_the_place_in_the_file() -> None:
    assert seen(NAD.replace("  config: |\n    {", "  config:\n    {")) == ["8:5 MR100"]


def test_pods_and_templates_of_pods_are_judged() -> None:
    pod = "kind: Pod\nmetadata:\n  annotations:\n    k8s.v1.cni.cncf.io/networks: a,,b\n"
    assert seen(pod) == ["4:34 MR501"]
    deployment = (
        "kind: Deployment\nmetadata:\n  annotations:\n    k8s.v1.cni.cncf.io/networks: ',,'\n"
        "spec:\n  template:\n    metadata:\n      annotations:\n        k8s.v1.cni.cncf.io/networks: a@x,b@x\n"
    )
    assert seen(deployment) == ["9:38 MR502"]


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "CronJob", "Job"])
def test_a_pod_that_asks_for_nothing_has_no_findings(kind: str) -> None:
    report = files.judge(f"kind: {kind}\nmetadata: {{name: x}}\nspec: {{template: null}}\n")
    assert (report.judged, report.found) == (1, ())


def test_other_objects_are_left_alone() -> None:
    assert files.judge("kind: ConfigMap\nmetadata: {name: x}\n---\nkind: [5]\n") == files.Report(
        0, (), (), (("(without a kind)", 1), ("ConfigMap", 1))
    )


def test_definitions_of_one_file_are_compared() -> None:
    one = NAD.replace('"vlan": "100"', '"ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}')
    other = one.replace("name: storage", "name: backup")
    assert [line.split()[1] for line in seen(one + "---\n" + other)] == ["MR320", "MR320"]


@pytest.mark.parametrize("placeholder", ["${VLAN}", "{{ .Values.vlan }}"])
def test_a_placeholder_that_is_expanded_later_is_skipped_with_a_note(placeholder: str) -> None:
    report = files.judge(NAD.replace('"100"', placeholder))
    assert (report.judged, report.found) == (0, ())
    assert report.skipped[0].startswith(f"NetworkAttachmentDefinition shop/storage: {placeholder} ")


def test_a_placeholder_inside_of_a_text_is_judged_as_it_stands() -> None:
    assert files.judge(NAD.replace('"vlan": "100"', '"bridge": "${BRIDGE}"')) == files.Report(1, (), ())


def test_severities_are_the_administrators() -> None:
    report = files.judge(NAD, severities={"MR120": Severity.WARN})
    assert files.worst(report) is Severity.WARN
    assert files.worst(files.judge(NAD)) is Severity.ENFORCE
    assert files.worst(files.judge("")) is None


def test_what_is_no_yaml_raises() -> None:
    with pytest.raises(manifests.NotYAMLError):
        files.judge("a: [")


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: file.name)
def test_our_own_examples_are_right_unless_they_are_meant_to_be_broken(file: Path) -> None:
    worst = files.worst(files.judge(file.read_text(encoding="utf-8")))
    if file.name.startswith("broken"):
        assert worst is Severity.ENFORCE
    else:
        assert worst in (None, Severity.AUDIT)
