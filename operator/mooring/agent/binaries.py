"""Owns that the plugin on the node is the revision's; refuses one that did not prove itself.

The old one stays until the new one has answered, and stays when it does not: pods go on as before, the node says so.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mooring.agent import loops
from mooring.node import binaries, files, places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mooring.agent.revisions import Revision

_LOG = logging.getLogger(__name__)


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
        revision: Callable[[], Revision | None],
        image: Callable[[], str | None],
        applied_before: Callable[[], str],
        on_applied: Callable[[], None],
        on_health: Callable[[], None],
    ) -> None:
        """`source` is the image's folder that holds the plugin.

        `image` is the agent's own ("" where unknown), `applied_before` the revision that was on the node.
        """
        super().__init__(on_health=on_health)
        self._source = source
        self._revision = revision
        self._image = image
        self._applied_before = applied_before
        self._on_applied = on_applied
        self.applied = ""
        self.sha256: dict[str, str] = {}
        """Of each program that is on the node."""

    async def reconcile(self) -> float | None:
        """Install the plugin where it is missing or another one."""
        revision = self._revision()
        if revision is None:
            return None
        ours = self._image() in ("", revision.image)
        await self._put_right(self._source / places.PLUGIN, revision.places.plugin, ours=ours)
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

    async def _put_right(self, source: Path, target: Path, *, ours: bool) -> None:
        wanted = await asyncio.to_thread(binaries.sha256, source)
        if wanted is None:
            raise FileNotFoundError(f"this image has no plugin at {source}: it was built wrong")
        found = await asyncio.to_thread(binaries.sha256, target)
        self._note(target.name, found)
        executable = await asyncio.to_thread(binaries.is_executable, target)
        if (not ours or found == wanted) and executable:
            return
        await asyncio.to_thread(files.sweep, target.parent)
        try:
            self._note(target.name, await binaries.install(source, target))
        except binaries.UnprovenError as error:
            standing = "the old one stays" if executable else "there is none on the node"
            text = f"the program {target.name} of this agent's image is not installed, {standing}: {error}"
            raise OSError(text) from error
        _LOG.info("installed %s (sha256 %s)", target, self.sha256[target.name][:12])

    def _note(self, name: str, digest: str | None) -> None:
        self.sha256.pop(name, None)
        if digest:
            self.sha256[name] = digest


def _remove_former(path: Path) -> None:
    """Remove the program that the plugin before this one executed. Call it when that plugin is gone."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    _LOG.info("removed %s, which the plugin no longer executes", path)
