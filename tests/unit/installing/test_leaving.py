"""Our conf goes only where the runtime has another network to load, and that is the one which pods had."""

from __future__ import annotations

import json
from typing import Any

from mooring.installing import chains, confs, leaving

LIST = {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge"}]}
FILE = "10-pods.conflist"


def primary(conf: dict[str, Any]) -> confs.Primary:
    return confs.Primary(name=conf["name"], file=FILE, conf=conf)


def plan(texts: dict[str, Any], *, conf: dict[str, Any] | None = LIST, file: str = FILE, **more: Any) -> leaving.Return:
    known: dict[str, Any] = {"folders": {}, "executable": lambda name: name != "absent", **more}
    written = {name: text if isinstance(text, str) else json.dumps(text) for name, text in texts.items()}
    return leaving.plan(pinned=primary(conf) if conf else None, file=file, texts=written, **known)


def test_nothing_is_written_where_the_primary_s_own_file_is_there() -> None:
    assert plan({FILE: LIST, "87-podman.conflist": {**LIST, "name": "podman"}}) == leaving.Return()
    assert plan({"20-renamed.conflist": LIST}) == leaving.Return()


def test_a_file_that_is_gone_is_written_back_under_its_name() -> None:
    for texts in ({}, {"87-podman.conflist": {**LIST, "name": "podman"}}):
        back = plan(texts)
        assert (back.file, json.loads(back.data), back.problem) == (FILE, LIST, "")


def test_where_its_name_is_not_known_it_gets_one_that_the_runtime_loads() -> None:
    assert plan({}, file="").file == FILE
    assert plan({}, file="00-multus.conf").file == FILE
    assert plan({}, file="10-pods.conf").file == FILE, "a list in a .conf would not be loaded"
    conf = {"cniVersion": "1.0.0", "name": "pods", "type": "bridge"}
    assert plan({}, conf=conf, file="").file == "10-pods.conf"
    assert plan({}, conf=conf, file="05-x.json").file == "05-x.json"


def test_what_is_chained_in_a_folder_is_not_chained_twice() -> None:
    folder = chains.Folder({"10-tuning.conf": '{"type": "tuning"}'})
    assert json.loads(plan({}, folders={"pods": folder}).data)["loadOnlyInlinedPlugins"] is True


def test_of_a_definition_of_the_cluster_nothing_is_written_where_the_node_has_a_network_of_its_own() -> None:
    assert plan({"10-other.conflist": {**LIST, "name": "other"}}, file="default/pods") == leaving.Return()
    assert plan({}, file="default/pods").file == FILE


def test_ours_stays_where_the_runtime_would_load_what_cannot_be_used() -> None:
    missing = {**LIST, "plugins": [{"type": "absent"}]}
    for texts in ({FILE: "{"}, {FILE: missing}, {"00-broken.conf": "{", FILE: LIST}, {"00-broken.conf": "{"}):
        back = plan(texts)
        assert back.file == ""
        assert back.problem.startswith("Without our conf the runtime would load ")
        assert sorted(texts)[0] in back.problem


def test_a_conf_of_ours_that_pins_nothing_holds_nobody_up() -> None:
    assert plan({FILE: "{"}, conf=None) == leaving.Return()
