"""Multus' nodes become ours and go back to it, thin and thick; the steps follow one another on one cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed import multus
from testbed.kubectl import eventually
from tests.adoption.worlds import CONFS, GOOD, PODS, patiently

if TYPE_CHECKING:
    from tests.adoption.worlds import World

HALF = PODS // 2


def _halves(world: World) -> tuple[list[str], list[str]]:
    first = [name for name in world.pods if int(name.rpartition("-")[2]) < HALF]
    return first, [name for name in world.pods if name not in first]


def test_nothing_is_touched_while_nobody_says_adopt_and_the_status_tells_what_would_be(world: World) -> None:
    before = {node: world.confs(node) for node in world.nodes}
    world.cluster.kubectl("apply", "-k", "manifests/default")
    world.cluster.wait("deployment/mooring-operator", "--namespace=mooring-system", "--for=condition=Available")
    world.cluster.kubectl("apply", "-f", "examples/installation.yaml")

    def refused() -> bool:
        return world.condition("Degraded").get("reason") == "MultusRuns"

    patiently(refused, seconds=60, what="the refusal", world=world)
    told = world.condition("Degraded")["message"]
    assert f"{multus.NAMESPACE}/{multus.DAEMON_SET}" in told
    assert "spec.adopt: Multus" in told
    found = world.installation()["status"]["multus"]
    assert found["daemonSets"] == [f"{multus.NAMESPACE}/{multus.DAEMON_SET}"]
    assert (found["form"], found["nodes"], found["adopted"]) == (world.form.title(), 2, 0)
    assert ("logLevel: verbose" in found.get("imports", "")) is (world.form == "thick")
    dry = ("exec", "-n", "mooring-system", "deploy/mooring-operator", "--", "mooring", "adopt", "--dry-run")
    assert f"{world.form.title()} Multus: DaemonSet kube-system/kube-multus-ds, on 2 nodes." in world.cluster.kubectl(
        *dry
    )

    def seen_by_agents() -> bool:
        states = world.cluster.get("nodestates")["items"]
        told = [(each.get("status") or {}).get("multus") for each in states]
        return len(told) == len(world.nodes) and all(each and each["sandboxes"] >= PODS for each in told)

    patiently(seen_by_agents, seconds=60, what="what the agents say of Multus", world=world)
    assert {node: world.confs(node) for node in world.nodes} == before
    assert all("mooring" not in world.files(node, "/opt/cni/bin") for node in world.nodes)


def test_each_node_is_switched_without_a_moment_that_lacks_a_conf(world: World) -> None:
    with world.watched() as seen:
        world.cluster.kubectl("patch", "installation", "default", "--type=merge", "-p", '{"spec":{"adopt":"Multus"}}')

        def adopted() -> bool:
            status = world.installation()["status"]
            return status.get("multus", {}).get("adopted") == 2 and not world.multus_pods()

        for number in range(3):
            world.delete(*world.make(f"meanwhile{number}", 1))
        patiently(adopted, seconds=150, what="the adoption of both nodes", world=world)
        for node in world.nodes:
            eventually(lambda node=node: not world.serves(node), seconds=30, what=f"our conf on {node}")  # type: ignore[misc]

            def alone(node: str = node) -> bool:
                return [name for name in world.confs(node) if name.startswith("00-")] == ["00-00-multus.json"]

            patiently(alone, seconds=60, what=f"the end of Multus' conf on {node}", world=world)
    assert all(firsts <= GOOD for firsts in seen.values()), seen
    world.untouched(*world.pods)
    installation = world.installation()
    assert installation["metadata"]["annotations"]["mooring.dev/imported-from"] == "kube-system/kube-multus-ds"
    if world.form == "thick":
        assert installation["spec"]["plugin"]["logLevel"] == "verbose"
    assert world.condition("Degraded")["status"] == "False", world.condition("Degraded")


def test_new_pods_get_their_networks(world: World) -> None:
    before = {node: world.scratch(node) for node in world.nodes}
    pods = world.make("new", 2)
    # What Multus attached last may go meanwhile.
    assert all(world.scratch(node) <= before[node] for node in world.nodes)
    world.delete(*pods)


def test_sandboxes_of_multus_are_deleted_cleanly(world: World) -> None:
    first, others = _halves(world)
    listed = world.listed()
    addresses = {listed[name]["status"]["podIP"] for name in first}
    world.delete(*first)
    for node in world.nodes:

        def clean(node: str = node) -> bool:
            left = (len(world.leases(node)), world.attached(node), world.scratch_of_pods(node))
            return left == (PODS - HALF,) * 3 and not addresses & world.leases(node, "pod-network")

        patiently(clean, seconds=60, what=f"the end of what Multus attached on {node}", world=world)
        results = world.files(node, "/var/lib/cni/multus/results")
        assert sum(1 for name in results if name.startswith("red-")) == PODS - HALF
    world.untouched(*others)


def test_the_nodes_go_back_to_multus(world: World) -> None:
    _, others = _halves(world)
    ours = world.make("ours", 2)
    with world.watched() as seen:
        world.cluster.kubectl("delete", "installation", "default", "--wait=false")
        for node in world.nodes:

            def back(node: str = node) -> bool:
                return world.serves(node)

            patiently(back, seconds=120, what=f"the conf of Multus on {node}", world=world)
    assert all(firsts <= GOOD for firsts in seen.values()), seen
    assert world.multus_pods() == sorted(world.nodes)
    back_again = world.make("again", 1)

    def by_multus() -> bool:
        return all(world.scratch_of_pods(node) == PODS - HALF + 1 for node in world.nodes)

    patiently(by_multus, seconds=30, what="a scratch file of each new pod", world=world)
    world.untouched(*others)
    world.delete(*ours)
    world.cluster.kubectl("wait", "installation/default", "--for=delete", "--timeout=120s")
    world.delete(*back_again, *others)
    for node in world.nodes:

        def clean(node: str = node) -> bool:
            return (len(world.leases(node)), world.attached(node), world.scratch_of_pods(node)) == (0, 0, 0)

        patiently(clean, seconds=60, what=f"the end of all pods on {node}", world=world)
        assert "mooring" not in world.files(node, "/opt/cni/bin")
        assert not [name for name in world.confs(node) if "00-00" in name]
        assert not world.files(node, "/var/lib/mooring")
    daemon_set = world.cluster.get("daemonset", multus.DAEMON_SET, "-n", multus.NAMESPACE)
    assert daemon_set["spec"]["updateStrategy"]["type"] == "RollingUpdate"
    assert "affinity" not in daemon_set["spec"]["template"]["spec"]
    labels = [node["metadata"]["labels"] for node in world.cluster.get("nodes")["items"]]
    assert not any("mooring.dev/adopted" in each for each in labels)
    assert not [name for node in world.nodes for name in world.files(node, CONFS) if "mooring" in name]
