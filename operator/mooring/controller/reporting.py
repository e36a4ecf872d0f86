"""What is said of the Installation: owns its status and the events on it; refuses to decide anything.

The status is written only where it differs, and only onto the Installation that the pass has seen: whoever wrote in
between knew more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mooring.controller import keys, measuring
from mooring.installing import summaries
from mooring.installing.installations import API_VERSION
from mooring.installing.summaries import Problem
from mooring.kube import resources

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable

    import pydantic

    from mooring.controller.fencing import Writer
    from mooring.controller.passes import Pass
    from mooring.installing.announcements import Announcement
    from mooring.installing.installations import MultusStatus
    from mooring.kube.events import Recorder

_LOG = logging.getLogger(__name__)


class Report:
    """Says what passes found out, while this replica leads."""

    def __init__(self, writer: Writer, *, recorder: Recorder, now: Callable[[], datetime.datetime]) -> None:
        self._writer = writer
        self._recorder = recorder
        self._now = now
        self.last: measuring.Reported | None = None
        """What was said last, None where there is no Installation."""

    async def announce(self, installation: dict[str, Any], each: Announcement) -> None:
        """Write an event on the Installation."""
        once = each.once and f"{installation['metadata']['uid']}/{each.once}"
        await self._recorder.event(
            {"apiVersion": API_VERSION, "kind": resources.INSTALLATIONS.kind, "metadata": installation["metadata"]},
            kind=each.kind,
            reason=each.reason,
            note=each.note,
            action=each.action,
            once=once,
        )

    async def report(
        self, done: Pass, *, agents_ready: int, further: Iterable[Problem], multus: MultusStatus | None
    ) -> None:
        """Bring the Installation's status in line with what a pass found out.

        Args:
            done: the pass; its copy of the Installation gets the status and version that were written.
            agents_ready: how many agents answer their probes.
            further: what is wrong elsewhere in the operator.
            multus: what is known of a Multus.

        Raises:
            errors.ApiError: it could not be written; a Conflict where somebody else wrote meanwhile.
            fencing.Deposed: another replica leads by now.
        """
        decision, installation = done.decision, done.installation
        picture = summaries.Picture(
            revision=done.revision,
            nodes=done.nodes,
            phases=decision.phases if decision else {},
            rollout=decision.status if decision else done.before,
            agents_ready=agents_ready,
            problems=[*done.problems, *further],
            paused=bool(done.spec and done.spec.rollout.paused),
            multus=multus,
            removing=done.removing,
        )
        metadata, before = installation["metadata"], installation.get("status") or {}
        summary = summaries.summarise(
            picture, before=before.get("conditions") or [], generation=metadata["generation"], now=self._now()
        )
        self.last = measuring.Reported(summary, picture.phases)
        status = summary.to_wire()
        if status == before:
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": resources.INSTALLATIONS.kind,
            "metadata": {
                "name": keys.INSTALLATION_NAME,
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "status": status,
        }
        written = await self._writer.apply(
            resources.INSTALLATIONS, body, field_manager=keys.FIELD_MANAGER, subresource="status"
        )
        metadata["resourceVersion"] = written["metadata"]["resourceVersion"]
        installation["status"] = status


def invalid(error: pydantic.ValidationError) -> Problem:
    """Return what is wrong with a spec that cannot be used, all of it at once."""
    wrong = "; ".join(f"spec.{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors())
    _LOG.warning("The Installation cannot be used: %s", wrong)
    return Problem("InvalidSpec", f"{wrong}. The nodes go on with what they have.")
