"""ADD: which delegates run, in which order, and what becomes of a failure."""

from __future__ import annotations

from tests.conformance.node import Node, chain, stub


def test_ADD_1_the_default_network_comes_first_then_the_requested_ones_strictly_in_order(node: Node) -> None:
    node.beat()
    for name in ("a", "b", "c"):
        node.network(name, stub(name))
    node.add(node.conf(stub()), node.pod(), "b,a,c").ok()
    events = [(record["event"], record["conf"]["name"]) for record in node.events()]
    assert events == [(event, name) for name in ("pod-network", "b", "a", "c") for event in ("begin", "end")]


def test_ADD_4_a_failing_delegate_undoes_itself_and_all_before_it_in_reverse(node: Node) -> None:
    node.beat()
    for name in ("a", "b", "c"):
        node.network(name, stub(name))
    node.answer(stub__ADD__net2={"error": {"code": 11, "msg": "no address left", "details": "pool p"}})
    pod = node.pod()
    error = node.add(node.conf(stub()), pod, "a,b,c").error
    assert node.ran() == ["ADD eth0", "ADD net1", "ADD net2", "DEL net2", "DEL net1", "DEL eth0"]
    assert node.left() == []
    assert error["code"] == 11
    assert error["details"] == "pool p"
    for part in ("default/web", "default/b", "no address left"):
        assert part in error["msg"]


def test_ADD_12_without_annotations_the_result_is_byte_identical_to_the_default_networks(node: Node) -> None:
    bridge = {
        "type": "bridge",
        "bridge": "mrg-add12",
        "ipam": {"type": "host-local", "subnet": "10.77.12.0/24", "dataDir": str(node.root / "ipam")},
    }
    conf = chain("pod-network", bridge)
    pod = node.pod()
    result = node.add(node.conf(conf), pod)
    result.ok()
    node.delete(node.conf(conf), pod).ok()
    assert result.result["interfaces"][2]["name"] == "eth0"
