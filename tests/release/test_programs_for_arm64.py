"""Our programs for arm64 do on an emulated processor what they do on this machine's, with real delegates."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import chain, in_netns, stub
from tests.release.conftest import QEMU

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.node import Node

MACHINE_AARCH64 = 183


@pytest.mark.parametrize("name", ["mooring", "mooring-loopback", "mooring-deliver", "mooring-cri"])
def test_every_program_of_the_image_is_a_static_one_for_arm64(arm64: Path, name: str) -> None:
    header = (arm64 / name).read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == MACHINE_AARCH64
    # A dynamic one would need a loader that is not there.
    done = subprocess.run([QEMU, arm64 / name, "--version"], capture_output=True, text=True, check=False)
    assert "ld-linux" not in done.stderr


def test_the_plugin_says_its_version_and_those_of_the_specification(node: Node) -> None:
    told = subprocess.run([node.plugin, "--version"], capture_output=True, text=True, check=True).stdout
    assert told == "mooring 1.2.3, commit abcdef0, built 2026-01-02T03:04:05Z\n"
    answer = node.call("VERSION", {"cniVersion": "1.0.0"})
    answer.ok()
    assert answer.result["supportedVersions"][-1] == "1.1.0"


def test_a_pod_gets_real_networks_and_del_leaves_nothing(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.5.0/24"))
    primary = node.bridge("primary", "10.77.6.0/24")
    pod = node.pod()
    added = node.add(node.conf(primary), pod, "a")
    added.ok()
    assert node.interfaces(pod) >= {"eth0", "net1"}
    assert sorted(lease.rpartition("/")[2] for lease in node.leases()) == ["10.77.5.2", "10.77.6.2"]
    assert len(node.journal(pod)) > 1
    node.call("CHECK", node.conf(primary) | {"prevResult": added.result}, pod).ok()
    node.call("STATUS", node.conf(primary) | {"cniVersion": "1.1.0"}).ok()
    node.delete(node.conf(primary), pod).ok()
    assert node.leases() == []
    assert node.left() == []
    assert not node.interfaces(pod) & {"eth0", "net1"}


def test_a_default_route_moves(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.7.0/24"))
    primary = node.bridge("primary", "10.77.8.0/24", isGateway=True)
    primary["ipam"]["routes"] = [{"dst": "0.0.0.0/0"}]
    pod = node.pod()
    node.add(node.conf(primary), pod, [{"name": "a", "default-route": ["10.77.7.1"]}]).ok()
    [default] = [line for line in in_netns(pod, "ip", "route").splitlines() if line.startswith("default ")]
    assert default.startswith("default via 10.77.7.1 ")


def test_a_delegate_that_fails_is_undone_with_all_before_it(node: Node) -> None:
    node.network("a", stub("a"))
    node.network("b", stub("b"))
    node.answer(stub__ADD__net2={"error": {"code": 11, "msg": "no address left"}})
    error = node.add(node.conf(chain("pod-network", stub())), node.pod(), "a,b").error
    assert error["code"] == 11
    assert node.ran() == ["ADD eth0", "ADD net1", "ADD net2", "DEL net2", "DEL net1", "DEL eth0"]
    assert node.left() == []
