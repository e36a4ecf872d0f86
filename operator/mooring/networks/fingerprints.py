"""The hash of a network's configuration: owns when two configurations are the same network (docs/contracts.md).

A configuration as it was executed and the definition that it came from have one hash, so whatever the plugin fills in
or merges on the way is left out of it, and the name that it fills in is filled in here. Refuses to judge what a
configuration is worth: what is no object has no hash.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

DIGITS = 16
# Filled in, chosen or merged for one pod: what the runtime speaks, the arguments and the device of its request.
_OF_THE_NETWORK = ("cniVersion", "cniVersions", "args", "deviceID", "pciBusID")
_OF_A_PLUGIN = ("args", "deviceID", "pciBusID")


def of_conf(conf: dict[str, Any]) -> str:
    """Return the hash of a configuration as it was executed; "" where it cannot be told."""
    plain = {key: value for key, value in conf.items() if key not in _OF_THE_NETWORK}
    # As the plugin reads it: with `type` it is one plugin, whatever else it has.
    if "type" not in conf and isinstance(conf.get("plugins"), list):
        plain["plugins"] = [_plugin(each) for each in conf["plugins"]]
    try:
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def of_definition(name: str, config: str) -> str:
    """Return the hash that an attachment to a definition gets: of its name and its `spec.config`.

    "" where there is none to be told: an empty `spec.config` stands for a file of the node.
    """
    try:
        conf = json.loads(config)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(conf, dict):
        return ""
    return of_conf(conf if conf.get("name") else {**conf, "name": name})


def _plugin(entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    return {key: value for key, value in entry.items() if key not in _OF_A_PLUGIN}
