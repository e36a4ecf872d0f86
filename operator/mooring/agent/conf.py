"""Owns `00-multus.conf` on the node: that it is there, whole, first, and pins the primary; refuses to remove it.

Several programs fight over the runtime's folder. While our conf is away pods start without their networks and nobody
says so, so it is put back at once; the one who took it is named; and only who keeps taking it makes us slower.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from mooring.agent import contests, loops, precedence
from mooring.installing import chains, confs
from mooring.node import binaries, conffolder, files

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.agent.revisions import Revision

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """The conf that is on the node: of which revision, its hash, the primary network and the auxiliary chain in it."""

    revision: str
    digest: str
    primary: confs.Primary
    auxiliary: dict[str, Any] | None = None
    file: str = confs.FILE
    """Its name: another one while a rival sorts before the usual one."""


class Conf(loops.Reconciler):
    """Keeps the conf as the revision and the primary network want it. `applied` is None until it is on the node."""

    name = "conf"
    reason = "ConfNotWritten"
    period = 60.0
    pause = loops.Pause(longest=5.0)  # a node without its conf is urgent

    def __init__(
        self,
        *,
        revision: Callable[[], Revision | None],
        installed: Callable[[], str],
        network: Callable[[str], str | None],
        on_applied: Callable[[], None],
        on_health: Callable[[], None],
        on_found: Callable[[conffolder.Folder], None] = lambda _: None,
    ) -> None:
        """`installed` returns the name of the revision whose binary is on the node, `network` a NAD's `spec.config`.

        `on_found` is told what the folder is like, at each look and before anything is repaired.
        """
        super().__init__(on_health=on_health)
        self._revision = revision
        self._installed = installed
        self._network = network
        self._on_applied = on_applied
        self._on_found = on_found
        self._target: Revision | None = None
        self._contests: dict[str, contests.Contest] = {}
        self._precedences: dict[str, precedence.Precedence] = {}
        self.applied: Applied | None = None
        self.rivals: tuple[str, ...] = ()
        """The files that the runtime would load before ours, had ours its usual name."""

    async def reconcile(self) -> float | None:
        """Compare the conf with what it should be, and write it where it differs."""
        target = await self._choose_target()
        if target is None:
            return None
        folder = target.places.confs
        await asyncio.to_thread(files.sweep, folder)
        found = await asyncio.to_thread(conffolder.read, folder, ours=confs.FILES, candidates=confs.candidates)
        self._on_found(found)
        choice, auxiliary = await self._choose(target, found)
        if choice.primary is None:
            self.report(problem=choice.problem)
            return None
        data = confs.render(
            choice.primary,
            bin_dir=target.places.bin_dir,
            state_dir=target.places.state_dir,
            kubeconfig=target.places.kubeconfig,
            plugin=target.plugin,
            auxiliary=auxiliary.conf,
        )
        place, calm = self._precedence(target).decide(found.files)
        self.rivals = place.rivals
        contest = self._contest(target, place.file)
        applied = Applied(
            revision=target.name,
            digest=conffolder.digest(data),
            primary=choice.primary,
            auxiliary=auxiliary.conf,
            file=place.file,
        )
        if found.ours.get(place.file) != data:
            # What we wrote and nobody but us has reason to change, was changed.
            if applied == self.applied and (wait := contest.lost(found.inodes, changed=place.file in found.ours)):
                self.report(warning=contest.reported)
                return wait
            await asyncio.to_thread(conffolder.write, folder, place.file, data)
            _LOG.info("wrote %s/%s: primary network %s", target.places.conf_dir, place.file, choice.primary.name)
        # Only now: at no moment the folder is without a conf of ours.
        for name in found.ours.keys() - {place.file}:
            await asyncio.to_thread(conffolder.remove, folder, name)
            _LOG.info("removed %s/%s: ours is %s", target.places.conf_dir, name, place.file)
        found = await asyncio.to_thread(conffolder.read, folder, ours=(), candidates=lambda _: [])
        contest.seen(found.inodes)
        if applied != self.applied:
            self.applied = applied
            self._on_applied()
        told = contest.reported
        beaten, rivals = precedence.report(place, target.places.conf_dir)
        self.report(
            settled=True,
            problem=beaten,
            warning=" ".join(filter(None, (choice.problem, auxiliary.problem, *choice.notes, rivals, told))),
        )
        waits = [wait for wait in (calm, contests.REMEMBERED if told else None) if wait is not None]
        return min(waits, default=None)

    def _precedence(self, target: Revision) -> precedence.Precedence:
        made = precedence.Precedence(clock=asyncio.get_running_loop().time)
        return self._precedences.setdefault(target.places.conf_dir, made)

    def _contest(self, target: Revision, file: str) -> contests.Contest:
        path = f"{target.places.conf_dir}/{file}"
        return self._contests.setdefault(path, contests.Contest(path, clock=asyncio.get_running_loop().time))

    async def _choose_target(self) -> Revision | None:
        """Return the newest revision whose binary is on the node: a conf never comes before its binary."""
        revision = self._revision()
        if revision is None:
            return None
        if self._target is None or self._target.name != revision.name:
            if self._installed() != revision.name and (self._target is not None or not await self._urgent(revision)):
                return self._target  # woken when the binary is there
            self._target = revision
        return self._target

    async def _urgent(self, revision: Revision) -> bool:
        """Say whether there is a plugin but no conf: pods start without their networks and nobody says so.

        A plugin reads the confs of the version before and after it, so the old one serves until it is replaced.
        """

        def reconcile() -> bool:
            if not binaries.is_executable(revision.places.plugin):
                return False
            found = conffolder.read(revision.places.confs, ours=confs.FILES, candidates=lambda _: [])
            return all(confs.pinned(data.decode(errors="replace")) is None for data in found.ours.values())

        return await asyncio.to_thread(reconcile)

    async def _choose(self, target: Revision, found: conffolder.Folder) -> tuple[confs.Choice, confs.Auxiliary]:
        """Return the primary network and the auxiliary chain; what was pinned until now is what they fall back on."""
        name = str(target.plugin.get(confs.AUXILIARY_NAME) or "")
        if self.applied is not None:
            pinned: confs.Primary | None = self.applied.primary
            chain = (
                self.applied.auxiliary if self.applied.auxiliary and self.applied.auxiliary["name"] == name else None
            )
        else:
            # In the runtime's order: the first is the one that pods were given.
            texts_of_ours = [found.ours[file].decode(errors="replace") for file in confs.FILES if file in found.ours]
            ours = next((text for text in texts_of_ours if confs.pinned(text)), "")
            pinned, chain = confs.pinned(ours), confs.pinned_auxiliary(ours, name)
        texts = dict(found.texts)
        if "/" in target.default_network:
            config = self._network(target.default_network)
            if config is not None:
                texts[target.default_network] = config

        def executable(program: str) -> bool:
            return binaries.is_executable(target.places.binaries / program)

        def choose() -> tuple[confs.Choice, confs.Auxiliary]:
            folder = target.places.confs
            choice = confs.choose(
                wanted=target.default_network,
                texts=texts,
                folders={each: conffolder.chain(folder / each) for each in chains.folders(found.texts)},
                pinned=pinned,
                executable=executable,
            )
            if not name:
                return choice, confs.Auxiliary()
            return choice, confs.auxiliary(name, conffolder.chain(folder / name), pinned=chain, executable=executable)

        return await asyncio.to_thread(choose)
