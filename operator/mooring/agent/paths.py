"""Owns whether the revision's folders are this node's, and that nothing of ours stays in those it had before.

What an agent with other paths left is removed only when the runtime itself says that it reads the new folder, and only
files that hold what we wrote: a conf that is removed too early takes the networks from every pod. Refuses to touch
what other programs wrote, and to choose folders: it names the preset that fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mooring.agent import loops
from mooring.installing import confs, distributions
from mooring.kube import errors, resources
from mooring.node import files, manifest, places, store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mooring.agent.runtime import Verdict

_LOG = logging.getLogger(__name__)


class Paths(loops.Reconciler):
    """Compares the folders with the distribution's and leaves the former ones. `distribution` is what was detected."""

    name = "paths"
    reason = "PathsDoubtful"
    period = 600.0
    fails_as = "warning"

    def __init__(
        self,
        site: loops.Site,
        *,
        asked: Callable[[], places.Places | None],
        applied: Callable[[], places.Places | None],
        verdict: Callable[[], Verdict],
        on_health: Callable[[], None],
    ) -> None:
        """`asked` returns the folders that the leader wants, `applied` those of the revision that is on the node."""
        super().__init__(on_health=on_health)
        self._site = site
        self._asked = asked
        self._applied = applied
        self._verdict = verdict
        self._facts: distributions.Facts | None = None
        self._asked_at = 0.0
        self.distribution = ""
        """One of the presets; "" where nothing shows it."""

    async def reconcile(self) -> float | None:
        """Say what the folders should be, and leave those of before."""
        asked = self._asked()
        if asked is None:
            return None  # woken when there is a revision
        if (facts := await self._look(asked.host_root)) is None:
            return None  # the node is leaving
        self.distribution = distributions.detect(facts)
        absent = await asyncio.to_thread(asked.absent)
        advice = distributions.advice(facts, bin_dir=asked.bin_dir, conf_dir=asked.conf_dir)
        if not absent and await asyncio.to_thread(self._proven, asked):
            advice = ""
        left = ""
        applied = self._applied()
        if applied is not None:
            left = await asyncio.to_thread(self._leave, applied)
        self.report(
            settled=True,
            problem=advice if absent else "",
            warning=" ".join(filter(None, ("" if absent else advice, left))),
        )
        return None

    async def _look(self, root: Path) -> distributions.Facts | None:
        """Return what the node shows of itself, which hardly ever changes: the API server is asked now and then."""
        now = asyncio.get_running_loop().time()
        if self._facts is None or now - self._asked_at > self.period / 2:
            try:
                node = await self._site.client.get(resources.NODES, self._site.node)
            except errors.NotFound:
                return None
            self._facts = distributions.facts(node, paths=await asyncio.to_thread(_marks, root))
            self._asked_at = now
        return self._facts

    def _proven(self, node: places.Places) -> bool:
        """Say whether the runtime itself reads these folders, whatever the distribution usually has."""
        verdict = self._verdict()
        if verdict.status != "True" or verdict.said is None or not verdict.said.conf_dir:
            return False
        return node.same(verdict.said.conf_dir, node.conf_dir)

    def _leave(self, node: places.Places) -> str:
        """Remove our files from the folders of before; return in a sentence what has to stay, and why."""
        owned = manifest.Manifest(node.state)
        staying = []
        # A conf goes before the kubeconfig that it names.
        for entry in sorted(owned.owned().values(), key=lambda each: (each.path.endswith("/kubeconfig"), each.path)):
            folder = _folder_of(entry.path) if entry.owner == manifest.MOORING else None
            if folder is None or _is_in_use(entry.path, node):
                continue
            path = places.follow(node.host_root, str(PurePosixPath(entry.path).parent)) / PurePosixPath(entry.path).name
            if node.same(folder, node.bin_dir) or node.same(folder, node.conf_dir):
                owned.forget(entry.path)  # another path of the same folder
            elif not self._unread(folder, entry.path, node):
                staying.append(entry.path)
            else:
                _remove(path, entry)
                owned.forget(entry.path)
        if not staying:
            return ""
        return (
            f"{' and '.join(staying)} of former paths {'stays' if len(staying) == 1 else 'stay'}, because the runtime "
            "does not say that it reads other folders now. Remove what it does not read"
        )

    def _unread(self, folder: str, path: str, node: places.Places) -> bool:
        """Say whether the runtime itself tells that it does not read a folder of before, but the node's own."""
        verdict = self._verdict()
        said = verdict.said
        if verdict.status != "True" or said is None:
            return False
        if PurePosixPath(path).name == places.PLUGIN:
            looked_into = said.bin_dirs
            return any(node.same(each, node.bin_dir) for each in looked_into) and not any(
                node.same(each, folder) for each in looked_into
            )
        return said.conf_dir != "" and node.same(said.conf_dir, node.conf_dir)


def _folder_of(path: str) -> str | None:
    """Return the folder of paths that a file of ours belongs to; None for one that is none of the agent's own."""
    pure = PurePosixPath(path)
    if pure.name in confs.FILES or pure.name == places.PLUGIN:
        return str(pure.parent)
    if pure.name == "kubeconfig" and pure.parent.name == "mooring.d":
        return str(pure.parent.parent)
    return None


def _is_in_use(path: str, node: places.Places) -> bool:
    ours = {node.plugin_path, node.kubeconfig, *(f"{node.conf_dir.rstrip('/')}/{name}" for name in confs.FILES)}
    return path in ours


def _remove(path: Path, entry: manifest.Entry) -> None:
    """Remove a file where it still is what we wrote, and our folder around it where that is empty then."""
    if not entry.wrote(store.sha256(path)):
        _LOG.info("%s is no longer what we wrote, and stays", entry.path)
        return
    files.remove(path, durable=True)
    _LOG.info("removed %s, which was of former paths", entry.path)
    if path.parent.name == "mooring.d":
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def _marks(root: Path) -> frozenset[str]:
    return frozenset(mark for mark in distributions.MARKS if places.follow(root, mark).exists())
