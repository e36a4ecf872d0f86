"""The CRDs are what the models say, and structural."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mooring.installing import crds, definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parents[3] / "crds"


@pytest.mark.parametrize("name", sorted(crds.definitions()))
def test_the_files_are_fresh(name: str) -> None:
    assert (FOLDER / name).read_text() == crds.rendered(crds.definitions()[name]), "run `make generate`"


def test_the_command_writes_every_file(tmp_path: Path) -> None:
    assert crds.main([str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(crds.definitions())


def test_what_the_operator_creates_is_what_a_person_would_apply() -> None:
    assert yaml.safe_load((FOLDER / "network-attachment-definitions.yaml").read_text()) == definitions.definition()


def test_the_crd_of_networks_is_in_no_kustomization() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(crds.definitions())


def schemas(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from schemas(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from schemas(schema[key], f"{path}[]")


@pytest.mark.parametrize("name", sorted(crds.definitions()))
def test_every_schema_is_structural(name: str) -> None:
    root = crds.definitions()[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, schema in schemas(root, ""):
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "anyOf", "allOf", "title", "const"} & set(schema), path


@pytest.mark.parametrize("name", sorted(crds.definitions()))
def test_kind_and_every_field_explain_themselves_in_sentences(name: str) -> None:
    root = crds.definitions()[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, schema in schemas(root, ""):
        # The entries of a list of plain values are explained with the list.
        if path == ".metadata" or (path.endswith("[]") and schema.get("type") != "object"):
            continue
        description = schema.get("description", "")
        assert description.endswith("."), f"{path} needs a description that is a sentence: {description!r}"
        assert "\n" not in description, f"{path}: {description!r}"


def test_no_two_kinds_share_a_short_name() -> None:
    names = [name for each in crds.definitions().values() for name in each["spec"]["names"]["shortNames"]]
    assert len(names) == len(set(names)) == len(crds.definitions())
