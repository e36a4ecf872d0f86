"""`make demo`: a newcomer's first look; owns what is shown and in which order.

Brings up a real cluster, installs Mooring as its documentation says, applies the examples and shows what came of
it. Running it again applies the same things to the same cluster. Refuses to hide a failure: the first command that
fails ends the demo with what it printed and where to look.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from testbed.kubectl import CHECKOUT, Cluster, Failed, ask_testbed, eventually, is_up

NAME = "demo"
SNAPSHOT = Path("/run") / "mooring-demo.before"
NODES = 2
_STARTED = time.monotonic()


def step(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"\n[{time.monotonic() - _STARTED:5.0f}s] {text}", flush=True)


def show(text: str) -> None:
    """Print what a command answered, indented below its step."""
    print("\n".join(f"         {line}" for line in text.rstrip().splitlines()), flush=True)


def install(cluster: Cluster) -> None:
    """Install operator and agent as the README says."""
    step("the operator:  kubectl apply -k manifests/default")
    show(cluster.kubectl("apply", "-k", "manifests/default"))
    cluster.wait("deployment/mooring-operator", "--namespace=mooring-system", "--for=condition=Available")
    step("its order:  kubectl apply -f examples/installation.yaml")
    cluster.kubectl("apply", "-f", "examples/installation.yaml")
    cluster.wait("installation/default", "--for=condition=Available")
    show(cluster.kubectl("get", "installations,nodestates"))


def status_of(cluster: Cluster, pod: str) -> list[dict[str, Any]]:
    """Return a pod's network-status, waiting up to ten seconds for the agent to write it."""
    return eventually(lambda: cluster.network_status(pod), seconds=10, what=f"the network-status of pod {pod}")


def counters(cluster: Cluster, pod: str) -> dict[str, int]:
    """Return the packets that each interface of a pod has received."""
    printed = cluster.kubectl(
        "exec",
        pod,
        "--",
        "sh",
        "-c",
        "for i in /sys/class/net/*; do echo ${i##*/} $(cat $i/statistics/rx_packets); done",
    )
    return {name: int(count) for name, count in (line.split() for line in printed.splitlines())}


def show_networks(cluster: Cluster) -> None:
    """Show a pod's networks from outside and from inside, and a ping over one of them."""
    step("two networks, a pod on one and a pod on both:  kubectl apply -f examples/bridge-networks.yaml")
    cluster.kubectl("apply", "-f", "examples/bridge-networks.yaml")
    cluster.wait("pod/one-network", "--for=condition=Ready")
    cluster.wait("pod/two-networks", "--for=condition=Ready")
    show(cluster.kubectl("get", "pods", "-o", "wide"))
    step("what the agent says of pod two-networks (its network-status):")
    status = status_of(cluster, "two-networks")
    show(json.dumps(status, indent=2))
    step("what the pod sees:  kubectl exec two-networks -- ip addr")
    inside = cluster.kubectl("exec", "two-networks", "--", "ip", "addr")
    show(inside)
    absent = [ip for entry in status for ip in entry.get("ips", []) if f" {ip}/" not in inside]
    if absent or len(status) != 3:
        raise Failed(f"status and pod disagree: {len(status)} networks, addresses not in the pod: {absent}")
    address = next(entry["ips"][0] for entry in status_of(cluster, "one-network") if entry["name"] == "default/storage")
    step(f"a ping over the extra network:  kubectl exec two-networks -- ping -c 10 -i 0.2 {address}")
    before = counters(cluster, "two-networks")
    show(cluster.kubectl("exec", "two-networks", "--", "ping", "-c", "10", "-i", "0.2", address))
    after = counters(cluster, "two-networks")
    show("received packets:  " + ", ".join(f"{name} +{after[name] - before[name]}" for name in sorted(after)))
    # A few packets arrive anywhere at any time (neighbour discovery); ten answers arrive where they belong.
    if after["net1"] - before["net1"] < 10 or after["eth0"] - before["eth0"] >= 10:
        raise Failed("the packets did not use net1")


def show_refusal(cluster: Cluster) -> None:
    """Show a broken NAD being refused with its reasons."""
    step("a network with three mistakes:  kubectl apply -f examples/broken-network.yaml")
    done = cluster.run("apply", "-f", "examples/broken-network.yaml")
    show(done.stdout + done.stderr)
    if done.returncode == 0:
        raise Failed("the broken network was accepted")


def up() -> None:
    """Show the whole of it."""
    step(f"a real cluster of {NODES} nodes")
    if not is_up(NAME) and not SNAPSHOT.exists():
        ask_testbed("snapshot", str(SNAPSHOT))
    ask_testbed("up", "--name", NAME, "--nodes", str(NODES))
    step("the image, built from the Dockerfile and loaded into the nodes")
    ask_testbed("load-image", ask_testbed("image").splitlines()[-1], "--name", NAME)
    cluster = Cluster(NAME)
    show(cluster.kubectl("get", "nodes", "-o", "wide"))
    install(cluster)
    show_networks(cluster)
    show_refusal(cluster)
    step("done: pods on real extra networks. What to try next:")
    show(
        f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.kubectl_path.parent}:$PATH\n"
        "kubectl get installation,nodestates\n"
        "kubectl delete -n mooring-system ds mooring-agent     # the operator makes it again\n"
        "kubectl exec two-networks -- ip route\n"
        "make demo-down                                        # and nothing of it stays"
    )


def down() -> None:
    """End the demo."""
    ask_testbed("down", "--name", NAME)
    print("the demo is gone; `make demo-check-clean` compares the machine with what was noted before it")


def check_clean() -> int:
    """Compare the machine with what was noted before the demo; 0 where nothing was left."""
    if not SNAPSHOT.exists():
        print(f"nothing was noted before a demo ({SNAPSHOT} is absent): run `make demo` first")
        return 1
    done = subprocess.run([sys.executable, "-m", "testbed", "check-clean", str(SNAPSHOT)], cwd=CHECKOUT, check=False)
    if done.returncode == 0:
        SNAPSHOT.unlink()
    return done.returncode


def main(arguments: list[str]) -> int:
    """Run one of up, down, check-clean."""
    if os.geteuid() != 0:
        print("the demo makes network namespaces and nodes: it needs root", file=sys.stderr)
        return 1
    try:
        match arguments:
            case ["up"]:
                up()
            case ["down"]:
                down()
            case ["check-clean"]:
                return check_clean()
            case _:
                print("usage: python -m testbed.demo up|down|check-clean", file=sys.stderr)
                return 2
    except Failed as failure:
        print(
            f"\nThe demo stopped: {failure}\nThe cluster is still there to look at; `make demo-down` ends it.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
