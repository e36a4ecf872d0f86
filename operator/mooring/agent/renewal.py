"""Owns that attachments whose addresses come from DHCP have a daemon that renews their leases; refuses to make one.

The daemon forgets its leases when it ends. The plugin's CHECK makes it take the lease of an interface again, under the
same client identifier, so that the server gives the same address. Run once for each attachment after a daemon was
started, and again where it failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any, Protocol

from mooring.installing.pluginsets import DHCP
from mooring.networks import needs
from mooring.node import journals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mooring.agent.dhcp import Node
    from mooring.node import namespaces
    from mooring.node.places import Places

_LOG = logging.getLogger(__name__)

_SECONDS = 20.0
_AGAIN_SECONDS = 60.0
_PARALLEL = 8
_MOST_TOLD = 3
# CHECK came with 0.4.0; the plugin asks its daemon the same whatever the version.
_CNI_VERSION = "1.0.0"


class Runner(Protocol):
    """Runs programs of the node."""

    async def run(
        self, inside: namespaces.Namespaces, command: str, *, stdin: bytes, env: Mapping[str, str], seconds: float
    ) -> namespaces.Ended:
        """Run a program; raises `TimeoutError` where it goes on, `OSError` where it cannot be started."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """What the plugin is asked with, for one interface."""

    journal: str
    pod: str
    network: str
    container: str
    netns: str
    interface: str
    arguments: str
    conf: str

    @property
    def env(self) -> dict[str, str]:
        """The plugin's environment, but for where it lies."""
        env = {
            "CNI_COMMAND": "CHECK",
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.interface,
        }
        return {**env, "CNI_ARGS": self.arguments} if self.arguments else env


def leases(name: str, journal: journals.Journal) -> list[Lease]:
    """Return the leases by DHCP of a sandbox that is attached; nothing of one that is ending."""
    if journal.ending or not journal.netns.startswith("/"):
        return []
    return [
        Lease(
            journal=name,
            pod=f"{journal.namespace}/{journal.pod}",
            network=attachment.network,
            container=journal.container,
            netns=journal.netns,
            interface=attachment.interface,
            arguments=journal.arguments,
            conf=json.dumps({**plugin, "name": attachment.conf.get("name", ""), "cniVersion": _CNI_VERSION}),
        )
        for attachment in journal.attachments
        if attachment.attached
        for plugin in needs.plugins(attachment.conf)
        if _is_leased(plugin)
    ]


class Renewal:
    """The leases that are to be taken again."""

    def __init__(self, node: Node, runner: Runner) -> None:
        self._node = node
        self._runner = runner
        self._waiting: dict[Lease, str] = {}
        self._next = 0.0
        self.taken = 0
        """Leases that were taken again since the agent started."""

    def begin(self, places: Places) -> None:
        """Take the leases of all that is attached now. It blocks for a moment. Raises `OSError`."""
        self._waiting = dict.fromkeys(_all(places.journals), "")
        self._next = 0.0

    async def proceed(self, places: Places) -> str:
        """Take what is due; return in clauses what failed and is tried again, "" where nothing did.

        Raises `OSError` where the runtime's process is not to be found.
        """
        clock = asyncio.get_running_loop().time
        if not self._waiting or clock() < self._next:
            return self._told()
        self._next = clock() + _AGAIN_SECONDS
        current = set(await asyncio.to_thread(lambda: list(_all(places.journals))))
        due = [lease for lease in self._waiting if lease in current]
        self._waiting = {lease: self._waiting[lease] for lease in due}
        slots = asyncio.Semaphore(_PARALLEL)
        with contextlib.ExitStack() as held:
            inside = await asyncio.to_thread(held.enter_context, self._node.enter())

            async def one(lease: Lease) -> None:
                async with slots:
                    problem = await self._take(lease, places, inside)
                if problem:
                    self._waiting[lease] = problem
                    return
                del self._waiting[lease]
                self.taken += 1
                _LOG.info("the lease of %s on %s (%s) is renewed again", lease.pod, lease.network, lease.interface)

            await asyncio.gather(*(one(lease) for lease in due))
        return self._told()

    async def _take(self, lease: Lease, places: Places, inside: namespaces.Namespaces) -> str:
        folder = places.bin_dir.rstrip("/")
        try:
            ended = await self._runner.run(
                inside,
                f"{folder}/{DHCP}",
                stdin=lease.conf.encode(),
                env={**lease.env, "CNI_PATH": folder},
                seconds=_SECONDS,
            )
        except (TimeoutError, OSError) as error:
            return str(error)
        if ended.status == 0:
            return ""
        try:
            return str(json.loads(ended.stdout)["msg"])[:200]
        except (ValueError, KeyError, TypeError):
            return ended.stderr.decode(errors="replace").strip()[:200] or f"status {ended.status}"

    def _told(self) -> str:
        failed = [(lease, problem) for lease, problem in self._waiting.items() if problem]
        told = "; ".join(
            f"{lease.pod} on {lease.network} ({lease.interface}): {problem}" for lease, problem in failed[:_MOST_TOLD]
        )
        return told + (f"; and {len(failed) - _MOST_TOLD} more" if len(failed) > _MOST_TOLD else "")


def _is_leased(plugin: Mapping[str, Any]) -> bool:
    ipam = plugin.get("ipam")
    return isinstance(ipam, dict) and ipam.get("type") == DHCP


def _all(folder: Path) -> Iterator[Lease]:
    for name, journal in journals.each(folder):
        yield from leases(name, journal)
