"""What a kubelet tells of devices, and what device plugins write beside it.

Owns the folders in which that is on a node, and the program that answers on the socket. Refuses to be a kubelet.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.conformance.node import Json, Node, Pod

RESOURCE = "example.com/nic"


class Kubelet:
    """The kubelet's folder of one node, and the folder of device information."""

    def __init__(self, node: Node, program: Path) -> None:
        self.program = program
        self.folder = node.root / "kubelet"
        self.socket = self.folder / "pod-resources"
        self.checkpoint = self.folder / "device-plugins" / "kubelet_internal_checkpoint"
        self.devinfo = node.root / "run" / "devinfo"
        for folder in (self.socket, self.checkpoint.parent, self.devinfo / "dp"):
            folder.mkdir(parents=True)
        node.replaced |= {"/var/lib/kubelet": self.folder, "/run/k8s.cni.cncf.io": node.root / "run"}
        self.process: subprocess.Popen[str] | None = None

    def listen(self, pod: Pod, *containers: Mapping[str, Sequence[str]]) -> None:
        """Answer on the socket: these containers of the pod have these devices, and other pods have others."""
        others = [
            {"namespace": pod.namespace, "name": "other", "containers": [{RESOURCE: ["not-yours-1"]}]},
            {"namespace": "other", "name": pod.name, "containers": [{RESOURCE: ["not-yours-2"]}]},
        ]
        mine = {"namespace": pod.namespace, "name": pod.name, "containers": list(containers)}
        (self.socket / "devices.json").write_text(json.dumps([others[0], mine, others[1]]))
        if self.process is None:
            self.process = subprocess.Popen([self.program, self.socket], stdout=subprocess.PIPE, text=True)
            assert self.process.stdout is not None
            assert self.process.stdout.readline() == "listening\n"

    def write_checkpoint(self, pod: Pod, devices: Mapping[str, Sequence[str]]) -> None:
        """Write the file that the kubelet keeps for itself, with devices by NUMA node."""
        entries = [
            {
                "PodUID": uid,
                "ContainerName": "c",
                "ResourceName": resource,
                "DeviceIDs": {"0": list(ids)},
                "AllocResp": "",
            }
            for uid, resource, ids in [
                ("another", RESOURCE, ["not-yours"]),
                *((pod.uid, resource, ids) for resource, ids in devices.items()),
            ]
        ]
        content: Json = {"Data": {"PodDeviceEntries": entries, "RegisteredDevices": {}}, "Checksum": 1}
        self.checkpoint.write_text(json.dumps(content))

    def calls(self) -> list[str]:
        """The calls on the socket, in order."""
        file = self.socket / "calls"
        return file.read_text().split() if file.exists() else []

    def describe(self, device: str, information: Json) -> None:
        """Write the device plugin's file about a device."""
        name = f"{RESOURCE}-{device}-device.json".replace("/", "-")
        (self.devinfo / "dp" / name).write_text(json.dumps(information))

    def files(self) -> dict[str, Json]:
        """The files of attachments, by name."""
        folder = self.devinfo / "cni"
        return {path.name: json.loads(path.read_text()) for path in folder.iterdir()} if folder.exists() else {}

    def close(self) -> None:
        """End the program."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
