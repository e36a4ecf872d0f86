"""Owns that the meta-plugin on the node is the one of the revision; refuses a binary that did not prove itself.

The old one stays until the new one has answered, and stays when it does not: pods go on as before, the node says so.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mooring.agent import loops
from mooring.node import binaries, files

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
        """`image` is the agent's own ("" where unknown), `applied_before` the revision that was on the node."""
        super().__init__(on_health=on_health)
        self._source = source
        self._revision = revision
        self._image = image
        self._applied_before = applied_before
        self._on_applied = on_applied
        self.applied = ""
        self.sha256 = ""
        """Of the plugin that is on the node; "" where there is none."""

    async def look(self) -> float | None:
        """Install the plugin where it is missing or another one."""
        revision = self._revision()
        if revision is None:
            return None
        target = revision.places.plugin
        wanted = await asyncio.to_thread(binaries.sha256, self._source)
        if wanted is None:
            raise FileNotFoundError(f"this image has no plugin at {self._source}: it was built wrong")
        found = await asyncio.to_thread(binaries.sha256, target)
        self.sha256 = found or ""
        executable = await asyncio.to_thread(binaries.is_executable, target)
        ours = self._image() in ("", revision.image)
        if (ours and found != wanted) or not executable:
            await self._install(target, standing="the old one stays" if executable else "there is none on the node")
        if not ours and self._applied_before() != revision.name:
            self.tell(problem=f"The revision {revision.name} waits for the agent of {revision.image}")
            return None
        # An agent that is newer than its revision leaves the plugin alone: the DaemonSet is rolled first, and the
        # plugin changes when the leader gives this node the revision of the new image.
        if self.applied != revision.name:
            self.applied = revision.name
            self._on_applied()
        self.tell(settled=True)
        return None

    async def _install(self, target: Path, *, standing: str) -> None:
        await asyncio.to_thread(files.sweep, target.parent)
        try:
            self.sha256 = await binaries.install(self._source, target)
        except binaries.UnprovenError as error:
            raise OSError(f"the plugin of this agent's image is not installed, {standing}: {error}") from error
        _LOG.info("installed %s (sha256 %s)", target, self.sha256[:12])
