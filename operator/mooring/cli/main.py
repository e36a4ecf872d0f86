"""The entry point `mooring`: owns the sub-commands and their options, and nothing that they do.

Each sub-command imports its own part when it is chosen, so that the agent never pays for kopf.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import socket
import sys
from pathlib import Path

from mooring.cli import logs


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="mooring", description="More than one network for Kubernetes pods.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("mooring"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    operator = commands.add_parser("operator", help="run the operator (in its Deployment)")
    operator.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "mooring-system"))
    operator.add_argument("--pod-name", default=os.environ.get("POD_NAME", ""))
    operator.add_argument("--webhook-port", type=int, default=9443)
    operator.add_argument("--health-port", type=int, default=8080)
    # The descriptor of a socket that listens already: the operator proper, below the process that holds the socket.
    operator.add_argument("--webhook-listener", type=int, help=argparse.SUPPRESS)

    agent = commands.add_parser("agent", help="run the agent of one node (in the managed DaemonSet)")
    agent.add_argument("--node", default=os.environ.get("NODE_NAME", ""), help="the name of this node")
    agent.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "mooring-system"))
    agent.add_argument("--host-root", type=Path, default=Path("/host"), help="where the node's folders are mounted")
    agent.add_argument(
        "--programs", type=Path, default=Path("/usr/libexec/mooring"), help="the folder of the plugin's programs"
    )
    agent.add_argument(
        "--state-dir", default="/var/lib/mooring", help="the node's path of our own folder, until a revision says it"
    )
    agent.add_argument("--health-port", type=int, default=9454)
    agent.add_argument("--metrics-port", type=int, help="where others than this node itself get /metrics; off if unset")
    agent.add_argument(
        "--metrics-host", default=os.environ.get("HOST_IP", ""), help="the address of this node for --metrics-port"
    )
    agent.add_argument(
        "--cached-namespace",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="keep the networks of this namespace on the node, and of the others that are named; of all if none is",
    )
    for command in (operator, agent):
        command.add_argument("--log-format", choices=("text", "json"), default="text", help="how the log is written")

    lint = commands.add_parser("lint", help="judge files of manifests by the rules of admission")
    lint.add_argument("files", nargs="*", metavar="FILE", help="a file, a folder, or - for standard input")
    lint.add_argument(
        "--cluster", action="store_true", help="judge the networks of the kubeconfig's cluster, too; only reads there"
    )
    lint.add_argument("--strict", action="store_true", help="fail on warnings as well")
    lint.add_argument(
        "--output", choices=("text", "json", "sarif", "github"), default="text", help="how findings are written"
    )
    lint.add_argument(
        "--select", action="append", default=[], metavar="CODES", help="only these rules (MR110, or MR3 for a family)"
    )
    lint.add_argument("--ignore", action="append", default=[], metavar="CODES", help="not these rules")
    lint.add_argument(
        "--severity",
        action="append",
        default=[],
        metavar="CODE=SEVERITY",
        help="what a rule does: Enforce, Warn or Audit, as spec.admission.severities of the Installation",
    )
    lint.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the settings; without, the nearest .mooring.toml or pyproject.toml with tool.mooring.lint",
    )
    lint.add_argument("--allow-empty", action="store_true", help="succeed where there is no object to judge")

    rules = commands.add_parser("rules", help="list the rules, or explain some")
    rules.add_argument("codes", nargs="*", metavar="CODE", help="a code (MR110) or the beginning of some (MR3)")

    adopt = commands.add_parser("adopt", help="have the cluster's Multus taken over, with its configuration")
    adopt.add_argument("--dry-run", action="store_true", help="only tell what would become of its configuration")

    install = commands.add_parser("install", help="apply the Installation, from which the operator brings the nodes up")
    install.add_argument("--spec", default="{}", metavar="JSON", help="its spec (default: {}, which has every default)")
    install.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="how long it may take")

    verify = commands.add_parser("verify", help="prove that nodes are ready and admission judges; changes nothing")
    verify.add_argument("--namespace", default="default", help="where the networks of its dry runs would be")
    verify.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="how long nodes may take")

    uninstall = commands.add_parser(
        "uninstall", help="bring every node back to its primary network, and tell how far it is"
    )
    uninstall.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS", help="how long it may take")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit status of the process."""
    options = build_parser().parse_args(arguments)
    if options.command == "operator" and options.webhook_listener is None:
        # Imports little: this process stays small, and starts at once.
        from mooring.controller import holding

        logs.configure(options.log_format)
        given = sys.argv[1:] if arguments is None else arguments
        return holding.run([sys.executable, "-P", "-m", "mooring.cli.main", *given], port=options.webhook_port)
    if options.command == "operator":
        from mooring.controller import process as operator_process

        logs.configure(options.log_format)
        return operator_process.run(
            namespace=options.namespace,
            pod_name=options.pod_name,
            listener=socket.socket(fileno=options.webhook_listener),
            health_port=options.health_port,
        )
    if options.command == "lint":
        from mooring.cli import lint

        return lint.run(
            options.files,
            lint.Options(
                output=options.output,
                select=options.select,
                ignore=options.ignore,
                severities=options.severity,
                config=options.config,
                strict=options.strict,
                allow_empty=options.allow_empty,
                cluster=options.cluster,
            ),
        )
    if options.command == "rules":
        from mooring.cli import rules

        return rules.run(options.codes)
    if options.command == "adopt":
        from mooring.cli import adopt

        return adopt.run(dry=options.dry_run)
    if options.command == "install":
        from mooring.cli import install

        return install.run(options.spec, seconds=options.timeout)
    if options.command == "verify":
        from mooring.cli import verify

        return verify.run(namespace=options.namespace, seconds=options.timeout)
    if options.command == "uninstall":
        from mooring.cli import uninstall

        return uninstall.run(seconds=options.timeout)
    if not options.node:
        print("mooring agent: --node or NODE_NAME must name this node", file=sys.stderr)
        return 2
    if options.metrics_port is not None and not options.metrics_host:
        print("mooring agent: --metrics-port needs --metrics-host or HOST_IP", file=sys.stderr)
        return 2
    from mooring.agent import process as agent_process

    logs.configure(options.log_format)
    return asyncio.run(
        agent_process.run(
            node=options.node,
            namespace=options.namespace,
            host_root=options.host_root,
            programs=options.programs,
            state_dir=options.state_dir,
            health_port=options.health_port,
            cached_namespaces=frozenset(options.cached_namespace),
            metrics_address=None if options.metrics_port is None else (options.metrics_host, options.metrics_port),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
