"""Every version of the Installation and of the NodeStates, in the order of the API server, and what must hold at each.

Owns the record and the judgement: how many nodes are on their way, who goes before the canaries have soaked, who gets
a revision that failed its canary. Refuses to sample: a watch leaves out no version.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any

from mooring.kube import resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from mooring.kube.client import Client

_SECONDS = 3000


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """An object as it was from `number` on, None where it was deleted; seen at `at`, a monotonic time."""

    number: int
    at: float
    kind: str
    name: str
    item: dict[str, Any] | None


class Witness:
    """Watches; `versions` has what it saw."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.versions: list[Version] = []

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch during a block, from its first moment on. Fails with the watch: a gap would prove nothing."""
        async with asyncio.TaskGroup() as group:
            tasks = []
            for kind in (resources.INSTALLATIONS, resources.NODE_STATES):
                listed = await self._client.list(kind)
                assert not listed["items"], "a record begins before anything is there"
                tasks.append(group.create_task(self._watch(kind, listed["metadata"]["resourceVersion"])))
            yield
            for task in tasks:
                task.cancel()

    async def _watch(self, kind: resources.Resource, version: str) -> None:
        async for event in self._client.watch(kind, resource_version=version, timeout_seconds=_SECONDS):
            item = event["object"]
            if event["type"] != "BOOKMARK":
                gone = event["type"] == "DELETED"
                number = int(item["metadata"]["resourceVersion"])
                name = item["metadata"]["name"]
                self.versions.append(Version(number, time.monotonic(), kind.kind, name, None if gone else item))
        raise AssertionError("the watch ended before the test did")


def broken_rules(
    versions: Sequence[Version], *, worked: Mapping[tuple[str, str], float], most: int, soak: float
) -> list[str]:
    """Return what must never be and was, each with its version.

    `worked` is by node and revision when its agent said that it works; `most` is maxUnavailable, `soak` in seconds.
    """
    found: list[str] = []
    states: dict[str, dict[str, Any]] = {}
    rollout: dict[str, Any] = {}
    failed: set[str] = set()
    for each in sorted(versions, key=lambda version: version.number):
        if each.kind == resources.INSTALLATIONS.kind:
            rollout = ((each.item or {}).get("status") or {}).get("rollout") or {}
            if rollout.get("halted"):
                failed.add(rollout["revision"])
            continue
        before = states.pop(each.name, None)
        if each.item is None:
            continue
        states[each.name] = each.item
        told = each.item["spec"].get("revision")
        if told and told != (before or {"spec": {}})["spec"].get("revision"):
            found += [f"version {each.number}: {each.name} {wrong}" for wrong in _told(each, told, rollout, failed)]
            found += _too_early(each, told, rollout, worked, soak)
        moving = sorted(name for name, state in states.items() if state["spec"].get("revision") and not _good(state))
        if len(moving) > most:
            found.append(f"version {each.number}: {', '.join(moving)} are on their way, {most} may be")
    return found


def _told(version: Version, told: str, rollout: Mapping[str, Any], failed: set[str]) -> list[str]:
    wrong = []
    if told in failed:
        wrong.append(f"was told {told}, which had failed its canary")
    if told not in (rollout.get("revision"), rollout.get("lastGood")):
        wrong.append(f"was told {told} before the status said that it is wanted")
    canaries = {canary["node"] for canary in rollout.get("canaries") or []}
    if rollout.get("stage") == "Canaries" and version.name not in canaries and told != rollout.get("lastGood"):
        wrong.append(f"was told {told} while only {', '.join(sorted(canaries))} may have it")
    return wrong


def _too_early(
    version: Version, told: str, rollout: Mapping[str, Any], worked: Mapping[tuple[str, str], float], soak: float
) -> list[str]:
    """Say where a node follows canaries that have not worked for so long; of the first revision of all none do."""
    if not rollout.get("lastGood") or told == rollout["lastGood"] or rollout.get("stage") == "Canaries":
        return []
    found = []
    for canary in rollout.get("canaries") or []:
        since = worked.get((canary["node"], told))
        if canary["node"] != version.name and (since is None or version.at - since < soak):
            seconds = "never" if since is None else f"{version.at - since:.2f} s before"
            found.append(
                f"version {version.number}: {version.name} was told {told}; canary {canary['node']} said that it works "
                f"{seconds}, and it soaks {soak:g} s"
            )
    return found


def _good(state: dict[str, Any]) -> bool:
    status = state.get("status") or {}
    ready = [each["status"] for each in status.get("conditions") or [] if each["type"] == "Ready"]
    return bool(
        status.get("revision") == state["spec"]["revision"]
        and status.get("observedGeneration") == state["metadata"]["generation"]
        and ready == ["True"]
    )
