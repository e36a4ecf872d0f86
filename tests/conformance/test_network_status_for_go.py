"""What Go programs read of network-status: with network-attachment-definition-client, as KubeVirt and others do.

The library has no field for `default-route`; its readers find these gateways in `gateway`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mooring.networks import statuses

if TYPE_CHECKING:
    from tests.conformance.apiservers import Server
    from tests.conformance.node import Json, Node

EXAMPLES = sorted((Path(__file__).parents[2] / "plugin" / "contract" / "examples" / "status").glob("*.json"))
PRIMARY = [{"dst": "0.0.0.0/0", "gw": "10.77.1.1"}, {"dst": "::/0", "gw": "fd00:77:1::1"}]


def _read(consumer: Path, *annotations: str) -> list[list[Json]]:
    """What the library makes of annotations, written as the library writes it."""
    done = subprocess.run([consumer], input=json.dumps(annotations), capture_output=True, text=True, check=True)
    read: list[list[Json]] = json.loads(done.stdout)
    return read


def _known(entry: Json) -> Json:
    """An entry with the keys that the library has fields for."""
    known = {key: value for key, value in entry.items() if key != "default-route"}
    if "device-info" in known:
        info = known["device-info"]
        fields = {key: value for key, value in info["pci"].items() if key.endswith("pci-address")}
        known["device-info"] = info | {"pci": fields}
    return known


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_STA_12_go_programs_read_what_was_written(path: Path, consumer: Path) -> None:
    entries = json.loads(path.read_text())["annotation"]
    (read,) = _read(consumer, json.dumps(entries))
    assert read == [_known(entry) for entry in entries]


def test_STA_12_there_are_examples() -> None:
    assert len(EXAMPLES) > 10


@pytest.mark.parametrize("asked", [[], ["10.77.2.1"], ["fd00:77:2::1"], ["10.77.2.1", "fd00:77:2::1"]])
def test_STA_12_go_programs_read_the_status_of_a_pod_with_its_default_route(
    node: Node, server: Server, consumer: Path, asked: list[str]
) -> None:
    def dual(name: str, number: int) -> Json:
        subnets = [[{"subnet": f"10.77.{number}.0/24"}], [{"subnet": f"fd00:77:{number}::/64"}]]
        routes = PRIMARY if name == "primary" else []
        ipam = {"type": "host-local", "ranges": subnets, "routes": routes, "dataDir": str(node.root / "ipam")}
        return {
            "cniVersion": "1.0.0",
            "name": name,
            "type": "bridge",
            "bridge": f"br-{name}",
            "isGateway": True,
            "ipam": ipam,
        }

    node.network("a", dual("a", 2), namespace=server.namespace)
    pod = node.pod(namespace=server.namespace, uid=server.pod("web"))
    conf = node.conf(dual("primary", 1), kubeconfig=server.direct, statusBeforeStart=True)
    node.add(conf, pod, [{"name": "a", "default-route": asked}]).ok()
    text = server.annotations()[statuses.ANNOTATION]
    ((first, second),) = _read(consumer, text)
    assert [first, second] == [_known(entry) for entry in json.loads(text)]
    assert (first["name"], first["default"]) == ("primary", True)
    assert (second["name"], second["interface"]) == (f"{server.namespace}/a", "net1")
    assert "default" not in second
    assert second.get("gateway", []) == asked
    stayed = {"10.77.1.1", "fd00:77:1::1"} - {"10.77.1.1" if "." in gateway else "fd00:77:1::1" for gateway in asked}
    assert set(first.get("gateway", [])) == stayed
    assert json.loads(text)[1]["default-route"] == asked
