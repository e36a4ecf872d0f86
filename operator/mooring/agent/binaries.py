"""Owns that the plugin on the node is the revision's, proven; refuses to leave a node without one that works.

The old one stays until the new one has proven itself. What is damaged, changed or gone, or does not run any more, is
put back from the node's own store: the same program, else the last good one. That takes no image and no API server,
so it is done before the revision is known, too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Protocol

from mooring.agent import loops
from mooring.node import binaries, manifest, networkfiles, places, proof, store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from mooring.agent.revisions import Revision

_LOG = logging.getLogger(__name__)

#: A file that seems untouched is read, and executed, again after so many seconds: a disk may lie.
READ_SECONDS = 600.0


class Prover(Protocol):
    """Proves a binary on the node."""

    async def prove(self, binary: Path, node: places.Places) -> None:
        """Raise `UnprovenError` where a binary does not do what it must, `OSError` where it cannot be asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Looked:
    """What a file was when it was looked at."""

    identity: tuple[int, ...] | None
    at: float
    digest: str | None
    fault: str
    """Why it cannot be used; "" where it answers."""


class Binaries(loops.Reconciler):
    """Installs the plugin of the agent's own image. `applied` names the revision whose plugin is on the node."""

    name = "binaries"
    reason = "BinaryNotInstalled"
    period = 60.0  # somebody may remove it, and nothing tells us
    deadline = 180.0  # proofs of a new plugin have deadlines of their own

    def __init__(
        self,
        *,
        source: Path,
        host_root: Path,
        state_dir: str = places.STATE,
        prover: Prover,
        revision: Callable[[], Revision | None],
        image: Callable[[], str | None],
        applied_before: Callable[[], str],
        draining: Callable[[], bool],
        conf_first: Callable[[Revision], Awaitable[bool]],
        on_applied: Callable[[], None],
        on_health: Callable[[], None],
    ) -> None:
        """`source` is the image's folder that holds the plugin, `host_root` where the node's folders are mounted,
        `state_dir` the path of the state folder on the node, as far as it is known without a revision.

        `image` is the agent's own ("" where unknown), `applied_before` the revision that was on the node, `conf_first`
        says whether the conf of a revision has to be there before its plugin. While `draining` nothing is written, and
        what was applied is no longer.
        """
        super().__init__(on_health=on_health)
        self._source = source
        self._host_root = host_root
        self._state_dir = state_dir
        self._prover = prover
        self._revision = revision
        self._image = image
        self._applied_before = applied_before
        self._draining = draining
        self._conf_first = conf_first
        self._on_applied = on_applied
        self._looked: dict[Path, _Looked] = {}
        self.applied = ""
        self.sha256: dict[str, str] = {}
        """Of each program that is on the node."""
        self.repaired = 0
        """How often the plugin was put back from the store."""

    async def reconcile(self) -> float | None:
        """Install the plugin where it is missing or another one."""
        if self._draining():
            self.applied = ""
            self.sha256.clear()
            return None
        revision = self._revision()
        if revision is None:
            await self._stand_by()
            return None
        ours = self._image() in ("", revision.image)
        present = await asyncio.to_thread(binaries.is_executable, revision.places.plugin)
        if ours and present and await self._conf_first(revision):
            return None  # woken when the conf is there, which the newer plugin reads as well
        await self._put_right(self._source / places.PLUGIN, revision.places, ours=ours)
        if ours:
            await asyncio.to_thread(_remove_former, revision.places.binaries / places.FORMER)
        if not ours and self._applied_before() != revision.name:
            self.report(problem=f"The revision {revision.name} waits for the agent of {revision.image}")
            return None
        # An agent that is newer than its revision leaves the plugin alone: the DaemonSet is rolled first, and the
        # plugin changes when the leader gives this node the revision of the new image.
        if self.applied != revision.name:
            self.applied = revision.name
            self._on_applied()
        self.report(settled=True)
        return None

    async def _stand_by(self) -> None:
        """Keep the plugin that the node has, as its own manifest says, while the revision is not known."""
        for folder in await asyncio.to_thread(manifest.folders, self._host_root, state_dir=self._state_dir):
            owned = manifest.Manifest(folder)
            entry = _plugin_of(await asyncio.to_thread(owned.owned))
            if entry is None or await asyncio.to_thread((folder / places.LEAVING).exists):
                continue
            target = await asyncio.to_thread(places.follow, self._host_root, entry.path)
            kept = _Kept(target, entry.path, owned, store.Store(folder / "programs"))
            if not self._stands(await self._look(kept.target), entry.proven):
                await self._put_back(kept, entry.proven)

    async def _put_right(self, source: Path, node: places.Places, *, ours: bool) -> None:
        wanted = (await self._look(source, execute=False)).digest
        if wanted is None:
            raise FileNotFoundError(f"this image has no plugin at {source}: it was built wrong")
        kept = _Kept(node.plugin, node.plugin_path, manifest.Manifest(node.state), store.Store(node.programs))
        entry = (await asyncio.to_thread(kept.owned.owned)).get(kept.path)
        proven = entry.proven if entry else ()
        found = await self._look(kept.target)
        current = found.digest if self._stands(found, proven) else await self._put_back(kept, proven)
        self._note(current or found.digest)
        if current == wanted and wanted in proven:
            if (await self._look(kept.store.path(wanted), execute=False)).digest != wanted:
                await asyncio.to_thread(kept.store.put, kept.target, wanted)
        elif ours or current is None:
            standing = "the last good one stays" if current else "there is none that works on the node"
            await self._switch(source, wanted, kept, node, standing=standing)
            proven = (wanted, *(each for each in proven if each != wanted))
        await asyncio.to_thread(kept.store.keep, {wanted, *proven[:2]})

    def _stands(self, found: _Looked, proven: tuple[str, ...]) -> bool:
        """Say whether what is there can stay until there is something better."""
        return not found.fault and (not proven or found.digest in proven)

    async def _put_back(self, kept: _Kept, proven: tuple[str, ...]) -> str | None:
        """Put back the newest good program of the store that runs; return its SHA-256, None where there is none."""
        for digest in proven or tuple(await asyncio.to_thread(kept.store.listed)):
            if not await asyncio.to_thread(kept.store.holds, digest):
                continue
            try:
                # It was proven when it came. Pods fail until it is there.
                await self._install(kept.store.path(digest), kept, proof.answers)
            except proof.UnprovenError as error:
                _LOG.warning("%s of the store (sha256 %s) is not put back: %s", kept.path, digest[:12], error)
                continue
            self.repaired += 1
            _LOG.warning("put %s back from the store (sha256 %s): what was there did not work", kept.path, digest[:12])
            return digest
        return None

    async def _switch(self, source: Path, wanted: str, kept: _Kept, node: places.Places, *, standing: str) -> None:
        """Prove the plugin of the image and put it in its place."""
        await asyncio.to_thread(kept.store.put, source, wanted)

        async def prove(candidate: Path) -> None:
            await self._prover.prove(candidate, node)

        try:
            await self._install(kept.store.path(wanted), kept, prove)
        except proof.UnprovenError as error:
            text = f"the program {places.PLUGIN} of this agent's image is not installed, {standing}: {error}"
            raise OSError(text) from error
        _LOG.info("installed %s (sha256 %s)", kept.path, wanted[:12])

    async def _install(self, source: Path, kept: _Kept, prove: Callable[[Path], Awaitable[None]]) -> None:
        def record(digest: str) -> None:
            kept.owned.record(kept.path, digest, manifest.MOORING)

        self._note(await binaries.install(source, kept.target, prove=prove, record=record))

    async def _look(self, path: Path, *, execute: bool = True) -> _Looked:
        """Return what a program is: it is read and executed where it changed, and now and then."""
        now = asyncio.get_running_loop().time()
        identity = await asyncio.to_thread(_identity, path)
        known = self._looked.get(path)
        if known is not None and known.identity == identity and not known.fault and now - known.at < READ_SECONDS:
            return known
        digest = await asyncio.to_thread(store.sha256, path)
        fault = ""
        if not await asyncio.to_thread(binaries.is_executable, path):
            fault = "it is not executable"
        elif execute:
            try:
                await proof.answers(path)
            except proof.UnprovenError as error:
                fault = str(error)
        looked = self._looked[path] = _Looked(identity, now, digest, fault)
        return looked

    def _note(self, digest: str | None) -> None:
        self.sha256.pop(places.PLUGIN, None)
        if digest:
            self.sha256[places.PLUGIN] = digest


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    """The plugin on a node: where the agent sees it, the node's own path, and what remembers it."""

    target: Path
    path: str
    owned: manifest.Manifest
    store: store.Store


def _plugin_of(owned: Mapping[str, manifest.Entry]) -> manifest.Entry | None:
    """Return the plugin's entry among those of a manifest; None where it has none."""
    ours = (entry for entry in owned.values() if entry.owner == manifest.MOORING)
    return next((entry for entry in ours if entry.path.rpartition("/")[2] == places.PLUGIN), None)


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what is another one as soon as anybody does anything to a file; None where there is none."""
    try:
        return networkfiles.identity(path.stat())
    except OSError:
        return None


def _remove_former(path: Path) -> None:
    """Remove the program that the plugin before this one executed. Call it when that plugin is gone."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    _LOG.info("removed %s, which the plugin no longer executes", path)
