"""Owns the record of when this node's runtime ran us, across restarts: `<stateDir>/presence.json`.

What our conf and the runtime's word were is noted as they are found; a lapse is written down at once, and that we were
there is told by the file's time, renewed twice a minute. Refuses to judge a pod: that is `causes`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
import os
from typing import TYPE_CHECKING

from mooring.agent import causes, loops
from mooring.installing.podconditions import Reason
from mooring.node import files, places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mooring.agent.runtime import Verdict
    from mooring.node.conffolder import Folder

_LOG = logging.getLogger(__name__)

_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_CONF, _RUNTIME = "conf", "runtime"


class Presence(loops.Reconciler):
    """Keeps the record; `history` is None until it was read and the node's folder of confs was looked at once."""

    name = "presence"
    reason = "PresenceNotKept"
    period = 30.0
    fails_as = "warning"

    def __init__(
        self,
        *,
        folder: Callable[[], Path | None],
        verdict: Callable[[], Verdict],
        now: Callable[[], datetime.datetime],
        on_health: Callable[[], None],
    ) -> None:
        """`folder` returns the state folder as the agent sees it, `verdict` what the runtime said last."""
        super().__init__(on_health=on_health)
        self._folder = folder
        self._verdict = verdict
        self._now = now
        self._looks: list[tuple[causes.Standing, datetime.datetime]] = []
        """What the folder of confs showed since the last time, and when."""
        self._base: causes.History | None = None
        """The record without the lapses that may still last."""
        self._open: dict[str, causes.Lapse] = {}
        self._good_at: dict[str, datetime.datetime] = {}
        self._arriving = False
        """Whether our conf is on its way to this node for the first time."""
        self._kept: causes.History | None = None

    @property
    def history(self) -> causes.History | None:
        """What is on record now."""
        if self._base is None:
            return None
        lapses = causes.bounded([*self._base.lapses, *self._open.values()])
        return causes.History(installed=self._base.installed, lapses=lapses)

    def found(self, folder: Folder) -> None:
        """Take what the runtime's folder of confs is like, before anything in it is repaired."""
        look = causes.standing(folder.ours, folder.files)
        if len(self._looks) > 1 and self._looks[-1][0] == look:
            self._looks.pop()  # the same for longer
        self._looks.append((look, self._now()))
        self.wake()

    async def reconcile(self) -> float | None:
        """Take in what was seen, and write the record where it is another one."""
        folder = self._folder()
        if folder is None or not (self._looks or self._base):
            return None  # woken by the first look
        path = folder / places.PRESENCE
        if self._base is None:
            known, seen = await asyncio.to_thread(_read, path)
            self._begin(known, seen)
        looks, self._looks = self._looks, []
        for look, moment in looks:
            self._note(_CONF, look.reason, look.detail, moment)
        verdict, now = self._verdict(), self._now()
        if verdict.status != "Unknown":
            lost = verdict.reason == "RuntimeHasNotLoadedUs"
            self._note(_RUNTIME, Reason.NOT_LOADED if lost else None, verdict.message, now)
        for kind, lapse in self._open.items():
            self._open[kind] = dataclasses.replace(lapse, until=now + causes.SLACK)
        history = self.history
        if history is not None and not (history == self._kept and await asyncio.to_thread(_touch, path)):
            await asyncio.to_thread(files.write_atomically, path, causes.dump(history), mode=0o600)
            self._kept = history
        self.report(settled=True)
        return None

    def _begin(self, known: causes.History | None, seen: datetime.datetime | None) -> None:
        """Go on where the agent before us ended; nobody looked on since `seen`."""
        look, now = self._looks[0]
        self._good_at[_CONF] = self._good_at[_RUNTIME] = now
        if known is not None and seen is not None:
            detail = f"{look.detail} when one came back" if look.detail else "our conf was in place afterwards"
            away = f"no agent was there from {_text(seen)} to {_text(now)}, and {detail}"
            lapse = causes.Lapse(look.reason or Reason.UNKNOWN, seen - causes.SLACK, now + causes.SLACK, away)
            self._base = causes.History(installed=known.installed, lapses=causes.bounded([*known.lapses, lapse]))
        elif look.reason is Reason.CONF_AWAY:
            self._arriving = True
            self._base = causes.History(installed=now)
        else:
            # Our conf is from a time before there were records.
            detail = f"the record of this node begins at {_text(now)}, so why cannot be known"
            self._base = causes.History(lapses=(causes.Lapse(Reason.UNKNOWN, _NEVER, now, detail),))

    def _note(self, kind: str, reason: Reason | None, detail: str, moment: datetime.datetime) -> None:
        base = self._base or causes.History()
        if self._arriving and kind == _CONF:
            self._arriving = reason is not None
            self._good_at[kind] = moment
            self._base = dataclasses.replace(base, installed=moment)
            return
        last = self._open.get(kind)
        if last is not None and last.reason is not reason:
            ended = dataclasses.replace(last, until=moment + causes.SLACK)
            self._base = dataclasses.replace(base, lapses=causes.bounded([*base.lapses, ended]))
            del self._open[kind]
            last = None
        if reason is None:
            self._good_at[kind] = moment
        elif last is None:
            since = self._good_at.get(kind, moment) - causes.SLACK
            told = f"{detail} (seen at {_text(moment)})"
            self._open[kind] = causes.Lapse(reason, since, moment + causes.SLACK, told)


def _touch(path: Path) -> bool:
    """Renew the file's time; return whether it was there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _read(path: Path) -> tuple[causes.History | None, datetime.datetime | None]:
    """Return the record and when it was last true; a damaged one is none, and is logged. Raises `OSError`."""
    try:
        data = path.read_bytes()
        seen = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    except FileNotFoundError:
        return None, None
    try:
        return causes.parse(data), seen
    except causes.HistoryError as error:
        _LOG.warning("%s cannot be read and is begun anew: %s", path.name, error)
        # Known is only that there was one: nothing that it told is.
        lapse = causes.Lapse(
            Reason.UNKNOWN, _NEVER, seen, "the record of that time was damaged, so why cannot be known"
        )
        return causes.History(lapses=(lapse,)), seen


def _text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
