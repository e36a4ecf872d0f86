"""The two sides of DHCP: a real server at the neighbour's, the reference plugin's daemon on the node.

Owns starting both and reading the server's leases; both end with the case.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kernel2 import scenes, verbs

if TYPE_CHECKING:
    from tests.kernel2 import delegates

SOCKET = Path("/run/cni/dhcp.sock")  # where the plugin looks for its daemon


class Server:
    """dnsmasq on `lan0`, which gives out addresses of a range and no router."""

    def __init__(self, scene: scenes.Scene, given: str) -> None:
        self._scene = scene
        self._leases = scene.node.root / "dhcp-leases"
        pid = scene.node.root / "dhcp-pid"
        # It asks nobody whether an address is in use: it would wait three seconds for the answer.
        scene.start(
            scene.neighbour,
            *("dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--user=root", "--port=0", "--no-ping"),
            *("--interface=lan0", "--bind-interfaces", "--dhcp-authoritative", f"--dhcp-range={given}"),
            *("--dhcp-option=3", f"--dhcp-leasefile={self._leases}", f"--pid-file={pid}", "--log-facility=-"),
        )
        scene.until(pid.exists, "the DHCP server is not up")

    def leases(self) -> list[str]:
        """Return the addresses that are given out."""
        return [line.split()[2] for line in self._leases.read_text().splitlines()] if self._leases.exists() else []


def daemon(scene: scenes.Scene, tools: scenes.Tools) -> Path:
    """Start the plugin's daemon on the node, wait for its socket, and return its log."""
    SOCKET.parent.mkdir(exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    log = scene.node.root / "dhcp-daemon.log"
    scene.start(scene.here, tools.reference / "dhcp", "daemon", "-socketpath", SOCKET, log=log)
    scene.until(_answers, "the DHCP daemon's socket does not answer")
    return log


class Leased(verbs.Life):
    """The life of a network whose addresses come from the server: it must know of them, and of their end."""

    def __init__(self, scene: scenes.Scene, delegate: delegates.Delegate, tools: scenes.Tools) -> None:
        super().__init__(scene, delegate)
        self._server = Server(scene, delegate.dhcp)
        self._log = daemon(scene, tools)

    def add(self) -> None:
        """ADD, and the server has given this address out."""
        super().add()
        self._given()

    def move(self) -> None:
        """ADD with the default route moved, and the server has given this address out."""
        super().move()
        self._given()

    def delete(self) -> None:
        """DEL, and the daemon gave the address back, unless it saw by itself that the interface is gone.

        The server cannot tell: the daemon of 1.9.1 says it from 0.0.0.0, which kernels drop (plugins issue 1278).
        """
        super().delete()
        lease = f"{self.pod.container}/{self.delegate.name}/net1"
        log = self._log.read_text()
        ends = (f"{lease}: releasing lease", f"{lease}: interface net1 no longer exists")
        scenes.expect(any(end in log for end in ends), f"the daemon still keeps the lease {lease}: {log}")

    def _given(self) -> None:
        has, leases = scenes.addresses(self.scene.links(self.pod)["net1"]), self._server.leases()
        scenes.expect(has <= set(leases), f"the server gave out {leases}, net1 has {sorted(has)}")


def _answers() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(str(SOCKET))
        return True
    return False
