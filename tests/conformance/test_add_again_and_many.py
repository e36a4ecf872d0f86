"""ADD: the same sandbox twice, and many sandboxes at once."""

from __future__ import annotations

from tests.conformance.node import NETWORKS, Node, stub


def test_ADD_13_a_second_add_is_refused_and_the_first_stays_as_it_is(node: Node) -> None:
    node.network("a", stub("a"))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    before = node.journal_path(pod).read_bytes()
    node.forget_calls()
    error = node.add(conf, pod, "a").error
    assert pod.container in error["msg"]
    assert node.calls() == []
    assert node.journal_path(pod).read_bytes() == before
    node.delete(conf, pod).ok()
    assert node.ran() == ["DEL net1", "DEL eth0"]


def test_ADD_13_after_del_the_same_sandbox_may_be_attached_again(node: Node) -> None:
    conf, pod = node.conf(stub()), node.pod()
    for _ in range(2):
        node.add(conf, pod).ok()
        node.delete(conf, pod).ok()
    assert node.ran() == ["ADD eth0", "DEL eth0"] * 2


def test_ADD_13_of_two_at_once_for_one_sandbox_exactly_one_attaches_it(node: Node) -> None:
    node.network("a", stub("a"))
    conf, pod = node.conf(stub()), node.pod()
    outcomes = [call.end() for call in [node.start("ADD", conf, pod, annotations={NETWORKS: "a"}) for _ in range(8)]]
    assert sorted(outcome.status for outcome in outcomes) == [0] + [1] * 7
    assert node.ran() == ["ADD eth0", "ADD net1"]
    node.delete(conf, pod).ok()
    assert node.left() == []


def test_ADD_13_another_interface_of_the_same_sandbox_is_another_attachment(node: Node) -> None:
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod).ok()
    node.add(conf, pod, ifname="eth1").ok()
    node.delete(conf, pod).ok()
    assert node.left() != []
    node.delete(conf, pod, ifname="eth1").ok()
    assert node.left() == []


def test_ADD_15_fifty_pods_at_once_are_all_right(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    conf = node.conf(node.bridge("primary", "10.77.1.0/24"))
    pods = [node.pod(name=f"web-{number}") for number in range(50)]
    running = [node.start("ADD", conf, pod, annotations={NETWORKS: "a"}) for pod in pods]
    results = [call.end(timeout=60).result for call in running]
    assert len({result["ips"][0]["address"] for result in results}) == 50
    assert all(node.interfaces(pod) == {"eth0", "net1"} for pod in pods)
    assert len(node.leases()) == 100
    for call in [node.start("DEL", conf, pod) for pod in pods]:
        call.end(timeout=60).ok()
    assert node.left() == []
    assert node.leases() == []


def test_ADD_15_a_pod_does_not_wait_for_the_delegate_of_another(node: Node) -> None:
    node.network("a", stub("a"))
    node.network("slow", stub("slow", kind="other"))
    go = node.root / "go"
    node.answer(other__ADD={"waitFor": str(go)})
    waiting = node.start("ADD", node.conf(stub()), node.pod(), annotations={NETWORKS: "slow"})
    while not node.calls("ADD", event="begin") or node.calls("ADD", event="begin")[-1]["type"] != "other":
        assert waiting.process.poll() is None
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    node.delete(conf, pod).ok()
    assert waiting.process.poll() is None
    go.touch()
    waiting.end().ok()
