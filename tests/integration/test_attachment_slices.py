"""AttachmentSlices at a real API server, of the agent as a process and of the plugin's own journals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mooring.installing import attachmentslices
from mooring.networks import fingerprints
from tests.integration import test_agent_on_a_node as on_a_node
from tests.integration.agents import NETWORK_STATUS, PRIMARY, eventually

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane
    from tests.integration.agents import Line, Node

netns, real = on_a_node.netns, on_a_node.real

ADDRESS = "10.9.8.7/24"
DELEGATE = """#!/bin/sh
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
ADD)
    echo '{"cniVersion":"1.0.0",
        "interfaces":[{"name":"'"$CNI_IFNAME"'","mac":"02:00:00:00:00:0A","sandbox":"'"$CNI_NETNS"'"}],
        "ips":[{"address":"10.9.8.7/24","interface":0}]}' ;;
esac
"""


def slices(node: Node) -> list[dict[str, Any]]:
    """Return the slices of a node, found as a person does: by the label."""
    listed = node.plane.kubectl("get", "attachmentslices", "-l", f"mooring.dev/node={node.name}", "-o", "json")
    return list(json.loads(listed)["items"])


def held(node: Node) -> list[tuple[str, str, str]]:
    """Return pod, network and interface of all entries."""
    return sorted(
        (each["pod"]["name"], each["network"], each["interface"])
        for item in slices(node)
        for each in item["attachments"]
    )


def of(*pods: str) -> list[tuple[str, str, str]]:
    """Return what these pods hold with the default network and another."""
    both = [("default/storage", "net1"), ("pod-network", "eth0")]
    return sorted((pod, network, interface) for pod in pods for network, interface in both)


def versions(node: Node) -> list[str]:
    return [item["metadata"]["resourceVersion"] for item in slices(node)]


def test_what_the_plugin_attached_is_told_with_the_hash_that_the_definition_has(real: Node, netns: str) -> None:
    real.program("macvlan", DELEGATE)
    # The plugin fills in name and version, and merges the request's arguments.
    config = json.dumps({"type": "macvlan", "master": "eth7", "args": {"cni": {"tier": "gold"}}})
    body = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "told", "namespace": "default"},
        "spec": {"config": config},
    }
    real.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    eventually((Path(real.paths["stateDir"]) / "networks/default/told.json").exists, what="the cache")
    wish = json.dumps([{"name": "told", "cni-args": {"tier": "iron", "more": 1}}])
    uid = real.pod("sliced")
    answer = on_a_node.call(real, "ADD", netns, "sliced", uid, wish)
    assert "interfaces" in answer, answer
    [item] = eventually(lambda: slices(real), what="the slice")
    [primary, told] = item["attachments"]
    pod = {"namespace": "default", "name": "sliced", "uid": uid}
    assert told == {
        "pod": pod,
        "network": "default/told",
        "interface": "net1",
        "addresses": [ADDRESS],
        "mac": "02:00:00:00:00:0a",
        "configHash": fingerprints.of_definition("told", config),
        "attachedAt": told["attachedAt"],
    }
    assert (primary["network"], primary["interface"]) == ("pod-network", "eth0")
    assert primary["configHash"] == fingerprints.of_conf(PRIMARY)
    plain = real.pod("plain")
    assert "interfaces" in on_a_node.call(real, "ADD", netns, "plain", plain, "")
    assert on_a_node.call(real, "DEL", netns, "sliced", uid, wish) == {}
    # The plain pod came before the DEL: had it been told, a slice would be left.
    eventually(lambda: slices(real) == [], what="the end of the slice")


def test_a_slice_is_of_its_node_goes_with_it_and_follows_the_journals(ready: Node) -> None:
    ready.attach("first", "u-1", "default/storage")
    [item] = eventually(lambda: slices(ready), what="the slice")
    assert item["metadata"]["name"] == f"{ready.name}-1"
    owner = json.loads(ready.plane.kubectl("get", "node", ready.name, "-o", "json"))
    assert item["metadata"]["ownerReferences"] == attachmentslices.owners(owner)
    attachmentslices.AttachmentSlice.model_validate({key: item[key] for key in ("nodeName", "attachments")})
    ready.attach("second", "u-2", "default/storage")
    eventually(lambda: held(ready) == of("first", "second"), what="the second pod")
    by_field = ready.plane.kubectl("get", "attachmentslices", f"--field-selector=nodeName={ready.name}", "-o", "name")
    assert by_field.split() == [f"attachmentslice.mooring.dev/{ready.name}-1"]
    ready.plane.kubectl("delete", "node", ready.name)
    eventually(lambda: slices(ready) == [], seconds=50, what="the garbage collector")
    ready.plane.kubectl(
        "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": ready.name}})
    )
    ready.attach("third", "u-3", "default/storage")
    eventually(lambda: held(ready) == of("first", "second", "third"), seconds=50, what="slices of the new node")


def test_right_after_a_restart_the_slices_are_as_the_journals_and_an_edit_by_hand_is_put_right(ready: Node) -> None:
    ready.attach("stays", "u-1", "default/storage")
    eventually(lambda: held(ready) == of("stays"), what="the slice")
    ready.stop()
    before = versions(ready)
    ready.start()
    ready.attach("comes", "u-2", "default/storage")
    eventually(lambda: held(ready) == of("comes", "stays"), what="the pod that came while no agent was there")
    assert len(before) == len(versions(ready)) == 1
    ready.stop()
    for journal in ready.seen("/var/lib/mooring/attachments").iterdir():
        if b'"comes"' in journal.read_bytes():
            journal.unlink()
    name = f"{ready.name}-1"
    ready.plane.kubectl("label", "attachmentslice", name, "mooring.dev/node=elsewhere", "--overwrite")
    stale = {**attachmentslices.desired({"metadata": {"name": ready.name, "uid": "x"}}, number=5, attachments=[])}
    ready.plane.kubectl("create", "-f", "-", stdin=json.dumps(stale))
    ready.start()
    eventually(lambda: held(ready) == of("stays"), what="what is left")
    eventually(
        lambda: [item["metadata"]["name"] for item in slices(ready)] == [name], what="the end of the stale slice"
    )
    ready.stop()
    settled = versions(ready)
    ready.start()
    ready.attach("plain", "u-3")
    pod = ready.pod("witness")
    ready.attach("witness", pod)
    eventually(lambda: NETWORK_STATUS in ready.annotations("witness"), what="an agent that reads journals")
    assert versions(ready) == settled, "nothing changed, nothing is written"


def test_what_happened_while_the_api_server_was_away_is_written_when_it_is_back(node: Node, line: Line) -> None:
    node.stop()
    text = node.kubeconfig.read_text().replace(node.plane.url, line.url)
    node.kubeconfig = node.root / "kubeconfig"
    node.kubeconfig.write_text(text)
    node.start()
    node.revision()
    node.get_ready()
    node.attach("before", "u-1", "default/storage")
    eventually(lambda: held(node) == of("before"), what="the slice")
    line.cut()
    node.attach("meanwhile", "u-2", "default/storage")
    log = node.root / "agent.log"
    eventually(lambda: "slices: Who holds which address" in log.read_text(), what="a write that failed")
    assert node.ready(), "a node whose pods get their networks stays ready"
    line.mend()
    eventually(lambda: held(node) == of("before", "meanwhile"), seconds=50, what="the second pod")


def test_a_person_sees_the_node_and_can_have_every_field_explained(plane: ControlPlane, ready: Node) -> None:
    ready.attach("seen", "u-1", "default/storage")
    eventually(lambda: slices(ready), what="the slice")
    header, row = plane.kubectl("get", "aslice", f"{ready.name}-1").splitlines()
    assert header.split() == ["NAME", "NODE", "AGE"]
    assert row.split()[:2] == [f"{ready.name}-1", ready.name]
    for path, model in (
        ("attachmentslice", attachmentslices.AttachmentSlice),
        ("attachmentslice.attachments", attachmentslices.HeldAttachment),
        ("attachmentslice.attachments.pod", attachmentslices.AttachedPod),
    ):
        explained = " ".join(plane.kubectl("explain", path).split())
        for field in model.model_fields.values():
            assert field.description
            assert field.description in explained
