"""DEL without a journal that tells all: libcni's result cache completes it, and success is never guessed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import DEFAULT_NETWORK, NETWORKS, Json, Node, Pod, stub

if TYPE_CHECKING:
    from collections.abc import Callable

STUCK = {"error": {"code": 100, "msg": "it is stuck"}}


def _attached(node: Node) -> tuple[Json, Pod]:
    node.network("a", stub("a", capabilities={"ips": True}))
    node.network("b", stub("b", kind="other"))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, [{"name": "a", "ips": ["10.1.1.1/24"], "interface": "data"}, {"name": "b"}]).ok()
    return conf, pod


def _lose(node: Node, pod: Pod, how: str) -> None:
    path = node.journal_path(pod)
    if how == "removed":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes({"cut": content[: len(content) // 2], "emptied": b"", "overwritten": b"not\na journal\n"}[how])


@pytest.mark.parametrize("how", ["removed", "cut", "emptied", "overwritten"])
def test_DEL_16_every_network_is_undone_as_it_was_made_when_the_journal_is_lost(node: Node, how: str) -> None:
    _, pod = _attached(node)
    added = node.calls("ADD")
    _lose(node, pod, how)
    node.delete(node.conf(stub("another now")), pod, env={"CNI_ARGS": ""}).ok()
    assert node.ran("DEL") == ["net2", "data", "eth0"]
    for add, delete in zip(added, node.calls("DEL")[::-1], strict=True):
        previous = delete["conf"].pop("prevResult")
        assert delete["conf"] == add["conf"]
        assert previous["interfaces"][0]["name"] == add["env"]["CNI_IFNAME"]
        assert delete["env"]["CNI_ARGS"] == add["env"]["CNI_ARGS"]
    assert [path for path in node.left() if not path.startswith("quarantine")] == []


def test_DEL_16_a_failure_is_kept_for_the_next_try_when_the_journal_was_lost(node: Node) -> None:
    conf, pod = _attached(node)
    _lose(node, pod, "removed")
    node.answer(stub__DEL__data=STUCK)
    assert node.delete(conf, pod).error["code"] == 100
    node.answer()
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["net2", "data", "eth0", "data"]
    assert node.left() == []


def test_DEL_16_a_network_whose_add_was_killed_is_undone_when_the_journal_is_lost_too(node: Node) -> None:
    node.network("a", stub("a", kind="other"))
    conf, pod = node.conf(stub()), node.pod()
    node.answer(other__ADD={"killParent": True})
    assert node.add(conf, pod, "a").status == -9
    node.journal_path(pod).unlink()
    node.answer()
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["net1", "eth0"]
    assert node.left() == []


def test_DEL_16_what_was_intended_and_never_begun_leaves_no_entry_in_the_cache(node: Node) -> None:
    node.network("a", stub("a", kind="other"))
    node.network("b", stub("b", kind="third"))
    conf, pod = node.conf(stub()), node.pod()
    node.answer(other__ADD=STUCK)
    assert node.add(conf, pod, "a,b").error["code"] == 100
    assert node.ran("DEL") == ["net1", "eth0"]
    assert node.left() == []


def test_DEL_16_the_journal_is_enough_when_the_cache_is_lost(node: Node) -> None:
    conf, pod = _attached(node)
    for entry in (node.state / "results").iterdir():
        entry.unlink()
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["net2", "data", "eth0"]
    assert node.left() == []


def test_DEL_16_when_both_are_lost_the_default_network_is_undone_and_the_failures_say_what_may_have_leaked(
    node: Node,
) -> None:
    conf, pod = _attached(node)
    _lose(node, pod, "overwritten")
    for entry in (node.state / "results").iterdir():
        entry.unlink()
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["eth0"]
    (failure,) = node.failures()
    assert (failure["verb"], failure["containerID"]) == ("DEL", pod.container)
    assert "leaked" in failure["msg"]


@pytest.mark.parametrize("place", ["state folder", "journal"])
def test_DEL_17_a_journal_that_cannot_be_opened_is_an_error_and_not_taken_for_absent(node: Node, place: str) -> None:
    conf, pod = _attached(node)
    if place == "journal":
        node.journal_path(pod).unlink()
        node.journal_path(pod).mkdir()
        prefix: tuple[str, ...] = ()
    else:
        script = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"'
        prefix = ("unshare", "--mount", "sh", "-ec", script, str(node.state))
    error = node.delete(conf, pod, prefix=prefix).error
    assert error["code"] == 11
    assert "journal" in error["msg"]
    assert node.ran("DEL") == []


def test_DEL_17_an_invalid_configuration_undoes_nothing_by_guess(node: Node) -> None:
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod).ok()
    conf["delegates"] = [{"name": "pod-network"}]
    node.journal_path(pod).rename(node.root / "lost")
    for entry in (node.state / "results").iterdir():
        entry.unlink()
    error = node.delete(conf, pod).error
    assert error["code"] == 7
    assert "$.delegates[0]" in error["msg"]


def test_DEL_17_a_configuration_that_hides_the_state_folder_is_an_error(node: Node) -> None:
    conf, pod = _attached(node)
    conf["cniDir"] = 5
    assert node.delete(conf, pod).error["code"] == 7
    assert node.ran("DEL") == []


def _own_default(node: Node) -> tuple[Json, Pod, dict[str, str]]:
    node.network("mine", stub("mine", kind="other"))
    return node.conf(stub()), node.pod(), {DEFAULT_NETWORK: "default/mine"}


def test_DEL_18_a_default_network_that_the_pod_names_is_not_attached_without_a_journal(node: Node) -> None:
    conf, pod, annotations = _own_default(node)
    (node.state / "attachments").touch()
    error = node.add(conf, pod, annotations=annotations).error
    assert "journal" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("lost", ["nothing", "journal", "cache"])
def test_DEL_18_a_default_network_that_the_pod_names_is_what_del_undoes(node: Node, lost: str) -> None:
    conf, pod, annotations = _own_default(node)
    node.answer(other__ADD={"killParent": True})
    assert node.add(conf, pod, annotations=annotations).status == -9
    node.answer()
    if lost == "journal":
        node.journal_path(pod).unlink()
    if lost == "cache":
        for entry in (node.state / "results").iterdir():
            entry.unlink()
    node.delete(conf, pod).ok()
    assert [(call["type"], call["env"]["CNI_IFNAME"]) for call in node.calls("DEL")] == [("other", "eth0")]
    assert node.left() == []


def test_GC_4_a_sandbox_whose_journal_is_lost_is_collected_from_the_cache(node: Node) -> None:
    conf, pod = _attached(node)
    stays = node.pod()
    node.add(conf, stays, "a").ok()
    for each in (pod, stays):
        _lose(node, each, "removed")
    valid = [{"containerID": stays.container, "ifname": "eth0"}]
    node.call("GC", conf | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}).ok()
    assert [call["env"]["CNI_CONTAINERID"] for call in node.calls("DEL")] == [pod.container] * 3
    assert node.ran("DEL") == ["net2", "data", "eth0"]
    assert all(stays.container in path for path in node.left())


def test_GC_5_confs_that_share_a_folder_do_not_touch_each_others_sandboxes(node: Node) -> None:
    ours, theirs = node.conf(stub()), node.conf(stub(), name="another-meta-network")
    pods = [node.pod(), node.pod()]
    for conf, pod in zip((ours, theirs), pods, strict=True):
        node.add(conf, pod).ok()
    node.call("GC", ours | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}).ok()
    assert [call["env"]["CNI_CONTAINERID"] for call in node.calls("DEL")] == [pods[0].container]
    node.journal_path(pods[1]).unlink()
    node.call("GC", ours | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}).ok()
    assert len(node.calls("DEL")) == 1


def test_GC_6_two_networks_of_one_cni_name_both_get_gc(node: Node) -> None:
    for name, kind in (("a", "other"), ("b", "third")):
        node.network(name, stub("same-name", kind=kind, version="1.1.0"))
    conf, pod = node.conf(stub(version="1.1.0"), cniVersion="1.1.0"), node.pod()
    node.add(conf, pod, "a,b").ok()
    node.call("GC", conf | {"cni.dev/valid-attachments": [{"containerID": pod.container, "ifname": "eth0"}]}).ok()
    assert sorted(call["type"] for call in node.calls("GC")) == ["other", "stub", "third"]


def _folder(node: Node) -> None:
    (node.state / "attachments" / "x@eth0.jsonl").mkdir(parents=True)


def _notes(node: Node) -> None:
    (node.state / "notes").write_text("not ours")


def _lock(node: Node) -> None:
    (node.state / "results" / "lock").write_text("")


@pytest.mark.parametrize("put", [_folder, _notes, _lock])
def test_GC_7_foreign_files_in_the_state_folder_never_fail_it(node: Node, put: Callable[[Node], None]) -> None:
    conf, pod = node.conf(stub(), cniVersion="1.1.0"), node.pod()
    node.add(conf, pod).ok()
    put(node)
    node.call("GC", conf | {"cni.dev/valid-attachments": []}).ok()
    assert node.ran("DEL") == ["eth0"]


def test_the_cache_says_what_libcni_says_and_where_the_attachment_came_from(node: Node) -> None:
    _, pod = _attached(node)
    entry = json.loads((node.state / "results" / f"a-{pod.container}-data").read_text())
    assert entry["kind"] == "cniCacheV1"
    assert entry["mooring"] == {
        "caller": "multus-cni-network",
        "callIfName": "eth0",
        "index": 1,
        "network": "default/a",
        "nad": True,
        "default": False,
    }
    assert entry["result"]["interfaces"][0]["name"] == "data"


def test_DEL_16_a_kernels_links_and_leases_are_gone_when_the_journal_was_lost(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    conf, pod = node.conf(node.bridge("primary", "10.77.1.0/24")), node.pod()
    node.call("ADD", conf, pod, annotations={NETWORKS: "a"}).ok()
    _lose(node, pod, "removed")
    subprocess.run(["ip", "netns", "delete", pod.netns.rpartition("/")[2]], check=True)
    node.delete(conf, pod, env={"CNI_NETNS": ""}).ok()
    assert node.leases() == []
    assert node.left() == []


def test_DEL_21_sandboxes_of_one_container_are_told_apart_by_their_interface(node: Node) -> None:
    node.network("a", stub("a"))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    node.answer(stub__ADD__eth1=STUCK)
    assert node.add(conf, pod, ifname="eth1").error["code"] == 100
    node.answer()
    node.forget_calls()
    node.delete(conf, pod, ifname="eth1").ok()
    assert node.ran("DEL") == ["eth1"]
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["eth1", "net1", "eth0"]
    assert node.left() == []


def test_DEL_21_sandboxes_of_one_container_are_told_apart_by_their_configuration(node: Node) -> None:
    node.network("a", stub("a"))
    ours, theirs, pod = node.conf(stub()), node.conf(stub("other-primary", kind="other"), name="another"), node.pod()
    node.add(ours, pod, "a").ok()
    node.delete(theirs, pod, ifname="eth9").ok()
    assert [(call["type"], call["env"]["CNI_IFNAME"]) for call in node.calls("DEL")] == [("other", "eth9")]
    node.journal_path(pod).write_text("no journal\nany more\n")
    node.call("GC", theirs | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}).ok()
    assert len(node.calls("DEL")) == 1, "a damaged journal is its configuration's by what the cache says"


@pytest.mark.parametrize("key", ["interfaces", "ips", "routes"])
def test_ADD_22_a_result_with_null_in_a_list_is_refused_and_undone(node: Node, key: str) -> None:
    node.network("a", stub("a", kind="other", version="0.4.0"))
    node.answer(other__ADD={"result": {"cniVersion": "1.0.0", key: [None]}})
    conf, pod = node.conf(stub()), node.pod()
    error = node.add(conf, pod, "a").error
    assert error["code"] == 6
    assert f"{key}[0]" in error["msg"]
    assert node.ran("DEL") == ["net1", "eth0"]


@pytest.mark.parametrize("key", ["interfaces", "ips", "routes"])
def test_DEL_22_a_result_that_an_earlier_plugin_should_have_refused_does_not_stop_del(node: Node, key: str) -> None:
    conf, pod = _attached(node)
    records = node.journal(pod)
    for record in records:
        if record["type"] == "result":
            record["result"] = {"cniVersion": "0.4.0", key: [None]}
    node.write_journal(pod, records)
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["net2", "data", "eth0"]


def test_DEL_16_an_entry_that_cannot_be_read_is_told_and_set_aside(node: Node) -> None:
    conf, pod = _attached(node)
    _lose(node, pod, "overwritten")
    (node.state / "results" / f"b-{pod.container}-net2").write_text("{")
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["data", "eth0"]
    assert "leaked" in node.failures()[-1]["msg"]
    assert [path for path in node.left() if not path.startswith("quarantine")] == []


def test_DEL_16_an_entry_whose_conf_is_none_does_not_spoil_the_journal_that_is_rebuilt(node: Node) -> None:
    conf, pod = _attached(node)
    _lose(node, pod, "removed")
    path = node.state / "results" / f"b-{pod.container}-net2"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config": "e30"[:2]}))
    node.answer(stub__DEL__data=STUCK)
    for _ in range(2):
        assert node.delete(conf, pod).error["code"] == 100
    assert node.ran("DEL").count("eth0") == 1
    node.answer()
    node.delete(conf, pod).ok()
    assert [path for path in node.left() if not path.startswith("quarantine")] == []


def test_DEL_17_a_cache_that_cannot_be_listed_is_an_error_where_the_journal_is_lost(node: Node) -> None:
    conf, pod = _attached(node)
    _lose(node, pod, "removed")
    (node.state / "results").rename(node.root / "results")
    (node.state / "results").touch()
    assert node.delete(conf, pod).error["code"] == 11
    assert node.ran("DEL") == []


@pytest.mark.parametrize("content", ["[{", "{}"])
def test_DEL_11_a_scratch_file_that_cannot_be_understood_is_told_and_set_aside(node: Node, content: str) -> None:
    pod = node.pod()
    (node.state / pod.container).write_text(content)
    node.delete(node.conf(stub()), pod).ok()
    assert node.ran() == ["DEL eth0"]
    assert "leaked" in node.failures()[-1]["msg"]
    assert (node.state / "quarantine" / pod.container).read_text() == content
