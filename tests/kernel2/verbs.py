"""What every delegate must do, verb by verb, on a node of its own. Owns what is expected; refuses to go on with a
pod whose ADD failed.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from mooring.networks import statuses
from mooring.node import journals
from tests.kernel2 import scenes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conformance import node as nodes
    from tests.kernel2 import delegates

Json = dict[str, Any]


class Life:
    """Two pods of one delegate: the first as it comes, the second with its default route moved where there is one."""

    def __init__(self, scene: scenes.Scene, delegate: delegates.Delegate) -> None:
        self.scene = scene
        self.delegate = delegate
        scene.batch(scene.neighbour, delegate.neighbour)
        scene.batch(scene.here, delegate.node)
        scene.node.network(delegate.name, delegate.config)
        # The first pod's bridge stays on the node, as bridges do.
        self.around = set(scene.links(scene.here)) | {"cni0", "br1"}
        self.pod = scene.node.pod(name="first")
        self.result: Json = {}
        self.ended = False
        self.removed = False
        self.fault = ""

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the verbs and what each does, in order."""
        does = self.does()
        for verb in self.delegate.verbs:
            self.fault = self.delegate.faults.get(verb, "")
            yield verb, does[verb]

    def does(self) -> dict[str, Callable[[], None]]:
        """Return what each verb does."""
        return {
            "ADD": self.add,
            "status": self.status,
            "CHECK": self.check,
            "DEL": self.delete,
            "default-route": self.move,
            "CHECK moved": self.check,
            "CHECK finds address": self.find_address,
            "CHECK finds": self.find,
            "DEL gone": self.delete,
        }

    def add(self) -> None:
        """ADD, and look at the pod."""
        self.result = self.scene.add(self.pod, self.delegate.name)
        links = self.scene.links(self.pod)
        scenes.expect({"eth0", "net1"} <= set(links), f"eth0 and net1 are not both there: {sorted(links)}")
        self._link(links["net1"])
        for gateway in self.delegate.gateways:
            if self.delegate.answers:
                master = self.delegate.master or "net1"
                self.scene.run(self.pod, "busybox", "ping", "-c1", "-W3", "-I", master, gateway)
        defaults = [route["dev"] for route in self.scene.routes(self.pod, "default")]
        scenes.expect(defaults == ["eth0"], f"the default route is not eth0's alone: {defaults}")

    def _link(self, link: Json) -> None:
        kind = link.get("linkinfo", {}).get("info_kind")
        scenes.expect(kind == self.delegate.kind, f"net1 is of type {kind}, not {self.delegate.kind}")
        master = link.get("master", "")
        scenes.expect(master == self.delegate.master, f"net1's master is {master!r}, not {self.delegate.master!r}")
        scenes.expect(link["mtu"] == self.delegate.mtu, f"net1's MTU is {link['mtu']}, not {self.delegate.mtu}")
        attachment = self._journal().attachments[1]
        told = {str(ipaddress.ip_interface(ip["address"]).ip) for ip in (attachment.result or {}).get("ips", [])}
        has = scenes.addresses(link)
        scenes.expect(told == has, f"the result says {sorted(told)}, net1 has {sorted(has)}")

    def status(self, asked: tuple[str, ...] | None = None) -> None:
        """Compare the network-status that follows from the journal with the pod."""
        journal = self._journal()
        scenes.expect(journal.complete, "the journal does not say that everything is attached")
        first, second = statuses.entries([_attached(attachment) for attachment in journal.attachments])
        link = self.scene.links(self.pod)["net1"]
        wanted: Json = {
            "name": f"default/{self.delegate.name}",
            "interface": "net1",
            "mac": link["address"],
        }
        if asked is not None:
            wanted["default-route"] = list(asked)
        told = {key: value for key, value in second.items() if key not in ("ips", "dns", "gateway")}
        scenes.expect(told == wanted, f"the status says {told}, the pod has {wanted}")
        ips, has = set(second.get("ips", [])), scenes.addresses(link)
        scenes.expect(ips == has, f"the status says {sorted(ips)}, net1 has {sorted(has)}")
        if asked is not None:
            gateways = second.get("gateway")
            scenes.expect(gateways == list(asked), f"the status' gateway is {gateways}, asked for was {list(asked)}")
        scenes.expect(first.get("default") is True, f"the default network's entry has no default: true: {first}")
        scenes.expect("default" not in second, f"a second entry has default: true: {second}")

    def check(self) -> None:
        """CHECK passes."""
        outcome = self.scene.check(self.pod, self.result)
        self._ended(outcome, "CHECK of a pod that nobody touched")

    def move(self) -> None:
        """ADD a second pod whose default route goes by this network."""
        self.pod, self.ended = self.scene.node.pod(name="second"), False
        asked = self.delegate.gateways
        element = {"name": self.delegate.name, "default-route": list(asked)}
        self.result = self.scene.add(self.pod, json.dumps([element]))
        routes = self.scene.routes(self.pod, "default")
        found = {route.get("gateway"): route["dev"] for route in routes}
        scenes.expect(
            len(routes) == len(asked) and found == dict.fromkeys(asked, "net1"),
            f"default routes are {found}, wanted are {list(asked)} by net1",
        )
        self.status(asked)
        self._link(self.scene.links(self.pod)["net1"])

    def find_address(self) -> None:
        """CHECK notices that an address is gone."""
        address, *_ = sorted(scenes.addresses(self.scene.links(self.pod)["net1"], lengths=True))
        self.scene.batch(self.pod, [f"address delete {address} dev net1"])
        self._missed(f"net1 lost {address}")

    def find(self) -> None:
        """CHECK notices that an interface is gone."""
        if self.ended:
            self.pod, self.ended = self.scene.node.pod(name="second"), False
            self.result = self.scene.add(self.pod, self.delegate.name)
        self.scene.batch(self.pod, ["link delete net1"])
        self.removed = True
        self._missed("net1 is gone")

    def _missed(self, what: str) -> None:
        outcome = self.scene.check(self.pod, self.result)
        scenes.expect(outcome.status != 0, f"CHECK passed although {what}")
        scenes.expect(
            f"default/{self.delegate.name}" in outcome.stdout, f"CHECK does not name the network: {outcome.stdout}"
        )

    def delete(self) -> None:
        """DEL, and nothing is left; of what the reference cannot undo, the journal is.

        Where the interface is gone already, so is the network's definition: what is on disk of the pod is enough.
        """
        if self.removed:
            (self.scene.node.state / "networks" / "default" / f"{self.delegate.name}.json").unlink()
        outcome = self.scene.delete(self.pod)
        self.ended = True
        self._ended(outcome, "DEL")
        if self.fault:
            scenes.expect(self._journal().attachments[0].undone, "the default network was not undone")
        else:
            # sbr knows its rules by the addresses of an interface; without that, they end with the pod.
            nothing_left(self.scene, self.pod, self.around, rules=not self.removed)

    def _ended(self, outcome: nodes.Outcome, what: str) -> None:
        if not self.fault:
            scenes.expect(outcome.status == 0, f"{what} failed: {outcome.stdout}")
            return
        scenes.expect(outcome.status != 0, f"{what} passed, although the reference plugin cannot: {self.fault}")
        told = outcome.error["msg"]
        wanted = f"network default/{self.delegate.name} (net1): {self.fault}"
        scenes.expect(told.endswith(wanted), f"{what} says {told!r}, not {wanted!r}")

    def _journal(self) -> journals.Journal:
        journal = journals.read(self.scene.node.journal_path(self.pod))
        if journal is None:
            raise scenes.Wrong("there is no journal")
        return journal


def nothing_left(scene: scenes.Scene, pod: nodes.Pod, around: set[str], *, rules: bool) -> None:
    """Expect no link, lease, journal or result of any pod, and no rule if `rules`.

    `around` are the links that the node may have.
    """
    inside = sorted(scene.links(pod))
    scenes.expect(not inside, f"links left in the pod: {inside}")
    if rules:
        listed = json.loads(scene.run(pod, "ip", "-4", "-json", "rule"))
        # A rule without a table is the kernel's own, for all VRFs that there may be.
        own = [rule for rule in listed if rule.get("table", "main") not in ("local", "main", "default")]
        scenes.expect(not own, f"rules left in the pod: {own}")
    outside = sorted(set(scene.links(scene.here)) - around)
    scenes.expect(not outside, f"links left on the node: {outside}")
    leases = scene.leases()
    scenes.expect(not leases, f"addresses still leased: {leases}")
    files = scene.node.left()
    scenes.expect(not files, f"files left: {files}")


def _attached(attachment: journals.Attachment) -> statuses.Attached:
    return statuses.Attached(
        network=attachment.network,
        default=attachment.default,
        result=attachment.result or {},
        default_route=attachment.default_route,
        device_info=attachment.device_info,
    )
