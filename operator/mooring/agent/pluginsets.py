"""Owns that the programs of the revision's plugin sets are in the node's folder of CNI plugins, and no longer wanted
ones are not; refuses to touch what is somebody else's.

A pod of each set hands its programs over in a folder of the node, by checksum (`installing.deliveries`). What is ours
is in the manifest, recorded before it is written. What no set of the revision has any more goes when the conf is that
revision's too (`setremoval`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from typing import TYPE_CHECKING

from mooring.agent import loops, setplans, setremoval
from mooring.agent.setplans import Step, Wanted
from mooring.installing import deliveries
from mooring.kube import errors, resources
from mooring.node import manifest, setfiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from mooring.agent.revisions import Revision
    from mooring.node.places import Places

_LOG = logging.getLogger(__name__)

_WAITING_SECONDS = 1.0
_ASKING_SECONDS = 15.0
_REMEMBERED_SECONDS = 600.0
_PROMPT = 3
_LONGEST_SECONDS = 300.0


@dataclasses.dataclass(slots=True)
class _Outcome:
    problems: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    missing: list[Wanted] = dataclasses.field(default_factory=list)
    programs: dict[str, str] = dataclasses.field(default_factory=dict)
    wait: float | None = None

    def look_again(self, seconds: float) -> None:
        self.wait = seconds if self.wait is None else min(self.wait, seconds)


class PluginSets(loops.Reconciler):
    """Installs the programs of plugin sets. `applied` names the revision whose sets are on the node."""

    name = "pluginsets"
    reason = "PluginSetNotInstalled"
    period = 60.0

    def __init__(
        self,
        site: loops.Site,
        *,
        revision: Callable[[], Revision | None],
        conf_applied: Callable[[], str],
        primary: Callable[[], Collection[str]],
        on_applied: Callable[[], None],
        on_health: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`conf_applied` returns the name of the revision whose conf is on the node, `now` the time of files.

        `primary` returns the programs of the primary network that is pinned there.
        """
        super().__init__(on_health=on_health)
        self._site = site
        self._revision = revision
        self._conf_applied = conf_applied
        self._primary = primary
        self._on_applied = on_applied
        self._clock = clock
        self._now = now
        self._digests = setfiles.Digests()
        self._seen: set[str] = set()
        self._fights: dict[str, list[float]] = {}
        self._whys: dict[str, tuple[float, str]] = {}
        self.applied = ""
        self.programs: dict[str, str] = {}
        """The SHA-256 of each program that is on the node as a set has it."""
        self.put_back = 0
        """Programs that somebody else changed or removed and that were put back, since the agent started."""

    async def reconcile(self) -> float | None:
        """Install what is missing or another one, put back what was changed, remove what is no longer wanted."""
        revision = self._revision()
        if revision is None:
            # Of a node that is drained nothing is applied any more, should the drain be withdrawn.
            self.applied = ""
            self.programs = {}
            self._seen.clear()
            return None
        try:
            wanted = setplans.wanted(revision.plugin_sets, folder=revision.places.bin_dir)
        except (KeyError, TypeError, AttributeError) as error:
            raise OSError(f"The plugin sets of {revision.name} cannot be read: {error!r}") from error
        removing = self._conf_applied() == revision.name
        done = await asyncio.to_thread(self._put_right, revision.places, wanted, removing=removing)
        self.programs = done.programs
        problems = [*await self._waiting_for(done.missing), *done.problems]
        if not problems and self.applied != revision.name:
            self.applied = revision.name
            self._on_applied()
        self.report(settled=True if not problems else None, problem=" ".join(problems), warning=" ".join(done.warnings))
        return done.wait

    def _put_right(self, places: Places, wanted: Mapping[str, Wanted], *, removing: bool) -> _Outcome:
        done = _Outcome()
        owned = manifest.Manifest(places.seen(places.state_dir))
        entries = owned.owned()
        if wanted or setplans.superfluous(entries, wanted):
            setfiles.sweep(places.binaries)
        for each in wanted.values():
            # One that cannot be written does not keep the others away.
            try:
                self._put_one_right(places, each, owned, entries.get(each.path), done)
            except OSError as error:
                what = f"{each.path} of plugin set {each.plugin_set}"
                done.problems.append(f"{what} cannot be installed on node {self._site.node}: {error}.")
        if removing:
            done.warnings += setremoval.remove(
                places,
                owned,
                setplans.superfluous(entries, wanted),
                self._digests,
                node=self._site.node,
                primary=self._primary(),
            )
            setremoval.clear(places, {each.sha256 for each in wanted.values()}, now=self._now())
        self._digests.forget(places.seen(path) for path in wanted)
        return done

    def _put_one_right(
        self, places: Places, each: Wanted, owned: manifest.Manifest, entry: manifest.Entry | None, done: _Outcome
    ) -> None:
        target = places.seen(each.path)
        found = self._digests.find(target)
        step = setplans.step(each, found, entry)
        if step is Step.NOTHING:
            self._tell_fights(each, done)
            done.programs[each.name] = each.sha256
            self._seen.add(each.path)
            return
        if step is Step.REFUSE:
            done.problems.append(self._refusal(each, found))
            return
        taken = step is Step.PUT_BACK or (found.kind == "nothing" and each.path in self._seen)
        if taken and (wait := self._fought(each.path)):
            done.problems.append(
                f"Another program keeps changing or removing {each.path} of plugin set {each.plugin_set} on node "
                f"{self._site.node}; it is put back in {wait:.0f} s. Keep that program from it, or take "
                f"{each.name} out of the set."
            )
            done.look_again(wait)
            return
        source = places.seen(places.state_dir) / deliveries.HANDOVER / each.sha256
        if not source.is_file():
            done.missing.append(each)
            done.look_again(_WAITING_SECONDS)
            return
        kept = setremoval.kept(places, each.path)
        if each.overwrite and step in (Step.REPLACE, Step.PUT_BACK) and not os.path.lexists(kept):
            setfiles.set_aside(target, kept)
        owned.record(each.path, each.sha256, manifest.plugin_set(each.plugin_set))
        try:
            setfiles.install(source, target, each.sha256)
        except setfiles.MismatchError as error:
            # Its pod hands it over again; who wrote there is not known.
            source.unlink(missing_ok=True)
            raise OSError(f"what was handed over is damaged: {error}") from error
        except FileNotFoundError:
            done.missing.append(each)
            done.look_again(_WAITING_SECONDS)
            return
        done.programs[each.name] = each.sha256
        self._seen.add(each.path)
        _LOG.info("installed %s of plugin set %s (sha256 %s)", each.path, each.plugin_set, each.sha256[:12])
        if taken:
            self.put_back += 1
            self._fights.setdefault(each.path, []).append(self._clock())
            self._tell_fights(each, done)

    def _fought(self, path: str) -> float:
        """Return for how many seconds more a program stays away that somebody keeps taking."""
        times = [at for at in self._fights.get(path, ()) if self._clock() - at < _REMEMBERED_SECONDS]
        self._fights[path] = times
        if len(times) < _PROMPT:
            return 0.0
        pause: float = min(_LONGEST_SECONDS, 2.0 ** (len(times) - _PROMPT + 1))
        return max(0.0, times[-1] + pause - self._clock())

    def _tell_fights(self, each: Wanted, done: _Outcome) -> None:
        times = self._fights.get(each.path)
        if not times:
            return
        left = times[-1] + _REMEMBERED_SECONDS - self._clock()
        if left <= 0:
            del self._fights[each.path]
            return
        done.warnings.append(
            f"Another program changed or removed {each.path} of plugin set {each.plugin_set} on node "
            f"{self._site.node}; it was put back."
        )
        done.look_again(max(left, 1.0))

    def _refusal(self, each: Wanted, found: setfiles.Found) -> str:
        where = f"{each.path} on node {self._site.node}"
        if found.kind == "folder":
            return f"{where} is a folder, and plugin set {each.plugin_set} has a program of that name: remove it."
        if found.digest == each.sha256:
            return f"{where} is that of plugin set {each.plugin_set}, but not executable for everybody: chmod 0755."
        return (
            f"{where} is not that of plugin set {each.plugin_set}, and Mooring did not put it there: "
            "remove it, or say overwrite: true in the set."
        )

    async def _waiting_for(self, missing: Iterable[Wanted]) -> list[str]:
        by_set: dict[str, list[Wanted]] = {}
        for each in missing:
            by_set.setdefault(each.plugin_set, []).append(each)
        self._whys = {name: why for name, why in self._whys.items() if name in by_set}
        return [
            f"Plugin set {name} ({each[0].image}) is not whole on node {self._site.node}: "
            f"{', '.join(sorted(one.name for one in each))} not handed over. {await self._why(name)}"
            for name, each in by_set.items()
        ]

    async def _why(self, plugin_set: str) -> str:
        asked, why = self._whys.get(plugin_set, (None, ""))
        if asked is None or self._clock() - asked >= _ASKING_SECONDS:
            try:
                found = await self._site.client.list(
                    resources.PODS,
                    namespace=self._site.namespace,
                    label_selector=f"{deliveries.SET_LABEL}={plugin_set}",
                    field_selector=f"spec.nodeName={self._site.node}",
                )
                why = setplans.why_not_handed_over(found["items"], node=self._site.node)
            except errors.ApiError as error:
                why = f"Its pods cannot be listed: {error.message}."
            self._whys[plugin_set] = (self._clock(), why)
        return why
