"""`mooring uninstall`: owns deleting the Installation and telling how far that is, until nothing is left.

Exit status 0: every node is clean. 1: not within the time, or the API server cannot be asked. 3: nodes that are away
will clean up when they return. Refuses to do any of it itself: the operator does, and its absence is told.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from mooring.controller import keys
from mooring.kube import errors, resources
from mooring.kube.client import Client

_EVERY = 1.0


def run(*, seconds: float) -> int:
    """Uninstall and return the exit status; `seconds` is how long it may take."""
    try:
        return asyncio.run(_run(seconds))
    except errors.ApiError as error:
        print(f"mooring uninstall: {error}", file=sys.stderr)
        return 1


async def _run(seconds: float) -> int:
    async with await Client.load() as client:
        try:
            await client.delete(resources.INSTALLATIONS, keys.INSTALLATION_NAME, propagation="Background")
        except errors.NotFound:
            print("There is no Installation.")
            return await _left(client)
        try:
            async with asyncio.timeout(seconds):
                await _follow(client)
        except TimeoutError:
            print(
                f"mooring uninstall: not done within {seconds:.0f} s; it goes on, and this command may be given again. "
                "Where nothing happens, is the operator running? (kubectl get pods -n mooring-system)",
                file=sys.stderr,
            )
            return 1
        return await _left(client)


async def _follow(client: Client) -> None:
    """Print what is waited for, each time that it is something else, until the Installation is gone."""
    told = ""
    while True:
        try:
            found = await client.get(resources.INSTALLATIONS, keys.INSTALLATION_NAME)
        except errors.NotFound:
            return
        except errors.Unreachable as error:
            sentence = str(error)
        else:
            sentence = progress(found)
        if sentence and sentence != told:
            print(sentence, flush=True)
            told = sentence
        await asyncio.sleep(_EVERY)


def progress(installation: dict[str, Any]) -> str:
    """Return what the operator says of the uninstall; "" before it says something."""
    for condition in (installation.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "Uninstalling":
            return str(condition.get("message") or "")
    return ""


async def _left(client: Client) -> int:
    """Say which nodes are not clean, and return the exit status."""
    try:
        states = (await client.list(resources.NODE_STATES, label_selector=resources.selector(keys.OURS)))["items"]
    except errors.NotFound:
        states = []  # the definitions are gone too
    names = sorted(state["metadata"]["name"] for state in states)
    if not names:
        print("Nothing of Mooring is on the nodes. Operator and definitions go with kubectl delete -k.")
        return 0
    print(
        f"Away, and clean when they return: {', '.join(names)}. Until then leave operator and definitions as they "
        "are, or delete the Node of one that does not return."
    )
    return 3
