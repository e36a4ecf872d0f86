"""`mooring uninstall`: owns deleting the Installation and telling how far that is, until nothing is left.

Exit status 0: every node is clean. 1: not within the time, or the API server cannot be asked. 3: nodes that are away
will clean up when they return. Refuses to do any of it itself: the operator does, and its absence is told.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from mooring.cli.attempts import EVERY, Attempts
from mooring.controller import keys
from mooring.kube import errors, resources
from mooring.kube.client import Client


def run(*, seconds: float) -> int:
    """Uninstall and return the exit status; `seconds` is how long it may take."""
    try:
        return asyncio.run(_run(seconds))
    except errors.ApiError as error:
        print(f"mooring uninstall: {error}", file=sys.stderr)
        return 1


async def _run(seconds: float) -> int:
    async with await Client.load() as client:
        attempts = Attempts(seconds)
        try:
            await attempts.of(
                lambda: client.delete(resources.INSTALLATIONS, keys.INSTALLATION_NAME, propagation="Background")
            )
        except errors.NotFound:
            print("There is no Installation.")
            return await _left(client, attempts)
        try:
            async with asyncio.timeout_at(attempts.until):
                await _follow(client, attempts)
        except TimeoutError:
            print(
                f"mooring uninstall: not done within {seconds:.0f} s; it goes on, and this command may be given again. "
                "Where nothing happens, is the operator running? (kubectl get pods -n mooring-system)",
                file=sys.stderr,
            )
            return 1
        return await _left(client, attempts)


async def _follow(client: Client, attempts: Attempts) -> None:
    """Print what is waited for, each time that it is something else, until the Installation is gone."""
    while True:
        try:
            found = await attempts.of(lambda: client.get(resources.INSTALLATIONS, keys.INSTALLATION_NAME))
        except errors.NotFound:
            return
        attempts.tell(progress(found))
        await asyncio.sleep(EVERY)


def progress(installation: dict[str, Any]) -> str:
    """Return what the operator says of the uninstall; "" before it says something."""
    for condition in (installation.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "Uninstalling":
            return str(condition.get("message") or "")
    return ""


async def _left(client: Client, attempts: Attempts) -> int:
    """Say which nodes are not clean, and return the exit status."""
    try:
        listed = await attempts.of(
            lambda: client.list(resources.NODE_STATES, label_selector=resources.selector(keys.OURS))
        )
    except errors.NotFound:
        listed = {"items": []}  # the definitions are gone too
    names = sorted(state["metadata"]["name"] for state in listed["items"])
    if not names:
        print("Nothing of Mooring is on the nodes. Operator and definitions go with kubectl delete -k.")
        return 0
    print(
        f"Away, and clean when they return: {', '.join(names)}. Until then leave operator and definitions as they "
        "are, or delete the Node of one that does not return."
    )
    return 3
