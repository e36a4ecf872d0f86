"""Owns the undoing of one sandbox that is gone, by the plugin itself; refuses to decide which one.

The plugin needs the sandbox's id, the node's own conf and the files; it runs where the runtime runs it. What cannot be
undone is tried again after a pause that grows, by itself: the memory of it is bounded, so that of very many only some
are spared.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
from typing import TYPE_CHECKING, Any, Protocol

from mooring.agent import loops
from mooring.node import namespaces, places

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mooring.node.records import Found

_LOG = logging.getLogger(__name__)

#: Where the runtime's own libcni keeps results and host-local its leases, as the runtime sees it.
RUNTIME_STATE = "/var/lib/cni"
_SECONDS = 120.0
_MOST_REMEMBERED = 256
_MOST_TOLD = 3
_MOST_MESSAGE = 300


class Runner(Protocol):
    """Runs programs of the node."""

    def running(self) -> int:
        """Return how many programs still run."""

    async def run(
        self, inside: namespaces.Namespaces, command: str, *, stdin: bytes, env: Mapping[str, str], seconds: float
    ) -> namespaces.Ended:
        """Run a program; raises `TimeoutError` where it goes on, `OSError` where it cannot be started."""


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where a sandbox is undone: the node's folders, its conf, and the runtime's namespaces."""

    places: places.Places
    conf: Mapping[str, Any]
    inside: namespaces.Namespaces

    @property
    def runtime_results(self) -> str:
        """The runtime's own cache of results, as the runtime sees it."""
        return f"{RUNTIME_STATE}/results"


@dataclasses.dataclass(frozen=True, slots=True)
class _Failure:
    times: int
    until: float
    text: str


class Undoing:
    """Undoes sandboxes one by one. Times are those of `clock`."""

    def __init__(self, runner: Runner, *, clock: Callable[[], float]) -> None:
        self._runner = runner
        self._clock = clock
        self._pause = loops.Pause(first=30.0, longest=600.0)
        self._failures: dict[str, _Failure] = {}

    @property
    def running(self) -> int:
        """How many DELs still run that were not waited for."""
        return self._runner.running()

    @property
    def reported(self) -> str:
        """What cannot be undone, in a sentence; "" where nothing fails."""
        if not self._failures:
            return ""
        count = len(self._failures)
        many = f"{count} or more" if count >= _MOST_REMEMBERED else str(count)
        first = "; ".join(self._failures[name].text for name in sorted(self._failures)[:_MOST_TOLD])
        which = "sandbox that is gone cannot be undone" if count == 1 else "sandboxes that are gone cannot be undone"
        return f"{many} {which}: {first}"

    def spares(self, name: str) -> bool:
        """Say whether a record is left alone for now, because undoing it has failed."""
        failure = self._failures.get(name)
        return failure is not None and failure.until > self._clock()

    def only(self, exists: Callable[[str], bool]) -> None:
        """Forget the failures of records that are gone. It blocks."""
        for name in [name for name in self._failures if not exists(name)]:
            del self._failures[name]

    async def undo(self, found: Found, site: Site) -> bool:
        """Run DEL of a sandbox and return whether everything of it is undone. Raises `OSError`."""
        try:
            ended = await self._runner.run(
                site.inside,
                f"{site.places.bin_dir.rstrip('/')}/{places.PLUGIN}",
                stdin=json.dumps(site.conf).encode(),
                env=await asyncio.to_thread(_environment, found, site),
                seconds=_SECONDS,
            )
            problem = "" if ended.status == 0 else _said(ended)
        except TimeoutError as error:
            problem = str(error)
        if not problem and await asyncio.to_thread((site.places.journals / found.name).exists):
            problem = "a network of it is quarantined, and its plugin still fails"
        if problem:
            self._failed(found, problem)
            return False
        self._failures.pop(found.name, None)
        await asyncio.to_thread(_forget, found, site)
        return True

    def _failed(self, found: Found, problem: str) -> None:
        before = self._failures.pop(found.name, None)
        times = 1 if before is None else before.times + 1
        whose = f"{found.container[:12]} (pod {found.pod})" if found.pod else found.container[:12]
        text = f"{whose}: {problem[:_MOST_MESSAGE]}"
        if before is None:
            _LOG.warning("a sandbox that is gone cannot be undone: %s", text)
        if len(self._failures) >= _MOST_REMEMBERED:
            del self._failures[next(iter(self._failures))]
        self._failures[found.name] = _Failure(times, self._clock() + self._pause.after(times), text)


def is_anothers(found: Found, inside: namespaces.Namespaces) -> bool:
    """Say whether a record may be of a container that is no pod's, and that lives. It blocks.

    Other programs (nerdctl, for one) run containers on the runtime's networks, and the runtime's list of sandboxes has
    none of these.
    """
    return not found.pod and bool(found.netns) and inside.holds(found.netns)


def _environment(found: Found, site: Site) -> dict[str, str]:
    env = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": found.container,
        "CNI_IFNAME": found.interface,
        "CNI_PATH": site.places.bin_dir,
    }
    if found.arguments:
        env["CNI_ARGS"] = found.arguments
    if _is_its_own(found.netns, site.inside):
        env["CNI_NETNS"] = found.netns
    return env


def _is_its_own(netns: str, inside: namespaces.Namespaces) -> bool:
    """Say whether a recorded network namespace is still there and can be no other's.

    A process id is used again, and a file at which nothing is mounted any more makes plugins fail.
    """
    if not netns.startswith("/") or netns.startswith("/proc/") or ".." in netns.split("/"):
        return False
    try:
        found, node = inside.seen(netns).stat(), os.fstat(inside.network)
    except OSError:
        return False
    return found.st_dev == node.st_dev and found.st_ino != node.st_ino


def _forget(found: Found, site: Site) -> None:
    """Remove the runtime's own cached result: it will not call for this sandbox any more."""
    name = f"{site.conf['name']}-{found.container}-{found.interface}"
    (site.inside.seen(site.runtime_results) / name).unlink(missing_ok=True)


def _said(ended: namespaces.Ended) -> str:
    """Return what a failed plugin says: its CNI error, else what it wrote to stderr."""
    try:
        return str(json.loads(ended.stdout)["msg"])
    except (ValueError, KeyError, TypeError, RecursionError):
        said = ended.stderr.decode(errors="replace").strip() or "it said nothing"
        return f"DEL ended with status {ended.status}: {said}"
