"""Owns what is told of a Multus on this node, and that its confs go once it is kept from the node.

A conf that outlives its Multus would be what the runtime loads when ours goes one day: its kubeconfig is dead then, and
no pod would start. It goes only after the operator has kept Multus from the node (`NodeState.spec.adopted`), while ours
is the one that the runtime has. A Multus that comes back writes it anew. Refuses to touch its scratch files.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mooring.agent import loops
from mooring.node import multus

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.agent.conf import Applied
    from mooring.agent.runtime import Verdict
    from mooring.node import places


class Adoption(loops.Reconciler):
    """Looks after each change in the folder of confs; `found` is what came of it."""

    name = "adoption"
    reason = "MultusNotCleared"
    period = 60.0
    fails_as = "warning"

    def __init__(
        self,
        *,
        folders: Callable[[], places.Places],
        adopted: Callable[[], bool],
        applied: Callable[[], Applied | None],
        verdict: Callable[[], Verdict],
        on_health: Callable[[], None],
    ) -> None:
        """`folders` are the node's, the usual ones where no revision names any yet; `applied` is our conf.

        `applied` is None while the node is drained, or has none of ours.
        """
        super().__init__(on_health=on_health)
        self._health = loops.Health(settled=True)  # pods get their networks whatever we find
        self._folders = folders
        self._adopted = adopted
        self._applied = applied
        self._verdict = verdict
        self.found = multus.Found()

    async def reconcile(self) -> float | None:
        """Look, and clear away what may go."""
        node = self._folders()
        found = await asyncio.to_thread(multus.look, node)
        applied = self._applied()
        # One that sorts before ours is what the runtime has.
        first = (
            applied is not None and self._verdict().status != "False" and applied.file < min(found.confs, default="")
        )
        if first and self._adopted():
            await asyncio.to_thread(multus.remove, node, found.confs)
            found = await asyncio.to_thread(multus.look, node)
        self.report(settled=True)
        if found != self.found:
            self.found = found
            self._on_health()
        return None
