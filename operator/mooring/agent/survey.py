"""Owns what this node has for networks to use: programs, link types, interfaces; refuses to change or judge any of it.

It is told in the NodeState, and read there by people and by rules about nodes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mooring.agent import loops
from mooring.networks import needs
from mooring.node import links, manifest, plugins

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping

    from mooring.agent.revisions import Revision
    from mooring.node import places
    from mooring.node.namespaces import Namespaces

_LOG = logging.getLogger(__name__)

# A burst of changes is one look.
_PAUSE_SECONDS = 2.0
#: Of more absent interfaces the first by name are told, and of more networks that name one.
MOST = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Absent:
    """An interface that NADs name as `master` and that the node does not have."""

    interface: str
    networks: tuple[str, ...]
    """`namespace/name` of the NADs that name it, by name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Binary:
    """A program in the folder of CNI plugins, and who of us put it there; "" for somebody else."""

    program: plugins.Plugin
    owner: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    binaries: tuple[Binary, ...] = ()
    link_types: tuple[str, ...] | None = None
    """None where the kernel could not be asked."""
    absent: tuple[Absent, ...] = ()


class Survey(loops.Reconciler):
    """Looks after each change of a program or a NAD, and now and then; `found` is what came of it."""

    name = "survey"
    reason = "NodeNotSurveyed"
    period = 60.0
    fails_as = "warning"

    def __init__(
        self,
        *,
        revision: Callable[[], Revision | None],
        networks: Mapping[str, dict[str, Any]],
        enter: Callable[[], contextlib.AbstractContextManager[Namespaces]],
        on_health: Callable[[], None],
    ) -> None:
        """`networks` are the NADs as the cache keeps them; `enter` holds the runtime's namespaces, it blocks."""
        super().__init__(on_health=on_health)
        self._health = loops.Health(settled=True)  # pods get their networks whatever we find
        self._revision = revision
        self._networks = networks
        self._enter = enter
        self._plugins = plugins.Plugins()
        self._masters: dict[str, tuple[object, tuple[str, ...]]] = {}
        self._link_types: tuple[str, ...] | None = None
        self._looked_at: float | None = None
        self.found = Found()

    async def reconcile(self) -> float | None:
        """Look at everything; tell where it is something else than before."""
        revision, clock = self._revision(), asyncio.get_running_loop().time
        if revision is None:
            return None
        if self._looked_at is not None and (wait := self._looked_at + _PAUSE_SECONDS - clock()) > 0:
            return wait
        self._looked_at = clock()
        if self._link_types is None:
            # Once: it changes with the kernel, and that with a boot.
            self._link_types = await asyncio.to_thread(self._ask_kernel)
        found = Found(
            binaries=await asyncio.to_thread(self._look, revision.places),
            link_types=self._link_types,
            absent=self._absent(),
        )
        self.report(settled=True)
        if found != self.found:
            self.found = found
            self._on_health()
        return None

    def _look(self, folders: places.Places) -> tuple[Binary, ...]:
        owned = manifest.Manifest(folders.seen(folders.state_dir)).owned()
        found = []
        for program in self._plugins.look(folders.binaries):
            entry = owned.get(f"{folders.bin_dir.rstrip('/')}/{program.name}")
            # What somebody else put in the place of ours is theirs.
            found.append(Binary(program, entry.owner if entry and entry.wrote(program.sha256) else ""))
        return tuple(found)

    def _ask_kernel(self) -> tuple[str, ...] | None:
        try:
            with self._enter() as inside:
                modules = inside.seen(f"/lib/modules/{os.uname().release}")
                return links.available(modules, _loaded())
        except OSError as error:
            _LOG.debug("the kernel is not asked for its link types: %s", error)
            return None

    def _absent(self) -> tuple[Absent, ...]:
        """Return the interfaces that are not there; each NAD is read once, and again when it is another one."""
        self._masters = {key: self._known(key, nad) for key, nad in self._networks.items()}
        wanted: dict[str, list[str]] = {}
        for key, (_, masters) in sorted(self._masters.items()):
            for master in masters:
                wanted.setdefault(master, []).append(key)
        absent = [name for name in sorted(wanted) if not _exists(name)]
        return tuple(Absent(name, tuple(wanted[name][:MOST])) for name in absent[:MOST])

    def _known(self, key: str, nad: dict[str, Any]) -> tuple[object, tuple[str, ...]]:
        known = self._masters.get(key)
        return known if known is not None and known[0] is nad else (nad, masters(nad["config"]))


def _loaded() -> str:
    try:
        return Path("/proc/modules").read_text(encoding="ascii")
    except FileNotFoundError:
        return ""  # a kernel without modules


def masters(config: str) -> tuple[str, ...]:
    """Return the interfaces of the node that a NAD's configuration names as `master`, each once."""
    try:
        return needs.masters(json.loads(config))
    except (ValueError, RecursionError):
        return ()


def _exists(interface: str) -> bool:
    """Ask the kernel, in whose host network we are; it knows an interface's further names too. It opens no file."""
    try:
        return socket.if_nametoindex(interface) > 0
    except (OSError, ValueError, UnicodeError):
        return False
