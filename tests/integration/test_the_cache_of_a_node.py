"""The agent's cache at a real API server: right within seconds whatever is done to it, and stale when nobody knows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.integration.agents import Line, Node, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# It waits for the time to live of a heartbeat, and more than once.
pytestmark = pytest.mark.timeout(240)
TTL = 30


def cached(node: Node) -> Path:
    return node.seen("/var/lib/mooring/networks")


def age(node: Node) -> float:
    """Return how old the heartbeat is; where there is none, older than any."""
    try:
        beat = json.loads((cached(node) / "heartbeat").read_text())["boottime"]
    except FileNotFoundError:
        return float("inf")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - float(beat)


def behind(node: Node, url: str) -> None:
    """Start the node's agent with another way to the API server."""
    node.stop()
    text = node.kubeconfig.read_text().replace(node.plane.url, url)
    node.kubeconfig = node.root / "kubeconfig"
    node.kubeconfig.write_text(text)
    node.start()
    node.revision()
    node.get_ready()


@pytest.fixture
def networks(node: Node, line: Line) -> Iterator[Node]:
    """A ready node behind a line that can be cut, and two networks in a namespace of their own, `node.name`."""
    node.plane.kubectl("create", "namespace", node.name)
    for name in ("one", "two"):
        body = {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "namespace": node.name},
            "spec": {"config": json.dumps({"type": "bridge", "name": name})},
        }
        node.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    behind(node, line.url)
    yield node
    node.plane.kubectl("delete", "namespace", node.name, "--wait=false")


def damaged(node: Node) -> None:
    (cached(node) / node.name / "one.json").write_bytes(b'{"version": 1, "namespa')


def changed(node: Node) -> None:
    path = cached(node) / node.name / "two.json"
    path.write_text(path.read_text().replace("bridge", "macvlan"))


def file_gone(node: Node) -> None:
    (cached(node) / node.name / "one.json").unlink()


def namespace_gone(node: Node) -> None:
    shutil.rmtree(cached(node) / node.name, ignore_errors=True)


def all_gone(node: Node) -> None:
    shutil.rmtree(cached(node), ignore_errors=True)


def heartbeat_gone(node: Node) -> None:
    (cached(node) / "heartbeat").unlink()


@pytest.mark.parametrize("away", [False, True], ids=["with the API server", "without it"])
def test_what_is_done_to_the_cache_is_undone_within_seconds(networks: Node, line: Line, away: bool) -> None:
    def files() -> dict[str, bytes]:
        found = {}
        for path in cached(networks).rglob("*.json"):
            try:
                found[str(path)] = path.read_bytes()
            except FileNotFoundError:
                continue
        return found

    right = files()
    assert len([path for path in right if networks.name in path]) == 2
    if away:
        line.cut()
    for damage in (damaged, changed, file_gone, namespace_gone, all_gone, all_gone, heartbeat_gone):
        damage(networks)
        what = f"the end of {damage.__name__}"
        eventually(lambda: files() == right and (cached(networks) / "heartbeat").exists(), seconds=5, what=what)
    eventually(networks.ready, seconds=5, what=f"readiness; {networks.unready()}")


@pytest.mark.parametrize("away", [False, True], ids=["with the API server", "without it"])
def test_a_cache_that_cannot_be_put_right_takes_the_heartbeat_away_and_is_told(
    networks: Node, line: Line, away: bool
) -> None:
    if away:
        line.cut()
    blocked = cached(networks) / networks.name / "one.json"
    blocked.unlink()
    (blocked / "in-the-way").mkdir(parents=True)
    eventually(lambda: f"{networks.name}/one cannot be put right" in networks.unready(), seconds=5, what="the report")
    assert age(networks) == float("inf")

    def told() -> bool:
        ready = [each for each in networks.status()["conditions"] if each["type"] == "Ready"]
        return [each["status"] for each in ready] == ["False"]

    line.mend()
    eventually(told, seconds=45, what="the condition")
    shutil.rmtree(blocked)
    eventually(lambda: networks.ready() and blocked.is_file() and age(networks) < TTL, seconds=10, what="the repair")


PROXY = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    sink.close()
while True:
    near, _ = server.accept()
    far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@pytest.fixture
def proxy(node: Node) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A proxy in a process of its own, and its URL: stopped, its kernel goes on answering probes."""
    port = node.plane.url.rpartition(":")[2]
    with subprocess.Popen([sys.executable, "-c", PROXY, port], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, f"https://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def test_a_watch_that_is_silent_behind_a_dead_proxy_makes_the_heartbeat_stale(
    node: Node, proxy: tuple[subprocess.Popen[str], str]
) -> None:
    process, url = proxy
    behind(node, url)
    # An idle watch: every heartbeat in this time comes of a watch that was begun anew.
    eventually(lambda: age(node) > 5, seconds=TTL, what="an idle watch")
    eventually(lambda: age(node) < 5, seconds=TTL, what="a heartbeat though nothing happened")
    os.kill(process.pid, signal.SIGSTOP)
    name = f"n-{uuid.uuid4().hex[:8]}"
    body = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"config": '{"type":"bridge"}'},
    }
    node.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    eventually(lambda: age(node) > TTL, seconds=TTL + 5, what="a stale heartbeat")
    assert not (cached(node) / "default" / f"{name}.json").exists(), "it could not be heard of"
    os.kill(process.pid, signal.SIGCONT)
    eventually((cached(node) / "default" / f"{name}.json").exists, seconds=60, what="the network")
    eventually(lambda: age(node) < TTL, seconds=60, what="a fresh heartbeat")
    node.plane.kubectl("delete", "network-attachment-definition", name)
