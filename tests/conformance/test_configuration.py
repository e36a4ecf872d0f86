"""CFG: what the meta-plugin's own configuration may say."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.node import Json, Node, chain, stub

if TYPE_CHECKING:
    from pathlib import Path

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("delegate", [stub(), chain("pod-network", stub(kind="stub"))], ids=["conf", "conflist"])
def test_CFG_1_one_inline_delegate_is_enough_and_the_default_folders_hold(node: Node, delegate: Json) -> None:
    places = {
        "/var/lib/mooring": node.root / "default-state",
        "/opt/cni/bin": node.bin,
        "/etc/cni/multus/net.d": node.confs,
    }
    for folder in places.values():
        folder.mkdir(exist_ok=True)
    node.replaced = places
    (node.confs / "a.conf").write_text(json.dumps(stub("a", found="in confDir")))
    node.network("a", "")
    (node.state / "networks").rename(node.root / "default-state" / "networks")
    conf = {"cniVersion": "1.0.0", "name": "multus-cni-network", "type": "mooring", "delegates": [delegate]}
    pod = node.pod()
    done = node.add(conf, pod, "a", env={"CNI_PATH": "/nowhere"})
    assert done.result["interfaces"][0]["name"] == "eth0"
    assert node.ran() == ["ADD eth0", "ADD net1"]
    assert node.calls()[1]["conf"]["found"] == "in confDir"
    assert (node.root / "default-state" / "attachments" / f"{pod.container}@eth0.jsonl").exists()
    assert done.stderr == "", "the default log level says nothing of a call that succeeds"


def test_CFG_1_the_default_folder_of_the_plugin_called_multus_is_multus_own(node: Node) -> None:
    node.replaced = {"/var/lib/cni/multus": node.state}
    (node.root / "multus").symlink_to(node.plugin)
    pod = node.pod()
    node.add(node.conf(stub(), cniDir=None), pod, program=node.root / "multus").ok()
    assert node.journal_path(pod).exists()


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"delegates": None}, ["delegates", "clusterNetwork"]),
        ({"delegates": []}, ["$.delegates"]),
        ({"delegates": [{"name": "a"}]}, ["$.delegates[0]", "type"]),
        ({"delegates": [{"name": "a", "type": ""}]}, ["$.delegates[0].type"]),
        ({"delegates": [{"name": "a", "plugins": []}]}, ["$.delegates[0].plugins"]),
        ({"delegates": [{"name": "a", "plugins": [{"mtu": 1}]}]}, ["$.delegates[0].plugins[0].type"]),
        ({"delegates": [stub(), {"name": "a", "plugins": [stub(), {}]}]}, ["$.delegates[1].plugins[1].type"]),
        ({"delegates": [stub(), 3]}, ["$.delegates[1]"]),
        ({"delegates": [{"name": "a"}], "kubeconfig": 1}, ["$.delegates[0]", "$.kubeconfig"]),
    ],
)
def test_CFG_2_each_mistake_is_named_with_its_path_in_one_error(node: Node, changes: Json, paths: list[str]) -> None:
    error = node.add(node.conf(stub(), **changes), node.pod()).error
    assert error["code"] == 7
    for path in paths:
        assert path in error["msg"]
    assert node.calls() == []


def test_CFG_3_the_cluster_network_wins_over_delegates_in_each_of_its_four_forms(node: Node) -> None:
    node.network("as-nad", stub(marker="nad"), namespace="kube-system")
    (node.confs / "20.conf").write_text(json.dumps(stub("as-nad", marker="not this one")))
    (node.confs / "30.conflist").write_text(json.dumps(chain("as-name", stub(marker="name"))))
    (node.root / "folder").mkdir()
    (node.root / "folder" / "b.conf").write_text(json.dumps(stub(marker="not first")))
    (node.root / "folder" / "a.conflist").write_text(json.dumps(chain("x", stub(marker="folder"))))
    (node.root / "file.conf").write_text(json.dumps(stub(marker="file")))
    references = {
        "as-nad": "nad",
        "as-name": "name",
        str(node.root / "folder"): "folder",
        str(node.root / "file.conf"): "file",
    }
    for reference, marker in references.items():
        node.forget_calls()
        node.add(node.conf(stub("inline"), clusterNetwork=reference), node.pod()).ok()
        assert [call["conf"]["marker"] for call in node.calls()] == [marker]


def test_CFG_3_a_cluster_network_that_is_nowhere_is_an_error_that_names_it(node: Node) -> None:
    error = node.add(node.conf(clusterNetwork="nowhere"), node.pod()).error
    assert "nowhere" in error["msg"]


@pytest.mark.parametrize(("namespace", "expected"), [("default", ["pod-network", "b", "a"]), ("sys", ["pod-network"])])
def test_CFG_4_default_networks_reach_every_pod_outside_the_system_namespaces(
    node: Node, namespace: str, expected: list[str]
) -> None:
    for name in ("pod-network", "a", "b"):
        node.network(name, stub(name), namespace="admin")
    conf = node.conf(
        clusterNetwork="pod-network", defaultNetworks=["b", "a"], multusNamespace="admin", systemNamespaces=["sys"]
    )
    node.add(conf, node.pod(namespace=namespace)).ok()
    assert [call["conf"]["name"] for call in node.calls()] == expected


@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        ({}, {"other", "default", "shared"}),
        ({"namespaceIsolation": False}, {"other", "default", "shared"}),
        ({"namespaceIsolation": True}, {"default"}),
        ({"namespaceIsolation": True, "globalNamespaces": " shared ,\tother"}, {"shared", "other"}),
        ({"namespaceIsolation": True, "globalNamespaces": ""}, {"default"}),
    ],
)
def test_CFG_5_isolation_is_off_by_default_and_global_namespaces_replace_the_implicit_one(
    node: Node, keys: Json, allowed: set[str]
) -> None:
    for namespace in ("other", "default", "shared"):
        node.network("a", stub("a"), namespace=namespace)
    reached = {
        namespace
        for namespace in ("other", "default", "shared")
        if node.add(node.conf(stub(), **keys), node.pod(namespace="tenant"), f"{namespace}/a").status == 0
    }
    assert reached == allowed


def test_CFG_6_unknown_keys_are_ignored(node: Node) -> None:
    node.add(node.conf(stub(), defaultnetworkwaitseconds=3, somethingNew={"a": [1]}), node.pod()).ok()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cniDir", 1),
        ("confDir", ["a"]),
        ("binDir", {}),
        ("clusterNetwork", 7),
        ("defaultNetworks", "a"),
        ("systemNamespaces", [1]),
        ("multusNamespace", False),
        ("namespaceIsolation", "true"),
        ("globalNamespaces", ["a"]),
        ("readinessindicatorfile", 1),
        ("logOptions", "loud"),
        ("runtimeConfig", []),
        ("capabilities", {"ips": "yes"}),
        ("delegates", {}),
    ],
)
def test_CFG_6_a_value_of_the_wrong_type_is_an_error_that_names_it(node: Node, key: str, value: Any) -> None:
    error = node.call("ADD", node.conf(stub()) | {key: value}, node.pod()).error
    assert error["code"] == 7
    assert f"$.{key}" in error["msg"]
    assert node.calls() == []


BOUNDED = ("prlimit", "--as=4000000000", "--cpu=5")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a", "cniVersion": "1.0.0", "big": "' + "x" * (16 * MEBIBYTE) + '"}',
        '{"name": "a", "cniVersion": "1.0.0", "deep": ' + "[" * 10_000 + "]" * 10_000 + "}",
        '{"name": "a", "cniVersion": "1.0.0", "deep": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}",
        '{"name": "a", "cniVersion": "1.0.0", "torn": ',
        "[]",
        "3",
        "null",
        "",
    ],
    ids=["16MiB", "arrays", "objects", "torn", "array", "number", "null", "empty"],
)
def test_CFG_6_what_is_no_configuration_is_an_error_and_no_crash(node: Node, text: str) -> None:
    done = node.call("ADD", text, node.pod(), prefix=BOUNDED)
    assert done.error["code"] in {6, 7}
    assert "goroutine" not in done.stderr
    assert len(done.stdout) < 4096


def test_CFG_6_a_plugin_that_is_fed_without_end_stops_reading(node: Node) -> None:
    command, environment, _ = node.command("ADD", "", node.pod(), prefix=BOUNDED)
    with subprocess.Popen(["yes", "{"], stdout=subprocess.PIPE) as endless:
        done = subprocess.run(command, stdin=endless.stdout, env=environment, capture_output=True, check=False)
        endless.kill()
    assert done.returncode != 0
    assert json.loads(done.stdout)["code"] in {6, 7}


@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "1.0.0", "1.1.0"])
def test_CFG_7_a_previous_result_is_accepted_and_not_handed_on(node: Node, version: str) -> None:
    previous: Json = {"cniVersion": version, "dns": {}}
    conf = node.conf(stub(version=version), cniVersion=version, prevResult=previous)
    node.add(conf, node.pod()).ok()
    assert "prevResult" not in node.calls()[0]["conf"]


@pytest.mark.parametrize("previous", [3, "result", {"ips": 3}, {"ips": [{"address": "everywhere"}]}])
def test_CFG_7_a_previous_result_that_is_none_is_refused(node: Node, previous: Any) -> None:
    error = node.add(node.conf(stub(), prevResult=previous), node.pod()).error
    assert error["code"] == 7
    assert "$.prevResult" in error["msg"]
    assert node.calls() == []


LEVELS = {"panic": set(), "error": {"error"}, "verbose": {"error", "verbose"}, "debug": {"error", "verbose", "debug"}}


@pytest.mark.parametrize("level", list(LEVELS))
def test_CFG_8_the_log_level_decides_what_is_in_the_file(node: Node, level: str) -> None:
    log = node.root / "logs" / "mooring.log"
    conf = node.conf(stub(), logFile=str(log), logLevel=level.upper(), logToStderr=False)
    node.answer(stub__ADD__eth0={"error": {"code": 7, "msg": "no"}})
    failed = node.add(conf, node.pod())
    node.answer()
    node.add(conf, node.pod()).ok()
    assert failed.stderr == ""
    found = set(re.findall(r"level=(\w+)", log.read_text())) if log.exists() else set()
    assert LEVELS[level] <= found <= LEVELS[level] | {"warning"}


def test_a_line_of_the_log_is_fields_with_pod_container_network_and_milliseconds(node: Node) -> None:
    log = node.root / "mooring.log"
    conf = node.conf(chain("pod-network", stub("a"), stub("b", kind="other")), logFile=str(log), logLevel="verbose")
    node.network("a", stub("a"))
    pod = node.pod()
    node.add(conf, pod, "a").ok()
    lines = [dict(field.split("=", 1) for field in shlex.split(line)) for line in log.read_text().splitlines()]
    assert all(line["verb"] == "ADD" and line["pod"] == "default/web" for line in lines)
    assert all(line["container"] == pod.container and line["time"] and line["level"] == "verbose" for line in lines)
    ended = [line for line in lines if line["msg"] == "the plugin has ended"]
    assert [(line["network"], line["interface"], line["plugin"], line["command"]) for line in ended] == [
        ("pod-network", "eth0", "stub", "ADD"),
        ("pod-network", "eth0", "other", "ADD"),
        ("default/a", "net1", "stub", "ADD"),
    ]
    timed = [line for line in lines if line["msg"] in ("the plugin has ended", "attached")]
    assert len(timed) == len(ended) + 2, "each plugin of a chain, and each network"
    assert all(line["milliseconds"].isdigit() for line in timed)


def test_CFG_8_a_full_log_file_rotates(node: Node) -> None:
    log = node.root / "mooring.log"
    options = {"maxSize": 1, "maxBackups": 2, "maxAge": 1, "compress": True}
    conf = node.conf(stub(), logFile=str(log), logToStderr=False, logOptions=options)
    for _ in range(4):
        log.write_bytes(b"x" * MEBIBYTE)
        node.add(conf, node.pod()).ok()
    assert 0 < log.stat().st_size < MEBIBYTE
    backups: list[Path] = [path for path in node.root.glob("mooring*log*") if path != log]
    assert len(backups) == 2
    assert {len(gzip.decompress(path.read_bytes())) for path in backups} == {MEBIBYTE}
