"""`mooring install`: owns applying the one Installation with a given spec, as soon as its kind is served.

What is applied is the whole spec of this command: fields that the one before set and this one does not go back to
their defaults, and fields that somebody else set stay. Exit status 0: the API server has it; how the nodes get it,
`kubectl get installation,nodestates` says. 1: it was refused, or not taken within the time. 2: the spec is no JSON
object. Refuses to wait for nodes: a careful roll-out takes longer than whoever installs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mooring.cli.attempts import Attempts
from mooring.controller import keys
from mooring.kube import errors, resources
from mooring.kube.client import Client

_MANAGER = "mooring-install"


def run(spec: str, *, seconds: float) -> int:
    """Apply the Installation with a spec in JSON and return the exit status; `seconds` is how long it may take."""
    try:
        parsed = json.loads(spec)
    except ValueError as error:
        parsed, problem = None, f"--spec is no JSON: {error}"
    else:
        problem = "" if isinstance(parsed, dict) else f"--spec is no object: {spec[:100]}"
    if problem:
        print(f"mooring install: {problem}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_run(parsed, seconds))
    except errors.ApiError as error:
        print(f"mooring install: {error}", file=sys.stderr)
        return 1


async def _run(spec: dict[str, Any], seconds: float) -> int:
    body = {
        "apiVersion": resources.INSTALLATIONS.api_version,
        "kind": resources.INSTALLATIONS.kind,
        "metadata": {"name": keys.INSTALLATION_NAME},
        "spec": spec,
    }
    async with await Client.load() as client:
        applied = await Attempts(seconds).of(
            lambda: client.apply(resources.INSTALLATIONS, body, field_manager=_MANAGER),
            also=(errors.NotFound,),  # its kind may have been defined a moment ago
        )
    if applied["metadata"].get("deletionTimestamp"):
        print(
            "mooring install: Installation default is being deleted, and the nodes are being cleaned; give this "
            "command again when it is gone: kubectl wait installation/default --for=delete",
            file=sys.stderr,
        )
        return 1
    print("Installation default is applied. How far it is: kubectl get installation,nodestates")
    return 0
