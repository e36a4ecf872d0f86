"""What can be said of plugin sets: mistakes are told where they are made, all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from mooring.installing.installations import InstallationSpec

SUM = "a" * 64


def a_set(name: str, *binaries: str, **more: Any) -> dict[str, Any]:
    listed = [{"name": each, "path": f"/bin/{each}", "sha256": SUM} for each in binaries]
    return {"name": name, "image": "registry/plugins:1", "binaries": listed, **more}


def refused(*sets: dict[str, Any]) -> str:
    with pytest.raises(pydantic.ValidationError) as raised:
        InstallationSpec.model_validate({"pluginSets": list(sets)})
    return str(raised.value)


def test_sets_of_different_names_and_binaries_are_taken() -> None:
    spec = InstallationSpec.model_validate({"pluginSets": [a_set("reference", "bridge", "dhcp"), a_set("sriov", "s")]})
    assert [each.name for each in spec.plugin_sets] == ["reference", "sriov"]
    assert [each.overwrite for each in spec.plugin_sets] == [False, False]


def test_all_that_cannot_be_is_told_at_once() -> None:
    text = refused(a_set("one", "bridge", "mooring"), a_set("two", "bridge"), a_set("two", "ptp"))
    assert "The plugin set one has a binary mooring: that name is Mooring's own." in text
    assert "The plugin sets one and two both have a binary bridge." in text
    assert "Two plugin sets have the name two." in text


@pytest.mark.parametrize("name", ["", ".bridge", "../bridge", "a/b", "a b"])
def test_a_binarys_name_is_that_of_a_file_in_one_folder(name: str) -> None:
    assert "name" in refused(a_set("one", name))


def test_the_example_is_one() -> None:
    path = Path(__file__).parents[3] / "examples" / "plugin-sets.yaml"
    spec = InstallationSpec.model_validate(yaml.safe_load(path.read_text())["spec"])
    assert "loopback" in {binary.name for each in spec.plugin_sets for binary in each.binaries}
    assert spec.dhcp_daemon
