"""DEL, again and again: what cannot be undone, what is given up, and what those before us left."""

from __future__ import annotations

import base64
import fcntl
import json
import shutil

import pytest

from tests.conformance import multus
from tests.conformance.node import Json, Node, Pod, stub

STUCK = {"error": {"code": 100, "msg": "it is stuck"}}


def _attached(node: Node) -> tuple[Json, Pod]:
    node.network("a", stub("a"))
    node.network("lost", stub("lost", kind="other"))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a,lost").ok()
    node.forget_calls()
    return conf, pod


def _age(node: Node, pod: Pod, minutes: float, *, boot: str | None = None) -> None:
    """Let everything in the journal have happened earlier, or in another boot.

    The time of day is left as it was: nothing may depend on a clock that steps.
    """
    records = node.journal(pod)
    for record in records:
        if "boottime" in record:
            record["boottime"] -= int(60 * minutes)
            record["bootID"] = boot or record["bootID"]
    node.write_journal(pod, records)


def _break(node: Node, how: str, interface: str) -> None:
    if how == "binary missing":
        (node.bin / "other").unlink()
    else:
        node.answer(**{f"other__DEL__{interface}": STUCK})


@pytest.mark.parametrize("how", ["binary missing", "plugin fails"])
def test_DEL_9_a_secondary_network_is_an_error_for_ten_minutes_and_then_quarantined(node: Node, how: str) -> None:
    conf, pod = _attached(node)
    _break(node, how, "net2")
    for _ in range(4):
        assert "default/lost" in node.delete(conf, pod).error["msg"]
    assert node.ran("DEL").count("net1") == 1
    assert node.ran("DEL").count("eth0") == 1
    _age(node, pod, 9)
    assert node.delete(conf, pod).status != 0
    _age(node, pod, 1.1)
    done = node.delete(conf, pod)
    done.ok()
    assert "default/lost" in done.stderr
    last = node.journal(pod)[-1]
    assert (last["type"], last["index"]) == ("quarantined", 2)
    node.delete(conf, pod).ok()


def test_DEL_9_the_ten_minutes_count_from_the_first_failure_not_from_the_add(node: Node) -> None:
    conf, pod = _attached(node)
    _break(node, "plugin fails", "net2")
    for _ in range(6):
        assert node.delete(conf, pod).error["code"] == 100


def test_DEL_9_ten_minutes_are_not_enough_without_five_tries(node: Node) -> None:
    conf, pod = _attached(node)
    _break(node, "plugin fails", "net2")
    for _ in range(4):
        assert node.delete(conf, pod).error["code"] == 100
        _age(node, pod, 1000)
    node.delete(conf, pod).ok()


def test_DEL_9_a_clock_that_steps_gives_nothing_up(node: Node) -> None:
    conf, pod = _attached(node)
    _break(node, "plugin fails", "net2")
    for _ in range(6):
        assert node.delete(conf, pod).error["code"] == 100
    records = node.journal(pod)
    for record in records:
        if "time" in record:
            record["time"] = "2001" + record["time"][4:]
    node.write_journal(pod, records)
    assert node.delete(conf, pod).error["code"] == 100


def test_DEL_9_the_ten_minutes_begin_anew_with_every_boot(node: Node) -> None:
    conf, pod = _attached(node)
    _break(node, "plugin fails", "net2")
    for _ in range(6):
        node.delete(conf, pod)
    _age(node, pod, 1000, boot="00000000-0000-4000-8000-000000000000")
    assert node.delete(conf, pod).error["code"] == 100


def _quarantined(node: Node) -> tuple[Json, Pod]:
    conf, pod = _attached(node)
    _break(node, "plugin fails", "net2")
    for _ in range(4):
        node.delete(conf, pod)
    _age(node, pod, 11)
    node.delete(conf, pod).ok()
    assert node.journal(pod)[-1]["type"] == "quarantined"
    node.forget_calls()
    return conf, pod


def test_DEL_14_what_is_quarantined_is_tried_again_by_every_del_and_goes_when_it_succeeds(node: Node) -> None:
    conf, pod = _quarantined(node)
    size = node.journal_path(pod).stat().st_size
    for _ in range(20):
        node.delete(conf, pod).ok()
    assert node.ran() == ["DEL net2"] * 20
    assert node.journal_path(pod).stat().st_size < size + 20 * 200, "a record that is tried for ever stays small"
    node.answer()
    node.delete(conf, pod).ok()
    assert node.left() == []


