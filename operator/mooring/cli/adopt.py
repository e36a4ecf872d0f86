"""`mooring adopt`: owns telling what the adoption of the cluster's Multus would do, and asking the operator for it.

Exit status 0: it can be adopted, or was asked for. 1: there is none, or the API server cannot be asked. 3: something
stands against it, and is printed. Refuses to touch Multus or a node: the operator does, node by node.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import yaml

from mooring.controller import adopting, keys
from mooring.installing import adoptions, imports
from mooring.installing.installations import API_VERSION, InstallationSpec
from mooring.kube import errors, resources
from mooring.kube.client import Client

_FIELD_MANAGER = "mooring-cli"


def run(*, dry: bool) -> int:
    """Tell, and unless it is a dry run ask; return the exit status."""
    try:
        return asyncio.run(_run(dry))
    except errors.ApiError as error:
        print(f"mooring adopt: {error}", file=sys.stderr)
        return 1


async def _run(dry: bool) -> int:
    async with await Client.load() as client:
        found = adoptions.find((await client.list(resources.DAEMON_SETS))["items"])
        if not found:
            print("No DaemonSet of this cluster is Multus'.")
            return 1
        there = await _installation(client)
        read = imports.Import({}, ())
        if len(found) == 1:
            read = imports.read(found[0], await adopting.config_maps(client, found[0]))
            defaults = InstallationSpec().to_wire()
            read = imports.besides(read, there.get("spec") or {}, defaults, adoptions.written(there))
        print(told(found, read))
        problems = adoptions.obstacles(found, read.findings)
        for problem in problems:
            print(f"It cannot be adopted: {problem.message}")
        if problems:
            return 3
        if dry:
            print("Nothing was changed. `mooring adopt` asks for it.")
            return 0
        body = {
            "apiVersion": API_VERSION,
            "kind": resources.INSTALLATIONS.kind,
            "metadata": {"name": keys.INSTALLATION_NAME},
            "spec": {"adopt": "Multus"},
        }
        await client.apply(resources.INSTALLATIONS, body, field_manager=_FIELD_MANAGER)
        print("Asked for. How far it is: kubectl get installation default -o yaml, and kubectl get nodestates.")
        return 0


async def _installation(client: Client) -> dict[str, Any]:
    try:
        return await client.get(resources.INSTALLATIONS, keys.INSTALLATION_NAME)
    except errors.NotFound:
        return {}


def told(found: list[adoptions.DaemonSet], read: imports.Import) -> str:
    """Return what there is and what would become of it, as lines for a person."""
    lines = [f"{each.form} Multus: DaemonSet {each.key}, on {each.nodes} nodes." for each in found]
    if read.spec:
        lines.append("The Installation's spec gets:")
        lines += [f"    {line}" for line in yaml.safe_dump(read.spec, sort_keys=True).splitlines()]
    elif len(found) == 1:
        lines.append("The Installation's spec needs nothing of its configuration.")
    if read.findings:
        lines.append("Not carried over:")
        lines += [f"    {each.key}: {each.message}" for each in read.findings]
    return "\n".join(lines)
