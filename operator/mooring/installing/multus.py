"""What Multus has on a node: owns how its confs are told from everybody else's, and by which names they go.

Pure. Multus writes under the name that is ours too, takes the first `.conf` or `.conflist` of the folder for its own
primary network, and its daemon removes `00-multus.conf` when it stops, whoever wrote that last. So a file of
Multus is never ours, and beside one ours has a name that it neither writes, nor reads, nor removes.
"""

from __future__ import annotations

import json
from typing import Any

#: The types of its programs: thin, and what a thick one's daemon is called by.
TYPES = ("multus", "multus-shim")
#: The names under which its installers write.
FILES = ("00-multus.conf", "00-multus.conflist")
#: The label of a Node from which Multus is kept, because we serve it.
ADOPTED = "mooring.dev/adopted"
#: Where it keeps what its pods are attached to, unless its `cniDir` says otherwise.
STATE_DIR = "/var/lib/cni/multus"


def conf_type(text: str) -> str:
    """Return which of its programs a conf or a conflist calls; "" for any other file."""
    try:
        conf = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return next((kind for kind in _types(conf) if kind in TYPES), "")


def _types(conf: Any) -> list[str]:
    if not isinstance(conf, dict):
        return []
    plugins = conf.get("plugins") if isinstance(conf.get("plugins"), list) else []
    listed = [conf, *(plugins or [])]
    return [each["type"] for each in listed if isinstance(each, dict) and isinstance(each.get("type"), str)]
