"""`mooring verify`: owns proving, from outside, that an installed Mooring does its work in this cluster.

The Installation's nodes are Ready, admission refuses a network with a mistake and takes one without; both as dry runs,
of which nothing is kept. Exit status 0: all of it is so. 1: something is not, and which. Refuses to change anything.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from mooring.cli.attempts import EVERY, Attempts
from mooring.controller import keys
from mooring.kube import errors, resources
from mooring.kube.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WEBHOOK = "networks.mooring.dev"
_RIGHT = '{"cniVersion": "1.0.0", "name": "mooring-verify", "type": "bridge", "bridge": "verify0"}'
_WRONG = '{"cniVersion": "1.0.0", "name": "mooring-verify", "type":'


class _NotSo(Exception):
    """Something is not as it should be; the text says what, and what to look at."""


def run(*, namespace: str, seconds: float) -> int:
    """Verify and return the exit status; `seconds` is how long nodes and API server may take."""
    try:
        asyncio.run(_run(namespace, seconds))
    except (_NotSo, errors.ApiError) as problem:
        print(f"mooring verify: {problem}", file=sys.stderr)
        return 1
    return 0


async def _run(namespace: str, seconds: float) -> None:
    async with await Client.load() as client:
        attempts = Attempts(seconds)
        print(await _ready(client, attempts, seconds))
        print(await _refused(client, attempts, namespace))
        print(await _taken(client, attempts, namespace))


async def _ready(client: Client, attempts: Attempts, seconds: float) -> str:
    while True:
        try:
            installation = await attempts.of(lambda: client.get(resources.INSTALLATIONS, keys.INSTALLATION_NAME))
        except errors.NotFound:
            raise _NotSo("there is no Installation, so nothing is on the nodes: apply one first") from None
        listed = await attempts.of(
            lambda: client.list(resources.NODE_STATES, label_selector=resources.selector(keys.OURS))
        )
        states = listed["items"]
        lacking = unready(installation, states)
        if not lacking:
            return f"{len(states)} of {len(states)} nodes are Ready."
        if attempts.over:
            raise _NotSo(f"not within {seconds:.0f} s: {lacking}")
        attempts.tell(f"Waiting: {lacking}")
        await asyncio.sleep(EVERY)


def unready(installation: Mapping[str, Any], states: Iterable[Mapping[str, Any]]) -> str:
    """Say why the nodes of an Installation are not all Ready; "" where they are."""
    status = installation.get("status") or {}
    generation = installation["metadata"].get("generation")
    if status.get("observedGeneration") != generation:
        return "the operator has not seen the Installation as it is now; does it run?"
    wanted = int((status.get("nodes") or {}).get("desired") or 0)
    if not wanted:
        return "no node is selected; what does spec.nodeSelector of the Installation say?"
    reasons = {str(state["metadata"]["name"]): _reason(state) for state in states}
    lacking = [f"{name}: {reason}" for name, reason in sorted(reasons.items()) if reason]
    if len(reasons) < wanted:
        lacking.append(f"{wanted - len(reasons)} of {wanted} nodes have no NodeState yet")
    return "; ".join(lacking)


def _reason(state: Mapping[str, Any]) -> str:
    for condition in (state.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready":
            if condition.get("status") == "True":
                return ""
            return str(condition.get("message") or condition.get("reason") or "not Ready")
    return "its agent has not said anything yet"


async def _refused(client: Client, attempts: Attempts, namespace: str) -> str:
    try:
        await attempts.of(lambda: _try(client, namespace, _WRONG))
    except errors.ApiError as error:
        # A 5xx is no verdict, whatever it says.
        if errors.passes(error) or _WEBHOOK not in error.message or "MR101" not in error.message:
            raise
        return "Admission refuses a network that is not JSON."
    raise _NotSo(
        "a network that is not JSON was taken, so admission was not asked: kubectl describe installation default, and "
        "kubectl get validatingwebhookconfiguration mooring -o yaml"
    )


async def _taken(client: Client, attempts: Attempts, namespace: str) -> str:
    await attempts.of(lambda: _try(client, namespace, _RIGHT))
    return "Admission takes a network without mistakes."


async def _try(client: Client, namespace: str, config: str) -> None:
    body = {
        "apiVersion": resources.NADS.api_version,
        "kind": resources.NADS.kind,
        "metadata": {"name": "mooring-verify", "namespace": namespace},
        "spec": {"config": config},
    }
    await client.create(resources.NADS, body, namespace=namespace, dry_run=True)
