"""The delegates that are shown to work: their configurations and what each needs of kernel and node.

Owns data, which both sides read: pytest on the machine, and the driver on the kernel that runs the tests.
Everything happens between `up0` on the node and `lan0` at its other end, the neighbour.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

# In this order they are tried, and shown; what each shows.
VERBS = {
    "ADD": "CHECK passes at once, as CRI-O calls it; the link is there as the result says, and the neighbour answers",
    "status": "the network-status says what the pod has",
    "CHECK": "CHECK passes",
    "DEL": "DEL leaves no link, lease, journal or result",
    "default-route": "the pod's only default route leaves by this network, and its status says so",
    "CHECK moved": "CHECK agrees with the moved route",
    "CHECK finds address": "CHECK misses an address that somebody removed, and names the network",
    "CHECK finds": "CHECK misses an interface that somebody removed, and names the network",
    "DEL gone": "DEL of what is gone already leaves nothing either",
}
_OF_GATEWAYS = ("default-route", "CHECK moved", "CHECK finds address")

# The network of examples/ipvlan-on-bond.yaml.
EXAMPLE = "ipvlan-net2"

# What the conf list of examples/ipvlan-on-bond.yaml shows end to end, next to a default network that is a chain too.
END_TO_END = {
    "ADD": "the pod of the example gets eth0 with a host port, and net1 on bond0; CHECK passes at once",
    "addresses": "the address is of the example's range, and the result, the journal and the pod say the same",
    "rules and routes": "what comes from net1's address has a table of its own, which leads out by net1",
    "answers": "who asks from afar by net1 is answered by net1",
    "host port": "the default network's port mapping works",
} | VERBS


@dataclasses.dataclass(frozen=True, slots=True)
class Delegate:
    """One network, and what is around it.

    `kind` is the link's type as `ip -details` says it; `node` and `neighbour` are lines for `ip -batch` on either
    side; `gateways` are what a pod asks its default route by; `answers` is whether they answer to a ping; `dhcp`
    is the range that a server on `lan0` gives out. `faults` are the reference plugins' own: the error with which a
    verb must come back for them.
    """

    name: str
    kind: str
    types: frozenset[str]
    config: Json
    gateways: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    neighbour: tuple[str, ...] = ()
    answers: bool = True
    master: str = ""
    mtu: int = 1500
    dhcp: str = ""
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def verbs(self) -> tuple[str, ...]:
        """What is tried of it: without a gateway there is neither a route to move nor an address; of the example there
        is more to see.
        """
        tried = END_TO_END if self.name == EXAMPLE else VERBS
        return tuple(verb for verb in tried if self.gateways or verb not in _OF_GATEWAYS)


def _conf(name: str, *plugins: Json, version: str = "1.0.0") -> Json:
    return {"cniVersion": version, "name": name, "plugins": list(plugins)}


def _host_local(*subnets: str) -> Json:
    return {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets]}


BOND = (
    "link add name bond0 type bond mode active-backup",
    "link set up0 down",
    "link set up0 master bond0",
    "link set up0 up",
    "link set bond0 up",
)

# A DEL has to forgive what is gone; that of vrf does not.
_NO_LINK = "plugin vrf (DEL): resetMaster: could not get link by name net1"

DELEGATES = (
    Delegate(
        name="ipvlan",
        kind="ipvlan",
        types=frozenset({"ipvlan"}),
        config=_conf(
            "ipvlan",
            {"type": "ipvlan", "master": "up0", "mode": "l2", "ipam": _host_local("10.50.0.0/24", "2001:db8:50::/64")},
        ),
        neighbour=("addr add 10.50.0.1/24 dev lan0", "addr add 2001:db8:50::1/64 dev lan0 nodad"),
        gateways=("10.50.0.1", "2001:db8:50::1"),
    ),
    Delegate(
        name="vlan",
        kind="vlan",
        types=frozenset({"vlan"}),
        config=_conf(
            "vlan",
            {
                "type": "vlan",
                "master": "up0",
                "vlanId": 100,
                "ipam": {"type": "static", "addresses": [{"address": "10.51.0.20/24"}]},
            },
            {"type": "tuning", "mtu": 1400},
            version="1.1.0",
        ),
        neighbour=(
            "link add link lan0 name lan0.100 type vlan id 100",
            "link set lan0.100 up",
            "addr add 10.51.0.1/24 dev lan0.100",
        ),
        gateways=("10.51.0.1",),
        mtu=1400,
    ),
    Delegate(
        name="vrf",
        kind="veth",
        types=frozenset({"vrf", "bridge"}),
        config=_conf(
            "vrf",
            {"type": "bridge", "bridge": "br1", "isGateway": True, "ipam": _host_local("10.52.0.0/24")},
            {"type": "vrf", "vrfname": "blue"},
        ),
        gateways=("10.52.0.1",),
        master="blue",
        faults={"DEL gone": _NO_LINK},
    ),
    Delegate(
        name="vrf-l2",
        kind="macvlan",
        types=frozenset({"vrf", "macvlan"}),
        config=_conf(
            "vrf-l2", {"type": "macvlan", "master": "up0", "mode": "bridge"}, {"type": "vrf", "vrfname": "blue"}
        ),
        master="blue",
        faults={"DEL gone": _NO_LINK},
    ),
    Delegate(
        name="vrf-ipvlan",
        kind="ipvlan",
        types=frozenset({"vrf", "ipvlan"}),
        config=_conf(
            "vrf-ipvlan",
            {"type": "ipvlan", "master": "up0", "ipam": _host_local("10.57.0.0/24")},
            {"type": "vrf", "vrfname": "blue"},
        ),
        neighbour=("addr add 10.57.0.1/24 dev lan0",),
        gateways=("10.57.0.1",),
        master="blue",
        faults={"DEL gone": _NO_LINK},
    ),
    Delegate(
        name="sbr",
        kind="macvlan",
        types=frozenset({"macvlan"}),
        config=_conf(
            "sbr",
            {"type": "macvlan", "master": "up0", "mode": "bridge", "ipam": _host_local("10.58.0.0/24")},
            {"type": "sbr"},
        ),
        neighbour=("addr add 10.58.0.1/24 dev lan0",),
        gateways=("10.58.0.1",),
    ),
    Delegate(
        name="dummy",
        kind="dummy",
        types=frozenset({"dummy"}),
        config=_conf(
            "dummy", {"type": "dummy", "ipam": {"type": "static", "addresses": [{"address": "10.53.0.20/24"}]}}
        ),
        gateways=("10.53.0.1",),
        answers=False,
    ),
    Delegate(
        name="macvlan",
        kind="macvlan",
        types=frozenset({"macvlan"}),
        config=_conf(
            "macvlan", {"type": "macvlan", "master": "up0", "mode": "bridge", "ipam": _host_local("10.54.0.0/24")}
        ),
        neighbour=("addr add 10.54.0.1/24 dev lan0",),
        gateways=("10.54.0.1",),
    ),
    Delegate(
        name="bond",
        kind="ipvlan",
        types=frozenset({"bond", "ipvlan"}),
        config=_conf("bond", {"type": "ipvlan", "master": "bond0", "ipam": _host_local("10.55.0.0/24")}),
        node=BOND,
        neighbour=("addr add 10.55.0.1/24 dev lan0",),
        gateways=("10.55.0.1",),
    ),
    Delegate(
        name="dhcp",
        kind="macvlan",
        types=frozenset({"macvlan"}),
        config=_conf("dhcp", {"type": "macvlan", "master": "up0", "mode": "bridge", "ipam": {"type": "dhcp"}}),
        neighbour=("addr add 10.56.0.1/24 dev lan0",),
        gateways=("10.56.0.1",),
        dhcp="10.56.0.20,10.56.0.120,255.255.255.0,1h",
    ),
)


def end_to_end(config: Json) -> Delegate:
    """Return the network of the example, with its configuration as it stands in the file, and what is around it."""
    return Delegate(
        name=EXAMPLE,
        kind="ipvlan",
        types=frozenset({"bond", "ipvlan"}),
        config=config,
        node=(*BOND, "addr add 10.61.0.2/24 dev bond0"),
        neighbour=(
            "addr add 10.60.0.1/24 dev lan0",
            "addr add 10.61.0.1/24 dev lan0",
            "addr add 192.0.2.9/32 dev lo",
        ),
        gateways=("10.60.0.1",),
    )
