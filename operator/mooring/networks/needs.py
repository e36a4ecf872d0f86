"""What a configuration needs of a node: owns its plugins, the programs that these are, and the interfaces below them.

Pure and total: of what is no configuration nothing is needed. Refuses to judge whether a plugin is known.
"""

from __future__ import annotations

from typing import Any

# The kernel's limit. Further names of an interface may be longer, and are not asked for.
_MOST_NAME = 15


def plugins(conf: object) -> list[dict[str, Any]]:
    """Return the plugins of a configuration in order; one without a list is its own only one."""
    if not isinstance(conf, dict):
        return []
    listed = conf.get("plugins")
    return [each for each in (listed if isinstance(listed, list) else [conf]) if isinstance(each, dict)]


def programs(conf: object) -> tuple[str, ...]:
    """Return the names of the programs that a configuration takes, IPAM included, each once."""
    found: dict[str, None] = {}
    for plugin in plugins(conf):
        ipam = plugin.get("ipam")
        for named in (plugin.get("type"), ipam.get("type") if isinstance(ipam, dict) else None):
            if isinstance(named, str) and named:
                found[named] = None
    return tuple(found)


def masters(conf: object) -> tuple[str, ...]:
    """Return the interfaces of the node that a configuration names as `master`, each once."""
    found: dict[str, None] = {}
    for plugin in [conf, *plugins(conf)]:
        # One that is looked for in the pod is none of the node's.
        if isinstance(plugin, dict) and not plugin.get("linkInContainer"):
            master = plugin.get("master")
            if isinstance(master, str) and 0 < len(master.encode(errors="replace")) <= _MOST_NAME:
                found[master] = None
    return tuple(found)