def test_DEL_14_what_is_quarantined_is_tried_again_by_every_gc_and_goes_when_it_succeeds(node: Node) -> None:
    conf, _ = _quarantined(node)
    conf |= {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    assert "it is stuck" in node.call("GC", conf).error["msg"]
    assert node.ran("DEL") == ["net2"]
    node.answer()
    node.call("GC", conf).ok()
    assert node.ran("DEL") == ["net2", "net2"]
    assert node.left() == []


def test_DEL_9_the_default_networks_failure_is_returned_for_ever(node: Node) -> None:
    conf, pod = _attached(node)
    node.answer(stub__DEL__eth0=STUCK)
    assert node.delete(conf, pod).error["code"] == 100
    _age(node, pod, 1000)
    assert node.delete(conf, pod).error["code"] == 100
    node.answer()
    node.delete(conf, pod).ok()
    assert node.left() == []


def test_DEL_11_what_a_multus_before_us_attached_is_undone_in_reverse_as_it_was_made(node: Node) -> None:
    pod = node.pod()
    capable: Json = {"capabilities": {"ips": True}}
    path = multus.scratch(node, pod, stub(**capable), stub("a", kind="other", **capable), ifnameRequest="data")
    node.delete(node.conf(stub("another now")), pod).ok()
    assert node.ran() == ["DEL data", "DEL eth0"]
    for call, number in zip(node.calls(), [1, 0], strict=True):
        assert call["conf"]["prevResult"]["ips"] == [{"address": f"10.0.0.{number}/24"}]
        assert call["conf"]["runtimeConfig"] == {"ips": [f"10.0.0.{number}/24"]}
        assert f"number={number}" in call["env"]["CNI_ARGS"]
    assert not path.exists()
    assert node.left() == []


def test_DEL_11_a_plugin_called_mooring_finds_the_files_of_a_multus_in_its_folder(node: Node) -> None:
    theirs = node.root / "multus"
    pod = node.pod()
    multus.scratch(node, pod, stub(), stub("a"))
    shutil.copytree(node.state, theirs)
    for path in (node.state / pod.container, *(node.state / "results").iterdir()):
        path.unlink()
    node.replaced = {"/var/lib/cni/multus": theirs}
    node.delete(node.conf(stub()), pod).ok()
    assert node.ran() == ["DEL net1", "DEL eth0"]
    assert not (theirs / pod.container).exists()
    assert list((theirs / "results").iterdir()) == []


@pytest.mark.parametrize("cached", [True, False])
def test_DEL_11_what_multus_lost_of_a_default_network_from_a_file_is_found_again(node: Node, cached: bool) -> None:
    whole = {
        "name": "pods",
        "cniVersion": "1.0.0",
        "plugins": [{"type": "stub", "ipMasq": True, "ipam": {"type": "stub", "ranges": [1]}}],
    }
    pod = node.pod()
    path = multus.scratch(node, pod, whole)
    # As a Multus writes it whose clusterNetwork is a conflist: libcni's own fields and no other.
    lost = whole | {"plugins": [{"type": "stub", "ipam": {"type": "stub"}}]}
    (entry,) = json.loads(path.read_text())
    path.write_text(json.dumps([entry | {"Bytes": base64.b64encode(json.dumps(lost).encode()).decode()}]))
    configured = {"name": "another now", "type": "stub", "cniVersion": "1.0.0"} if cached else whole
    if not cached:
        (result,) = (node.state / "results").iterdir()
        result.unlink()
    node.delete(node.conf(configured), pod).ok()
    (call,) = node.calls()
    assert (call["conf"]["ipMasq"], call["conf"]["ipam"]["ranges"]) == (True, [1])
    assert node.left() == []


def test_DEL_11_a_failure_is_kept_for_the_next_try(node: Node) -> None:
    pod = node.pod()
    multus.scratch(node, pod, stub(), stub("a"))
    node.answer(stub__DEL__net1=STUCK)
    assert node.delete(node.conf(stub()), pod).error["code"] == 100
    node.answer()
    node.forget_calls()
    node.delete(node.conf(stub()), pod).ok()
    assert node.ran() == ["DEL net1"]


@pytest.mark.parametrize("content", ["", "[]", "[{}]", "[{", "{}", '[{"Bytes": "e30="}]'])
def test_DEL_11_a_file_of_multus_that_cannot_be_read_leaves_the_default_network(node: Node, content: str) -> None:
    pod = node.pod()
    (node.state / pod.container).write_text(content)
    node.delete(node.conf(stub()), pod).ok()
    assert node.ran() == ["DEL eth0"]


def test_DEL_12_a_running_call_holds_the_lock_of_its_journal(node: Node) -> None:
    node.network("a", stub("a"))
    go = node.root / "go"
    node.answer(stub__ADD__net1={"waitFor": str(go)})
    conf, pod = node.conf(stub()), node.pod()
    running = node.start("ADD", conf, pod, annotations={"k8s.v1.cni.cncf.io/networks": "a"})
    while len(node.calls("ADD", event="begin")) < 2:
        assert running.process.poll() is None
    with node.journal_path(pod).open() as journal:
        with pytest.raises(BlockingIOError):
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        go.touch()
        running.end().ok()
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_DEL_12_del_waits_for_an_add_that_still_runs_and_then_undoes_it(node: Node) -> None:
    node.network("a", stub("a"))
    go = node.root / "go"
    node.answer(stub__ADD__net1={"waitFor": str(go)})
    conf, pod = node.conf(stub()), node.pod()
    adding = node.start("ADD", conf, pod, annotations={"k8s.v1.cni.cncf.io/networks": "a"})
    while len(node.calls("ADD", event="begin")) < 2:
        assert adding.process.poll() is None
    deleting = node.start("DEL", conf, pod)
    go.touch()
    adding.end().ok()
    deleting.end().ok()
    assert node.ran() == ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]
    assert node.left() == []


def _only_intents(node: Node, pod: Pod, boot: str | None) -> None:
    """Leave of a journal what was brought to disk: header and intents, of this boot or of another."""
    header, intents, *_ = node.journal(pod)
    node.write_journal(pod, [header | {"bootID": boot or header["bootID"]}, intents])


def test_DEL_12_after_a_power_cut_everything_that_was_intended_is_undone(node: Node) -> None:
    conf, pod = _attached(node)
    _only_intents(node, pod, "00000000-0000-4000-8000-000000000000")
    node.delete(conf, pod).ok()
    assert node.ran() == ["DEL net2", "DEL net1", "DEL eth0"]
    assert node.left() == []


def test_DEL_12_what_was_never_begun_in_this_boot_needs_no_undoing(node: Node) -> None:
    conf, pod = _attached(node)
    _only_intents(node, pod, None)
    shutil.rmtree(node.state / "results")
    node.delete(conf, pod).ok()
    assert node.ran() == []
    assert not node.journal_path(pod).exists()
