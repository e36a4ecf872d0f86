"""A node is drained through its NodeState, by the agent as a process with its own rights at a real API server."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from mooring.node import places
from testbed.kubectl import CHECKOUT
from tests.integration import test_agent_on_a_node as on_a_node
from tests.integration.agents import PLUGIN, PRIMARY, Node, eventually
from tests.integration.test_attachment_slices import held, of, slices

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = CHECKOUT / "cri" / "contract" / "examples"


def files_of(node: Node) -> dict[str, bytes]:
    """Return the files in the folders of a node."""
    folders = [node.seen(folder) for folder in node.paths.values()]
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def drain(node: Node, wanted: bool) -> None:
    """Ask as the leader does."""
    patch = json.dumps({"spec": {"drain": wanted}})
    node.plane.kubectl("patch", "nodestate", node.name, "--type=merge", "-p", patch)


def drained(node: Node) -> tuple[str, str, str]:
    found = [each for each in node.status()["conditions"] if each["type"] == "Drained"]
    return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")


def attach(node: Node, pod: str) -> Path:
    """Attach a pod to a network; return its journal."""
    before = set(node.seen("/var/lib/mooring/attachments").glob("*.jsonl"))
    node.attach(pod, node.pod(pod), "default/storage")
    [made] = set(node.seen("/var/lib/mooring/attachments").glob("*.jsonl")) - before
    return made


def test_a_drained_node_is_as_before_and_one_that_is_wanted_again_is_installed_again(node: Node) -> None:
    before = files_of(node)
    node.revision()
    node.get_ready()
    journal = attach(node, "stays-a-while")
    eventually(lambda: held(node) == of("stays-a-while"), what="the slice")
    drain(node, True)
    expected = "It waits for the end of a pod with further networks: default/stays-a-while."
    eventually(lambda: drained(node) == ("False", "Draining", expected), what=lambda: f"the pod: {drained(node)}")
    assert not node.conf.exists()
    assert node.seen("/opt/cni/bin/mooring").read_text() == PLUGIN
    assert "Draining: Mooring is taken off this node" in node.unready()
    assert held(node) == of("stays-a-while")
    # Whatever happens to the agent, or the conf folder: nobody installs anything, and the drain goes on.
    node.stop(signal.SIGKILL)
    node.start()
    eventually(lambda: drained(node)[1] == "Draining", what="the agent")
    node.seen("/etc/cni/net.d/99-others.conf").write_text(json.dumps(PRIMARY))
    node.seen("/opt/cni/bin/other").write_text("")
    journal.unlink()
    eventually(lambda: drained(node)[:2] == ("True", "Drained"), seconds=30, what=lambda: f"the end: {drained(node)}")
    for path in ("/etc/cni/net.d/99-others.conf", "/opt/cni/bin/other"):
        node.seen(path).unlink()
    assert files_of(node) == before
    assert list(node.seen("/var/lib/mooring").iterdir()) == []
    assert not node.seen("/etc/cni/net.d/mooring.d").exists()
    assert slices(node) == []
    drain(node, False)
    node.get_ready(seconds=30)
    assert json.loads(node.conf.read_text())["delegates"] == [PRIMARY]
    eventually(lambda: drained(node) == ("", "", ""), what="the end of the condition")
    attach(node, "comes-later")
    eventually(lambda: held(node) == of("comes-later"), seconds=30, what="its slice")


def test_a_drain_that_is_withdrawn_before_its_end_installs_again_and_keeps_what_is_attached(ready: Node) -> None:
    attach(ready, "attached")
    drain(ready, True)
    eventually(lambda: "default/attached" in drained(ready)[2], what="the wait for the pod")
    drain(ready, False)
    ready.get_ready()
    assert ready.conf.exists()
    assert not ready.seen(f"/var/lib/mooring/{places.LEAVING}").exists()
    assert held(ready) == of("attached")


def test_a_primary_whose_file_is_gone_is_written_back_and_loaded_before_the_plugin_goes(node: Node) -> None:
    loaded = node.root / "loaded"
    loaded.write_bytes((EXAMPLES / "status-containerd-ours.json").read_bytes())
    own = node.seen("/etc/cni/net.d/10-pods.conf")
    with on_a_node.runtime(node):
        node.revision()
        node.get_ready()
        eventually(lambda: node.status().get("primaryNetwork"), what="the report")
        own.unlink()
        drain(node, True)
        eventually(lambda: "has loaded the primary network's own conf" in drained(node)[2], what="the runtime's word")
        assert json.loads(own.read_text()) == PRIMARY
        assert not node.conf.exists()
        assert node.seen("/opt/cni/bin/mooring").exists(), "the runtime may still run it"
        loaded.write_bytes((EXAMPLES / "status-containerd-rival.json").read_bytes())
        eventually(lambda: drained(node)[0] == "True", seconds=30, what=lambda: f"the end: {drained(node)}")
    assert not node.seen("/opt/cni/bin/mooring").exists()
    assert json.loads(own.read_text()) == PRIMARY
