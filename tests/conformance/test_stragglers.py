"""What a call that was killed leaves running: a delegate's DEL finishes, and the next call waits for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import NETWORKS, Json, Node, Pod, stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 20.0
KILLED = -signal.SIGKILL

# In the place of iptables: at DEL it kills the plugin, whose delegate started it, and then works as ever.
MURDERER = """#!/bin/sh
if [ "$CNI_COMMAND" = DEL ] && mkdir "{once}" 2>/dev/null; then
  read -r _ _ _ plugin _ < /proc/$PPID/stat
  kill -9 "$plugin"
fi
exec "{real}" "$@"
"""


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.005)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _locked(node: Node, pod: Pod) -> bool:
    with node.journal_path(pod).open() as journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def gate(node: Node) -> Iterator[Path]:
    """A file without which the stub's DEL does not end, once it has killed the plugin."""
    path = node.root / "go"
    yield path
    path.touch()
    for call in node.calls(event="begin"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(call["pid"], signal.SIGKILL)


def _killed_in_del(node: Node, pod: Pod, **answer: object) -> Json:
    """A sandbox whose DEL was killed while its last network's delegate worked; the call of that delegate."""
    node.network("a", stub("a"))
    conf = node.conf(stub(), delegateTimeout=answer.pop("limit", 60))
    node.add(conf, pod, "a").ok()
    node.forget_calls()
    node.answer(stub__DEL__net1={"killParent": True} | answer)
    assert node.delete(conf, pod).status == KILLED
    node.answer()
    return conf


def test_DEL_20_a_delegate_goes_on_when_the_plugin_is_killed_and_may_say_so(node: Node, gate: Path) -> None:
    _killed_in_del(node, node.pod(), waitFor=str(gate), stderr="nobody listens\n")
    [call] = node.calls(event="begin")
    assert _runs(call["pid"])
    gate.touch()
    _until(lambda: node.ran() == ["DEL net1"], "end of the delegate")


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_DEL_20_the_next_call_lets_it_finish_and_runs_its_own(node: Node, gate: Path, verb: str) -> None:
    pod = node.pod()
    conf = _killed_in_del(node, pod, waitFor=str(gate))
    if verb == "GC":
        conf |= {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    running = node.start(verb, conf, pod if verb == "DEL" else None)
    _until(lambda: _locked(node, pod), f"lock of {verb}")
    assert [call["env"]["CNI_IFNAME"] for call in node.calls(event="begin")] == ["net1"]
    gate.touch()
    running.end().ok()
    told = [f"{event['event']} {event['env']['CNI_IFNAME']}" for event in node.events() if event["verb"] == "DEL"]
    assert told == ["begin net1", "end net1", "begin net1", "end net1", "begin eth0", "end eth0"]
    assert node.left() == []


def test_DEL_20_an_add_meanwhile_is_refused(node: Node, gate: Path) -> None:
    pod = node.pod()
    conf = _killed_in_del(node, pod, waitFor=str(gate))
    error = node.add(conf, pod, "a").error
    assert "DEL must come before another ADD" in error["msg"]
    assert _runs(node.calls(event="begin")[0]["pid"])


def test_DEL_20_one_that_hangs_is_ended_after_the_delegates_time_with_its_group(node: Node, gate: Path) -> None:
    pod = node.pod()
    conf = _killed_in_del(node, pod, waitFor=str(gate), child=True, limit=1)
    [straggler] = node.calls(event="begin")
    child = int((node.recorded / "child").read_text())
    node.delete(conf, pod).ok()
    assert not [process for process in (straggler["pid"], child) if _runs(process)]
    assert node.ran() == ["DEL net1", "DEL eth0"]
    assert node.left() == []


def test_DEL_20_del_of_a_roll_back_goes_on_too(node: Node, gate: Path) -> None:
    node.network("a", stub("a"))
    node.answer(
        stub__ADD__net1={"error": {"code": 100, "msg": "no"}},
        stub__DEL__net1={"killParent": True, "waitFor": str(gate)},
    )
    conf, pod = node.conf(stub()), node.pod()
    assert node.add(conf, pod, "a").status == KILLED
    gate.touch()
    _until(lambda: node.ran("DEL") == ["net1"], "end of the delegate")
    node.answer()
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["net1", "net1", "eth0"]
    assert node.left() == []


def test_DEL_20_what_an_add_left_running_is_ended_at_once(node: Node) -> None:
    conf, pod = node.conf(stub()), node.pod()
    node.answer(stub__ADD={"child": True, "killParent": True, "hang": True})
    assert node.add(conf, pod).status == KILLED
    child = int((node.recorded / "child").read_text())
    assert _runs(child)
    _until(lambda: not _runs(node.calls(event="begin")[0]["pid"]), "end of the delegate")
    node.answer()
    node.delete(conf, pod).ok()  # long before the delegates' time of 90 s
    assert not _runs(child)
    assert node.left() == []


@pytest.mark.parametrize("networks", [None, "a"])
def test_DEL_20_masquerading_rules_of_bridge_are_gone_after_a_kill_among_their_removals(
    node: Node, networks: str | None
) -> None:
    real = shutil.which("iptables")
    assert real is not None
    folder = node.root / "murder"
    folder.mkdir()
    murderer = folder / "iptables"
    murderer.write_text(MURDERER.format(once=folder / "done", real=real))
    murderer.chmod(0o755)
    node.network("a", node.bridge("a", "10.77.2.0/24", isGateway=True, ipMasq=True))
    conf, pod = node.conf(node.bridge("primary", "10.77.1.0/24", isGateway=True, ipMasq=True)), node.pod()
    node.add(conf, pod, networks).ok()
    assert _masquerading(node) != []
    path = f"{folder}:{os.environ['PATH']}"
    killed = node.call("DEL", conf, pod, annotations={NETWORKS: networks or ""}, env={"PATH": path})
    assert killed.status == KILLED
    node.delete(conf, pod).ok()
    assert _masquerading(node) == []
    assert (node.leases(), node.left(), node.interfaces(pod)) == ([], [], set())


def _masquerading(node: Node) -> list[str]:
    assert node.netns is not None
    rules = subprocess.run(
        ["nsenter", f"--net={node.netns}", "iptables-save", "-t", "nat"], check=True, capture_output=True, text=True
    ).stdout
    return [line for line in rules.splitlines() if "CNI" in line]
