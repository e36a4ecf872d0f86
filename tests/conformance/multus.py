"""What a Multus that ran before us left on a node.

Owns files in the form of its version 4. Refuses to run it.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.node import Json, Node, Pod


def scratch(node: Node, pod: Pod, *confs: Json, **keys: Any) -> Path:
    """Write the file of one sandbox, with the entries of libcni's cache that belong to it.

    `keys` are requests of the pod, in the names of that file, for every network but the first.
    """
    entries = []
    for number, conf in enumerate(confs):
        body = base64.b64encode(json.dumps(conf).encode()).decode()
        network = {"name": conf["name"], "type": conf.get("type", "")}
        entries.append(
            {
                "Conf": network,
                "ConfList": {"name": conf["name"]} if "plugins" in conf else {},
                "Name": "",
                "Bytes": body,
            }
            | (keys if number else {})
        )
        interface = "eth0" if number == 0 else keys.get("ifnameRequest") or f"net{number}"
        cache = {
            "kind": "cniCacheV1",
            "containerId": pod.container,
            "config": body,
            "ifName": interface,
            "networkName": conf["name"],
            "cniArgs": [["IgnoreUnknown", "true"], ["K8S_POD_NAME", pod.name], ["number", str(number)]],
            "capabilityArgs": {"ips": [f"10.0.0.{number}/24"]},
            "result": {"cniVersion": "1.0.0", "ips": [{"address": f"10.0.0.{number}/24"}], "dns": {}},
        }
        (node.state / "results").mkdir(exist_ok=True)
        (node.state / "results" / f"{conf['name']}-{pod.container}-{interface}").write_text(json.dumps(cache))
    path = node.state / pod.container
    path.write_text(json.dumps(entries))
    return path
