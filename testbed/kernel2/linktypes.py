"""Which link types the running kernel has. Owns asking it, by making one of each in a network namespace that
is gone at once; refuses to conclude from versions, configurations or lists of modules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from testbed import commands, failures

if TYPE_CHECKING:
    from collections.abc import Iterable

# What follows the name in `ip link add`. Macvlan and ipvlan do not share a parent: the one is there, the other busy.
RECIPES = {
    "bond": "type bond",
    "bridge": "type bridge",
    "dummy": "type dummy",
    "ipvlan": "link parent1 type ipvlan",
    "macvlan": "link parent2 type macvlan",
    "vlan": "link parent1 type vlan id 5",
    "vrf": "type vrf table 10",
}
_PREFIX = "try-"


def present(types: Iterable[str]) -> frozenset[str]:
    """Return those of these link types (keys of RECIPES) that the running kernel makes; needs root.

    Raises Failure where there are not even network namespaces and veth.
    """
    printed = commands.run(
        ["unshare", "--net", "sh", "-c", "ip -force -batch - 2>/dev/null; ip -json link"], stdin=batch(sorted(types))
    )
    listed = json.loads(printed)
    if not any(link["ifname"] == "parent1" for link in listed):
        raise failures.Failure("this kernel makes no veth pair in a network namespace: nothing here can be tested")
    return made(listed)


def batch(types: Iterable[str]) -> str:
    """Return the commands for `ip -batch` that make one link of each type."""
    lines = ["link add parent1 type veth peer name parent2"]
    lines += [f"link add name {_PREFIX}{kind} {RECIPES[kind]}" for kind in types]
    return "\n".join(lines) + "\n"


def made(listed: Iterable[dict[str, Any]]) -> frozenset[str]:
    """Return the link types whose attempt is among the links of `ip -json link`."""
    names = (str(link["ifname"]) for link in listed)
    return frozenset(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
