"""Owns where host-local keeps the addresses that it has given out for a network; refuses names that lead elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "/var/lib/cni/networks"


def folders(config: Mapping[str, object], *, name: str = "") -> set[str]:
    """Return the folders of leases that a conf or conflist has; none where it has no host-local.

    `name` is the network's where the configuration has none.
    """
    network = config.get("name") or name
    if not isinstance(network, str) or not network or "/" in network or network in {".", ".."}:
        return set()
    listed = config.get("plugins")
    found = set()
    for plugin in listed if isinstance(listed, list) else [config]:
        ipam = plugin.get("ipam") if isinstance(plugin, dict) else None
        if not isinstance(ipam, dict) or ipam.get("type") != "host-local":
            continue
        folder = ipam.get("dataDir") or FOLDER
        if isinstance(folder, str) and folder.startswith("/") and ".." not in folder.split("/"):
            found.add(f"{folder.rstrip('/')}/{network}")
    return found


def folders_in(text: str, *, name: str) -> set[str]:
    """Return the folders of leases of a configuration as text; none where it cannot be read."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return set()
    return folders(config, name=name) if isinstance(config, dict) else set()
