"""The network between nodes. Owns the switch's bridge, each node's link to it, routes between pod
networks, and the one link to the machine. Refuses iptables rules and routes on the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testbed import commands, namespaces

if TYPE_CHECKING:
    from testbed import addresses, processes

_LINKS = Path("/sys/class/net")


def make_switch(plan: addresses.Plan, switch: processes.Process) -> None:
    """Make the bridge in the switch's namespace, and the machine's link to it."""
    _ip(["link add br0 type bridge", "link set br0 up"], within=switch)
    _ip([f"link add {plan.link} type veth peer name machine netns {switch.pid}"])
    _ip(["link set machine master br0 up"], within=switch)
    _ip(
        [
            f"address add {plan.machine_address}/{plan.node_network.prefixlen} dev {plan.link}",
            f"link set {plan.link} up",
        ]
    )


def connect_node(plan: addresses.Plan, switch: processes.Process, number: int, node: processes.Process) -> None:
    """Give a node its link, address and routes."""
    name = plan.node_names()[number - 1]
    # A link of a node that just ended goes some time after its namespace.
    present = commands.run([*namespaces.entering(switch, network_only=True), "ip", "-br", "link"])
    if name in present.replace("@", " ").split():
        _ip([f"link delete {name}"], within=switch)
    peer = f"name eth0 address {plan.node_hardware_address(number)} netns {node.pid}"
    _ip([f"link add {name} type veth peer {peer}", f"link set {name} master br0 up"], within=switch)
    lines = [
        "link set lo up",
        f"address add {plan.node_address(number)}/{plan.node_network.prefixlen} dev eth0",
        "link set eth0 up",
        # Without a default route the node's own processes get "unreachable" for a ClusterIP before it is translated.
        f"route add default via {plan.machine_address}",
    ]
    others = (other for other in range(1, plan.nodes + 1) if other != number)
    lines += [f"route add {plan.pod_subnet(other)} via {plan.node_address(other)}" for other in others]
    _ip(lines, within=node)
    settings = ["net/ipv4/ip_forward=1", "net/bridge/bridge-nf-call-iptables=1"]
    script = 'for s; do f=/proc/sys/${s%=*}; [ ! -e "$f" ] || echo "${s#*=}" >"$f"; done'
    commands.run([*namespaces.entering(node), "sh", "-ec", script, "sh", *settings])


def remove_link(link: str) -> None:
    """Take away the machine's link, if it is there; with the switch's namespace it goes by itself, but later."""
    if (_LINKS / link).exists():
        commands.run(["ip", "link", "delete", link], check=False)


def _ip(lines: list[str], *, within: processes.Process | None = None) -> None:
    prefix = [] if within is None else namespaces.entering(within, network_only=True)
    commands.run([*prefix, "ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
