"""What of the chart is made out of the manifests is fresh, and a manifest that it does not understand is refused."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
import yaml

from charts import generate

MADE = generate.rendered()
VALUES: dict[str, Any] = yaml.safe_load((generate.CHART / "values.yaml").read_text())
BY_HAND = {
    "values.yaml",
    ".helmignore",
    "templates/NOTES.txt",
    "templates/_names.tpl",
    "templates/installation.yaml",
    "templates/uninstall.yaml",
    "templates/tests/verify.yaml",
}


def release() -> str:
    return str(tomllib.loads((generate.CHECKOUT / "pyproject.toml").read_text())["project"]["version"])


@pytest.mark.parametrize("path", sorted(MADE))
def test_the_files_are_fresh(path: str) -> None:
    assert (generate.CHART / path).read_text() == MADE[path], "run `make generate`"


def test_nothing_is_left_of_a_manifest_that_went() -> None:
    found = {str(path.relative_to(generate.CHART)) for path in generate.CHART.rglob("*") if path.is_file()}
    assert found == {*MADE, *BY_HAND}


def test_every_manifest_of_the_base_but_the_namespace_becomes_a_template() -> None:
    base = yaml.safe_load((generate.CHECKOUT / "manifests/base/kustomization.yaml").read_text())["resources"]
    assert {f"{name}.yaml" for name in generate.BASE} == {*base} - {"namespace.yaml", "../../crds"}


def test_chart_and_manifests_have_the_version_of_the_project() -> None:
    chart = yaml.safe_load(MADE["Chart.yaml"])
    assert chart["version"] == chart["appVersion"] == release()
    overlay = yaml.safe_load((generate.CHECKOUT / "manifests/default/kustomization.yaml").read_text())
    assert overlay["images"] == [{"name": VALUES["image"]["repository"], "newTag": release()}]


@pytest.mark.parametrize("version", ["0.2.0rc1", "0.2", "0.2.0.dev1"])
def test_a_version_that_helm_would_write_differently_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match=f"version {version}: write one like"):
        generate.version(f'[project]\nversion = "{version}"\n')


def test_a_manifest_without_the_place_of_a_value_is_refused() -> None:
    text = (generate.CHECKOUT / "manifests/base/operator.yaml").read_text().replace("replicas: 2", "replicas: 3")
    with pytest.raises(ValueError, match=r"operator\.yaml: 0 times, and not once: '  replicas: 2"):
        generate.template("operator", text, source="manifests/base/operator.yaml", release=release())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("message: '{{ x }}'\n", "would be read as a template"),
        ("user: system:serviceaccount:mooring-system:mooring-agent\n", "stands where no other namespace could"),
    ],
)
def test_a_manifest_that_could_not_be_in_another_namespace_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        generate.template("agent-policies", text, source="x.yaml", release=release())


def judged(**changes: Any) -> list[str]:
    values = json.loads(json.dumps(VALUES))
    for path, value in changes.items():
        *above, last = path.split("__")
        place = values
        for name in above:
            place = place[name]
        place[last] = value
    validator = jsonschema.Draft7Validator(json.loads(MADE["values.schema.json"]))
    return [error.message for error in validator.iter_errors(values)]


def test_the_values_as_they_come_fit_their_schema() -> None:
    assert judged() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"replica": 3}, "'replica' was unexpected"),
        ({"operator__replicas": 0}, "0 is less than the minimum of 1"),
        ({"image__digest": "sha256:abc"}, "does not match"),
        ({"installation__spec": {"plugin": {"loglevel": "debug"}}}, "'loglevel' was unexpected"),
        ({"installation__spec": {"plugin": {"logLevel": "loud"}}}, "'loud' is not one of"),
        ({"installation__spec": {"rollout": {"maxUnavailable": []}}}, r"\[\] is not of type 'integer', 'string'"),
    ],
)
def test_a_value_that_means_nothing_is_refused(changes: dict[str, Any], problem: str) -> None:
    [said] = judged(**changes)
    assert re.search(problem, said)


def test_a_spec_that_the_definition_takes_is_taken() -> None:
    spec = {
        "defaultNetwork": "auto",
        "nodeSelector": {"pool": "a"},
        "tolerations": [{"operator": "Exists"}],
        "plugin": {"logLevel": "debug"},
        "rollout": {"maxUnavailable": "10%", "canary": {"nodes": 1}},
        "agent": {"resources": {"limits": {"memory": "300Mi"}}},
    }
    assert judged(installation__spec=spec) == []
