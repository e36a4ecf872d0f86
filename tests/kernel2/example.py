"""The pod of examples/ipvlan-on-bond.yaml, end to end. Owns what is special to it: an address of the range, rules
and routes by source, traffic, and the host port of a default network that is a chain itself.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.kernel2 import delegates, scenes, verbs

if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
_AFAR = "192.0.2.9"
_NODE = "10.61.0.2"


class Example(verbs.Life):
    """The life of the example's pod, and of another with its default route moved."""

    def __init__(self, scene: scenes.Scene, delegate: delegates.Delegate, annotation: str) -> None:
        super().__init__(scene, delegate)
        self.annotation = annotation

    def does(self) -> dict[str, Callable[[], None]]:
        """Return what each verb does; there is more to see of the example."""
        return super().does() | {
            "ADD": self.attach,
            "addresses": self.addresses,
            "rules and routes": self.rules,
            "answers": self.answers,
            "host port": self.host_port,
        }

    def attach(self) -> None:
        """ADD as the example's pod asks for it."""
        self.result = self.scene.add(self.pod, self.annotation, portMappings=_PORTS)
        links = self.scene.links(self.pod)
        scenes.expect(set(links) == {"eth0", "net1"}, f"the pod's links are {sorted(links)}")
        kind = links["net1"]["linkinfo"]["info_kind"]
        scenes.expect(kind == "ipvlan", f"net1 is of type {kind}")
        bond = self.scene.links(self.scene.here)["bond0"]["ifindex"]
        scenes.expect(links["net1"]["link_index"] == bond, f"net1 is on link {links['net1']['link_index']}, not {bond}")
        self._link(links["net1"])

    def addresses(self) -> None:
        """Compare the address with the range and with what results say."""
        (has,) = scenes.addresses(self.scene.links(self.pod)["net1"])
        first, last = self._range()
        scenes.expect(first <= ipaddress.ip_address(has) <= last, f"{has} is not of {first} to {last}")
        leases = self.scene.leases()
        scenes.expect(f"networks/{self.delegate.name}/{has}" in leases, f"{has} is not leased: {leases}")
        told = [ip["address"] for ip in self.result["ips"]]
        eth0 = scenes.addresses(self.scene.links(self.pod)["eth0"])
        scenes.expect(told == [f"{ip}/24" for ip in eth0], f"the result is not the default network's: {told}")

    def rules(self) -> None:
        """Inspect the rule for net1's address and the table that it leads to."""
        (has,) = scenes.addresses(self.scene.links(self.pod)["net1"])
        rules = json.loads(self.scene.run(self.pod, "ip", "-4", "-json", "rule"))
        tables = [rule["table"] for rule in rules if rule["src"] == has]
        scenes.expect(len(tables) == 1, f"not one rule for {has}: {rules}")
        own = self._table("table", tables[0])
        scenes.expect(own.get("default") == "10.60.0.1 net1", f"table {tables[0]} does not lead out by net1: {own}")
        scenes.expect(own.get("10.60.0.0/24") == "net1", f"table {tables[0]} does not reach the network: {own}")
        main = self._table("table", "main")
        scenes.expect(main.get("default") == "10.244.0.1 eth0", f"the main table's default route is not eth0's: {main}")

    def answers(self) -> None:
        """Ask by net1 from an address that only the default route of net1's table leads back to."""
        (has,) = scenes.addresses(self.scene.links(self.pod)["net1"])
        self.scene.run(self.scene.neighbour, "busybox", "ping", "-c1", "-W3", "-I", _AFAR, has)

    def host_port(self) -> None:
        """Reach the pod by the node's port."""
        self.scene.start(self.pod, "busybox", "nc", "-l", "-p", "80", "-e", "echo", "hello")
        self.scene.until(self._greeted, f"{_NODE}:8080 does not lead to the pod")

    def delete(self) -> None:
        """DEL, and the port mapping is gone too."""
        super().delete()
        left = [rule for rule in self.scene.firewall().splitlines() if "8080" in rule or "10.244.0." in rule]
        scenes.expect(not left, f"rules left on the node: {left}")

    def _greeted(self) -> bool:
        command = ("nsenter", f"--net={self.scene.neighbour.netns}", "busybox", "nc", "-w", "2", _NODE, "8080")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        return done.stdout == b"hello\n"

    def _table(self, *of: str) -> dict[str, str]:
        """Return a table of IPv4 routes: destination to `gateway interface`, or `interface`."""
        routes: list[dict[str, Any]] = self.scene.routes(self.pod, *of)
        return {
            route["dst"]: f"{route.get('gateway', '')} {route['dev']}".strip()
            for route in routes
            if ":" not in route["dst"] and ":" not in route.get("gateway", "")
        }

    def _range(self) -> tuple[Any, Any]:
        (given,) = self.delegate.config["plugins"][0]["ipam"]["ranges"][0]
        return ipaddress.ip_address(given["rangeStart"]), ipaddress.ip_address(given["rangeEnd"])
