"""One node, one neighbour and what is asked of them. Owns the wiring, and the transcript of every command, so that
a failure shows what was said; refuses to judge what it sees.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance import node as nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Json = dict[str, Any]

LEASES = Path("/var/lib/cni")
_TOLD = ("ifindex", "ifname", "link_index", "flags", "mtu", "master", "address", "linkinfo", "addr_info")
# host-local keeps these for ever: the last address given out and its lock.
_KEPT = ("last_reserved_ip.", "lock")

# The pods' own network, in short, and a chain with address translation, as most clusters have it.
_BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True}
_IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.244.0.0/24"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
}
PLAIN = nodes.chain("pod-network", _BRIDGE | {"ipam": _IPAM})
CHAIN = nodes.chain(
    "pod-network",
    _BRIDGE | {"ipMasq": True, "ipam": _IPAM},
    {"type": "portmap", "capabilities": {"portMappings": True}},
)


class Wrong(Exception):
    """Something is not as it should be: the sentence that a person reads."""


def expect(truth: object, sentence: str) -> None:
    """Raise Wrong with this sentence unless it is so."""
    if not truth:
        raise Wrong(sentence)


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """What a scene is made from: the plugin under test, and the folder of the reference plugins."""

    plugin: Path
    reference: Path


class Scene:
    """A node whose `up0` leads to the neighbour's `lan0`, and the plugin called on it."""

    def __init__(self, root: Path, tools: Tools, *, default: Json = PLAIN) -> None:
        self.default = default
        self.transcript: list[str] = []
        self.node = nodes.Node(root, tools.plugin, root / "no-programs", tools.reference)
        self.here = nodes.Pod(container="", netns=str(self.node.netns), name="the node")
        self.neighbour = self.node.pod(name="the neighbour")
        self._started: list[subprocess.Popen[bytes]] = []
        shutil.rmtree(LEASES, ignore_errors=True)  # what a case before left is that case's failure
        self.batch(self.here, [f"link add up0 type veth peer name lan0 netns {self.neighbour.netns}"])
        self.batch(self.here, ["link set lo up", "link set up0 up"])
        self.batch(self.neighbour, ["link set lo up", "link set lan0 up"])

    def close(self) -> None:
        """End what was started here, and delete the namespaces."""
        for process in self._started:
            process.terminate()
            process.wait(timeout=10)
        self.node.close()

    # ---- doing ----

    def until(self, ready: Callable[[], bool], what: str, *, seconds: float = 20) -> None:
        """Wait for something that tells nobody when it is there; raises Wrong when it never is."""
        deadline = time.monotonic() + seconds
        while not ready():
            expect(time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s")
            time.sleep(0.05)

    def run(self, where: nodes.Pod, *command: str) -> str:
        """Run a command in a network namespace; raises Wrong with what it printed where it fails."""
        done = subprocess.run(
            ["nsenter", f"--net={where.netns}", *command], capture_output=True, text=True, timeout=30, check=False
        )
        self._note(f"{where.name}$ {shlex.join(command)}", done.stdout, done.stderr)
        expect(done.returncode == 0, f"on {where.name}: {shlex.join(command)} ended with {done.returncode}")
        return done.stdout

    def batch(self, where: nodes.Pod, lines: Iterable[str]) -> None:
        """Run lines of `ip`."""
        for line in lines:
            self.run(where, "ip", *line.split())

    def start(self, where: nodes.Pod, *command: str | Path, log: Path | None = None) -> None:
        """Start a program that runs until `close`; its output goes to `log`, else to the driver's."""
        words = [str(word) for word in command]
        self._note(f"{where.name}$ {shlex.join(words)} &")
        with contextlib.ExitStack() as files:
            output = files.enter_context(log.open("wb")) if log else None
            process = subprocess.Popen(
                ["nsenter", f"--net={where.netns}", *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._started.append(process)

    def add(self, pod: nodes.Pod, annotation: str, **runtime: Any) -> Json:
        """ADD with these networks, CHECK at once as CRI-O does, and return the result.

        `runtime` is the rest of runtimeConfig.
        """
        self.node.beat()
        result = self._called("ADD", pod, self.node.add(self.conf(runtimeConfig=runtime), pod, annotation)).result
        expect(self.check(pod, result).status == 0, "CHECK failed right after ADD")
        return result

    def check(self, pod: nodes.Pod, result: Json) -> nodes.Outcome:
        """CHECK with what ADD returned."""
        outcome = self.node.call("CHECK", self.conf(prevResult=result), pod)
        return self._called("CHECK", pod, outcome, required=False)

    def delete(self, pod: nodes.Pod) -> nodes.Outcome:
        """DEL, from what is on disk alone."""
        return self._called("DEL", pod, self.node.delete(self.conf(), pod), required=False)

    def conf(self, **keys: Any) -> Json:
        """Make the meta-plugin's configuration."""
        return self.node.conf(self.default, logLevel="error", **keys)

    # ---- looking ----

    def links(self, where: nodes.Pod) -> dict[str, Json]:
        """Return the links by name, without lo, with their addresses as `ip` tells them."""
        shown: list[Json] = json.loads(self.run(where, "ip", "-details", "-json", "address"))
        # `ip` tells of far more than a person wants to read when a test fails.
        links = [{key: link[key] for key in _TOLD if key in link} for link in shown if link["ifname"] != "lo"]
        self.transcript[-1] = "\n".join(map(json.dumps, links)) or "no link but lo"
        return {link["ifname"]: link for link in links}

    def routes(self, where: nodes.Pod, *of: str) -> list[Json]:
        """Return routes of both families, as `ip -json route show ...` tells them."""
        found: list[Json] = []
        for family in ("-4", "-6"):
            printed = self.run(where, "ip", family, "-json", "route", "show", *of)
            found += json.loads(printed or "[]")
        return found

    def leases(self) -> list[str]:
        """Return what the reference plugins hold of anybody's addresses."""
        files = [path for path in LEASES.rglob("*") if path.is_file() and not path.name.startswith(_KEPT)]
        return sorted(str(path.relative_to(LEASES)) for path in files)

    def firewall(self) -> str:
        """Return the node's address translation."""
        return self.run(self.here, "iptables", "-t", "nat", "-S")

    # ---- telling ----

    def _called(self, verb: str, pod: nodes.Pod, outcome: nodes.Outcome, *, required: bool = True) -> nodes.Outcome:
        self._note(f"mooring {verb} {pod.name}: status {outcome.status}", outcome.stdout, outcome.stderr)
        if required:
            expect(outcome.status == 0, f"{verb} failed: {_message(outcome.stdout)}")
        return outcome

    def _note(self, *texts: str) -> None:
        self.transcript += [text.strip() for text in texts if text.strip()]


def addresses(link: Mapping[str, Any], *, lengths: bool = False) -> set[str]:
    """Return a link's addresses without those that it gave itself, with their prefix lengths where they are wanted."""
    found = [info for info in link["addr_info"] if info["scope"] != "link"]
    return {f"{info['local']}/{info['prefixlen']}" if lengths else info["local"] for info in found}


def _message(printed: str) -> str:
    try:
        return str(json.loads(printed)["msg"])
    except (ValueError, KeyError, TypeError):
        return printed
