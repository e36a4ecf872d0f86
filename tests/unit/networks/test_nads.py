"""Reading the envelope of a definition."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.networks import nads

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def manifest(**fields: object) -> dict[str, Any]:
    return {"apiVersion": nads.API_VERSION, "kind": nads.KIND, "metadata": {"name": "x"}} | fields


def paths(reading: nads.Reading) -> list[str]:
    return [problem.path for problem in reading.problems]


@pytest.mark.parametrize("spec", [None, {}, {"config": ""}, {"config": None}])
def test_a_definition_without_a_configuration_is_fine(spec: object) -> None:
    reading = nads.read(manifest(spec=spec))
    assert reading == nads.Reading(nad=nads.Nad(namespace="", name="x", config="", resource_name=""), problems=())


def test_what_matters_is_read() -> None:
    metadata = {"name": "x", "namespace": "n", "annotations": {nads.RESOURCE_NAME: "intel.com/vf", "other": "y"}}
    reading = nads.read(manifest(metadata=metadata, spec={"config": "{}"}))
    assert reading.nad == nads.Nad(namespace="n", name="x", config="{}", resource_name="intel.com/vf")


def test_a_name_that_is_generated_later_may_be_missing() -> None:
    assert nads.read(manifest(metadata={"generateName": "x-"})).problems == ()


@pytest.mark.parametrize("config", [{"type": "bridge"}, ["x"], 5, True])
def test_a_configuration_that_is_no_string_is_told_how_to_write(config: object) -> None:
    reading = nads.read(manifest(spec={"config": config}))
    assert paths(reading) == ["spec.config"]
    assert "config: |" in reading.problems[0].remedy


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"spec": {"Config": "{}"}}, "spec.Config"),
        ({"spec": {"CONFIG": "{}"}}, "spec.CONFIG"),
        ({"config": "{}", "spec": {}}, "config"),
        ({"config": "{}"}, "config"),
        ({"spec": "{}"}, "spec"),
        ({"apiVersion": "k8s.cni.cncf.io/v1beta1"}, "apiVersion"),
        ({"kind": "Network"}, "kind"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"name": 5}}, "metadata.name"),
    ],
)
def test_what_the_api_server_refuses_or_drops_is_told(fields: dict[str, object], path: str) -> None:
    assert path in paths(nads.read(manifest(**fields)))


def test_the_configuration_of_a_broken_envelope_is_still_read() -> None:
    reading = nads.read(manifest(metadata={"name": 5}, spec={"config": "{"}))
    assert reading.nad is not None
    assert reading.nad.config == "{"


def test_an_annotation_that_is_no_text_is_told() -> None:
    reading = nads.read(manifest(metadata={"name": "x", "annotations": {nads.RESOURCE_NAME: 5}}))
    assert paths(reading) == [f"metadata.annotations[{nads.RESOURCE_NAME}]"]


@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "config"]), ANYTHING))
def test_no_manifest_makes_it_raise(fields: dict[str, object]) -> None:
    nads.read(fields)
    nads.read(manifest(**fields))


@given(ANYTHING, ANYTHING)
def test_no_field_makes_it_raise(annotations: object, config: object) -> None:
    nads.read(manifest(metadata={"name": "x", "annotations": annotations}, spec={"config": config}))
