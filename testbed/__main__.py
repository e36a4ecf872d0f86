"""The command line: `python -m testbed COMMAND`. Owns arguments, exit statuses and messages.

Results go to stdout, progress and failures to stderr. Exit status 1 is a failure that says what
to do, 2 is wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from testbed import addresses, binaries, builder, cleanliness, cluster, failures, releases, starting, state


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = argparse.ArgumentParser(prog="python -m testbed", description="A Kubernetes cluster on one Linux machine.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("binaries", help="build the programs of a cluster, print their folder")
    commands.add_parser("promtool", help="build Prometheus' tool for alert rules, print its path")

    image = commands.add_parser("image", help="build the image of Mooring, print the path of its OCI archive")
    image.add_argument("--version", help="as another release of the same code (default: pyproject.toml's)")
    image.add_argument("--previous", action="store_true", help="of the release before, by that release's own builder")
    image.add_argument("--renderer", type=int, help="without the renderers of the nodes' confs after this one")
    commands.add_parser("snapshot", help="note what the machine has").add_argument("file", type=Path)
    clean = commands.add_parser("check-clean", help="compare the machine with what was noted; 1 if something is left")
    clean.add_argument("file", type=Path)

    def of_cluster(command: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(command, help=text)
        added.add_argument("--name", default="testbed", help="the cluster's name (default: testbed)")
        return added

    up = of_cluster("up", "bring a cluster up (does nothing if it is)")
    up.add_argument("--nodes", type=int, default=1)
    up.add_argument("--node-network", help=f"default: the first free of {', '.join(map(str, addresses.NODE_NETWORKS))}")
    up.add_argument("--pod-network", default=str(addresses.POD_NETWORK))
    up.add_argument("--service-network", default=str(addresses.SERVICE_NETWORK))
    of_cluster("down", "take a cluster away, whole or not")
    of_cluster("status", "tell what runs; exit status 0 if all of it does")
    of_cluster("kubeconfig", "print the path of the administrator's kubeconfig")
    of_cluster("audit-log", "print the path of the API server's audit log")
    of_cluster("load-image", "load an OCI archive into every node").add_argument("archive", type=Path)
    execute = of_cluster("exec-node", "run a command in a node's namespaces")
    execute.add_argument("node")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    for command, text in (
        ("stop-node", "cut a node's power: its processes and namespaces end, its disk stays"),
        ("start-node", "start a stopped node and wait until it is Ready"),
        ("reboot-node", "stop and start a node"),
    ):
        of_cluster(command, text).add_argument("node")
    of_cluster("stop-api-server", "end the API server at once; everything else goes on without it")
    of_cluster("start-api-server", "start a stopped API server and wait until it is ready")
    return made


def run(options: argparse.Namespace) -> int:
    """Run one command and return the exit status. Raises Failure."""
    match options.command:
        case "binaries":
            print(binaries.ensure())
        case "promtool":
            print(binaries.promtool())
        case "image":
            previous = options.previous
            print(releases.image(releases.PREVIOUS) if previous else builder.image(options.version, options.renderer))
        case "snapshot":
            cleanliness.write(options.file)
        case "check-clean":
            left = cleanliness.check(options.file)
            print("\n".join(left) if left else "nothing was left")
            return 1 if left else 0
        case "up":
            cluster.up(
                options.name,
                options.nodes,
                node_network=options.node_network,
                pod_network=options.pod_network,
                service_network=options.service_network,
            )
        case "down":
            cluster.down(options.name)
        case "status":
            return status(options.name)
        case "kubeconfig":
            print(starting.layout_of(cluster.require(options.name)).kubeconfig)
        case "audit-log":
            print(starting.layout_of(cluster.require(options.name)).audit_log)
        case "load-image":
            cluster.load_image(cluster.require(options.name), options.archive)
        case "exec-node":
            words = options.words[1:] if options.words[:1] == ["--"] else options.words
            return cluster.run_on_node(cluster.require(options.name), options.node, words or ["bash"])
        case "stop-node":
            cluster.stop_node(cluster.require(options.name), options.node)
        case "start-node":
            cluster.start_node(cluster.require(options.name), options.node)
        case "reboot-node":
            cluster.stop_node(cluster.require(options.name), options.node)
            cluster.start_node(cluster.require(options.name), options.node)
        case "stop-api-server":
            cluster.stop_api_server(cluster.require(options.name))
        case "start-api-server":
            cluster.start_api_server(cluster.require(options.name))
    return 0


def status(name: str) -> int:
    """Print what runs of a cluster; return 0 if all of it does."""
    found = state.load(name)
    if found is None:
        print(f"there is no cluster {name}")
        return 1
    layout = starting.layout_of(found)
    print(f"cluster     {name}: {found.plan.nodes} nodes on {found.plan.node_network}, link {found.plan.link}")
    print(f"kubeconfig  {layout.kubeconfig}")
    print(f"audit log   {layout.audit_log}")
    for part, process in found.processes.items():
        how = "running" if found.running(part) else "ENDED"
        print(f"{how:11} {part:26} pid {process.pid:<7} log {starting.log_of(found, part)}")
    broken = cluster.broken(found)
    print("all of it runs" if not broken else f"not running: {', '.join(broken)}")
    return 1 if broken else 0


def main(arguments: list[str]) -> int:
    """Run one command and return the exit status."""
    try:
        return run(parser().parse_args(arguments))
    except failures.Failure as failure:
        print(f"testbed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("testbed: interrupted; `down` takes away what is there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
