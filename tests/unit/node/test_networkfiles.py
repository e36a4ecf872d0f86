"""The cache of NADs on disk is what the contract says."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mooring.node import failures, networkfiles, places

CONTRACT = Path(__file__).parents[3] / "plugin" / "contract"


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONTRACT / f"{name}.schema.json").read_text())
    return loaded


def rendered(**values: str) -> bytes:
    known = {"namespace": "default", "name": "a.b", "uid": "u", "resource_version": "1"}
    return networkfiles.render(**{**known, "resource_name": "", "config": "", **values})


def test_a_network_s_file_keeps_the_schema_and_lies_below_its_namespace(tmp_path: Path) -> None:
    data = rendered(config='{"type":"bridge","x":"é"}', resource_name="intel.com/sriov")
    networkfiles.write(tmp_path, "default/a.b", data)
    path = tmp_path / "default" / "a.b.json"
    document = json.loads(path.read_bytes())
    jsonschema.validate(document, schema("network"))
    assert document["config"] == '{"type":"bridge","x":"é"}'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_right_is_a_plain_file_with_these_bytes_that_nobody_else_can_read(tmp_path: Path) -> None:
    path, data = tmp_path / "a" / "n.json", rendered()

    def right() -> bool:
        return networkfiles.read_right(tmp_path, "a/n", data) is not None

    assert not right()
    networkfiles.write(tmp_path, "a/n", data)
    assert right()
    path.chmod(0o644)
    assert not right()
    path.chmod(0o600)
    for other in (data[:-1], data + b" ", data[:-2] + b"x\n"):
        path.write_bytes(other)
        assert not right()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert not right()
    path.unlink()
    os.mkfifo(path, 0o600)
    assert not right()


def test_removing_takes_the_namespace_s_folder_with_the_last_file(tmp_path: Path) -> None:
    for key in ("one/a", "one/b"):
        networkfiles.write(tmp_path, key, b"{}")
    networkfiles.remove(tmp_path, "one/a")
    assert (tmp_path / "one").is_dir()
    networkfiles.remove(tmp_path, "one/b")
    networkfiles.remove(tmp_path, "one/b")
    networkfiles.remove(tmp_path, "one/b", again=True)
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize("key", ["a", "../x", "a/../b", "a//b", "/a", "A/b", "a/B", "a/.b", "a/b/c", "a/" + "b" * 250])
def test_no_name_leaves_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="NetworkAttachmentDefinition"):
        networkfiles.path(tmp_path, key)


def test_the_heartbeat_keeps_the_schema(tmp_path: Path) -> None:
    networkfiles.beat(tmp_path, boot="0f8b7a52-3c1d-4e6f-9a80-1b2c3d4e5f60", boottime=12345.67891)
    document = json.loads((tmp_path / "heartbeat").read_bytes())
    jsonschema.validate(document, schema("heartbeat"))
    assert (document["boottime"], document["ttlSeconds"]) == (12345.679, 30)


@pytest.mark.parametrize(
    "entry",
    [e for e in json.loads((CONTRACT / "examples/index.json").read_text()) if e["format"] == "failure"],
    ids=lambda entry: entry["file"],
)
def test_failures_are_read_as_the_contract_s_index_says(entry: dict[str, Any]) -> None:
    document = json.loads((CONTRACT / "examples" / entry["file"]).read_text())
    read = failures.parse(json.dumps(document).encode() + b'\n{"torn')
    assert bool(read) == entry["valid"]


def test_a_failure_tells_pod_and_network(tmp_path: Path) -> None:
    document = json.loads((CONTRACT / "examples/failure/add.json").read_text())
    (tmp_path / "failures.jsonl").write_text("\n[]\nnull\n" + json.dumps(document) + "\n")
    assert failures.read(tmp_path / "absent") == []
    [failure] = failures.read(tmp_path / "failures.jsonl")
    assert (failure.verb, failure.pod, failure.network, failure.code) == ("ADD", "default/web-1", "default/storage", 7)


@pytest.mark.parametrize("time", ["", "yesterday", "2026-02-31T12:00:00Z", "2026-03-01T12:00:00+01:00"])
def test_a_failure_without_a_time_is_left_out_as_the_api_server_would_refuse_all_of_the_status(time: str) -> None:
    document = json.loads((CONTRACT / "examples/failure/add.json").read_text())
    assert failures.parse(json.dumps(document | {"time": time}).encode()) == []


@pytest.mark.parametrize("path", ["", "opt", "/", "/opt/../etc", "."])
def test_a_folder_of_the_node_must_be_an_absolute_path_below_its_root(path: str) -> None:
    with pytest.raises(ValueError, match="bin_dir"):
        places.Places(host_root=Path("/host"), bin_dir=path, conf_dir="/c", state_dir="/s")


def test_the_agent_sees_the_node_s_folders_below_the_host_root() -> None:
    seen = places.Places(host_root=Path("/host"), bin_dir="/opt/cni/bin", conf_dir="/etc/cni/net.d", state_dir="/s")
    assert seen.plugin == Path("/host/opt/cni/bin/mooring")
    assert seen.confs == Path("/host/etc/cni/net.d")
    assert seen.kubeconfig == "/etc/cni/net.d/mooring.d/kubeconfig"
    assert seen.journals == Path("/host/s/attachments")
