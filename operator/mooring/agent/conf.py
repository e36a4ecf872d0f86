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
from mooring.installing import chains, cniversions, confs, renderers
from mooring.node import binaries, conffolder, confrecords, files, manifest, places

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.agent.revisions import Revision

_LOG = logging.getLogger(__name__)

# Nothing tells that a file appears in a folder that may not be there yet.
_AWAITED_SECONDS = 5.0


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
        cni_version: Callable[[], str],
        on_applied: Callable[[], None],
        on_health: Callable[[], None],
        on_found: Callable[[conffolder.Folder], None] = lambda _: None,
        adopted: Callable[[], bool] = lambda: False,
    ) -> None:
        """`installed` returns the name of the revision whose binary is on the node, `network` a NAD's `spec.config`.

        `cni_version` returns the highest that the container runtime parses, "" while nobody knows its name.
        `on_found` is told what the folder is like, at each look and before anything is repaired. `adopted` says whether
        this node was taken over from a Multus, which may come back and write.
        """
        super().__init__(on_health=on_health)
        self._revision = revision
        self._installed = installed
        self._network = network
        self._cni_version = cni_version
        self._on_applied = on_applied
        self._on_found = on_found
        self._adopted = adopted
        self._target: Revision | None = None
        self._contests: dict[str, contests.Contest] = {}
        self._precedences: dict[str, precedence.Precedence] = {}
        self._records: dict[str, confrecords.Record] = {}
        self._kept: dict[str, bytes] | None = None
        self._uncertain = False
        """A change failed: what is there may not outlive a power cut, and is written again though it reads right."""
        self.applied: Applied | None = None
        self.rivals: tuple[str, ...] = ()
        """The files that the runtime would load before ours, had ours its usual name."""

    async def comes_first(self, revision: Revision) -> bool:
        """Say whether the conf of a revision is written before its plugin: on the way back to an older renderer.

        A plugin reads the confs of the renderers before its own, and not of those after it. Raises `OSError`.
        """
        return (await self._record(revision.places)).renderer > revision.renderer

    async def reconcile(self) -> float | None:
        """Compare the conf with what it should be, and write it where it differs."""
        revision, unknown = self._revision(), ""
        if revision is not None and not renderers.known(revision.renderer):
            unknown = (
                f"The revision {revision.name} wants its conf made by renderer {revision.renderer}, and this agent "
                f"knows renderers up to {renderers.NEWEST}: the conf on the node stays as it is. "
                "Update the agent's image"
            )
            if self._target is None:
                return await self._keep(revision, unknown)
        target = self._target if unknown else await self._choose_target(revision)
        if target is None:
            self.applied = None  # this node is drained, or was never ours, or the one before us wrote it
            return await self._guard(revision) if revision is not None else None
        folder = target.places.confs
        record = await self._record(target.places)
        await asyncio.to_thread(files.sweep, folder)
        found = await asyncio.to_thread(conffolder.look, folder)
        self._on_found(found)
        choice, auxiliary = await self._choose(target, found, record)
        if choice.primary is None or (not choice.works and _sound(found)):
            # What is there is no worse, and may be what the programs are where the paths were changed.
            self.report(problem=choice.problem, warning=" ".join(choice.notes))
            return None
        cni_version = self._cni_version() or record.cni_version or cniversions.UNKNOWN
        content = renderers.Content(
            choice.primary,
            bin_dir=target.places.bin_dir,
            state_dir=target.places.state_dir,
            kubeconfig=target.places.kubeconfig,
            plugin=target.plugin,
            auxiliary=auxiliary.conf,
            cni_version=cni_version,
        )
        data = renderers.render(target.renderer, content)
        place, calm = self._precedence(target).decide(found.files, beside_multus=self._beside_multus(found))
        self.rivals = place.rivals
        contest = self._contest(target, place.file)
        applied = Applied(
            revision=target.name,
            digest=conffolder.digest(data),
            primary=choice.primary,
            auxiliary=auxiliary.conf,
            file=place.file,
        )
        changed = found.ours.get(place.file) != data
        if changed or self._uncertain:
            # What we wrote and nobody but us has reason to change, was changed.
            if (
                changed
                and applied == self.applied
                and (wait := contest.lost(found.inodes, found=found.ours.get(place.file)))
            ):
                self.report(problem=f"{contest.reported} It keeps being taken, and is put back later each time")
                return wait
            await self._write(target, place.file, data)
            _LOG.info("wrote %s/%s: primary network %s", target.places.conf_dir, place.file, choice.primary.name)
        else:
            await self._own(target, place.file, data)
        await self._leave_no_other(target, found, place.file)
        wanted = target.default_network if choice.applied else record.default_network
        await self._remember(target, confrecords.Record(target.renderer, wanted, cni_version))
        found = await asyncio.to_thread(conffolder.read, folder, ours=(), candidates=lambda _: [])
        contest.seen(found.inodes)
        if applied != self.applied:
            self.applied = applied
            self._on_applied()
        told = contest.reported
        beaten, rivals = precedence.report(place, target.places.conf_dir)
        awaited = await asyncio.to_thread(_awaited, target)
        self.report(
            settled=True,
            problem=". ".join(filter(None, (unknown, choice.problem, beaten, awaited))),
            warning=" ".join(filter(None, (auxiliary.problem, *choice.notes, rivals, told))),
        )
        waits = (calm, contests.REMEMBERED if told else None, _AWAITED_SECONDS if awaited else None)
        return min((wait for wait in waits if wait is not None), default=None)

    async def _guard(self, revision: Revision) -> float | None:
        """Keep the conf that the agent before us wrote the first of the folder, while its successor waits."""
        folder = revision.places.confs
        found = await asyncio.to_thread(conffolder.look, folder)
        self._on_found(found)
        sound = _sound(found)
        place = confs.place(found.files, beside_multus=self._beside_multus(found))
        self.rivals = place.rivals
        # Its plugin is on the node, and reads just this: nothing newer is rendered.
        if sound and place.file != confs.FILE and place.file not in sound:
            await self._write(revision, place.file, next(iter(sound.values())))
            rivals = ", ".join((*place.rivals, *found.multus))
            _LOG.info("wrote %s/%s as ours was, before %s", revision.places.conf_dir, place.file, rivals)
            await self._leave_no_other(revision, found, place.file)
        beaten, rivals = precedence.report(place, revision.places.conf_dir)
        self.report(problem=beaten, warning=rivals)
        return None

    async def _keep(self, revision: Revision, problem: str) -> float | None:
        """Leave the conf that was there when we came as it is, and put that back where somebody takes it."""
        folder = revision.places.confs
        found = await asyncio.to_thread(conffolder.look, folder)
        if self._kept is None:
            self._kept = _sound(found)
        self.report(problem=problem)
        for name, data in self._kept.items():
            contest = self._contest(revision, name)
            if found.ours.get(name) == data:
                contest.seen(found.inodes)
            elif wait := contest.lost(found.inodes, found=found.ours.get(name)):
                self.report(problem=f"{problem}. {contest.reported}")
                return wait
            else:
                await asyncio.to_thread(conffolder.write, folder, name, data)
                _LOG.info("put %s/%s back as it was", revision.places.conf_dir, name)
        return None

    async def _write(self, target: Revision, name: str, data: bytes) -> None:
        try:
            await self._own(target, name, data)
        except OSError:
            # The list is for taking us away; without their conf pods start without their networks.
            await self._put(target, name, data)
            raise
        await self._put(target, name, data)

    async def _put(self, target: Revision, name: str, data: bytes) -> None:
        self._uncertain = True
        await asyncio.to_thread(conffolder.write, target.places.confs, name, data)
        self._uncertain = False

    async def _own(self, target: Revision, name: str, data: bytes) -> None:
        owned = manifest.Manifest(target.places.state)
        path = f"{target.places.conf_dir.rstrip('/')}/{name}"
        await asyncio.to_thread(owned.record, path, manifest.digest(data), manifest.MOORING)

    async def _leave_no_other(self, target: Revision, found: conffolder.Folder, file: str) -> None:
        """Remove ours by its other name, once `file` is there: at no moment the folder is without a conf of ours."""
        for name in found.ours.keys() - {file}:
            self._uncertain = True
            await asyncio.to_thread(conffolder.remove, target.places.confs, name)
            self._uncertain = False
            path = f"{target.places.conf_dir.rstrip('/')}/{name}"
            await asyncio.to_thread(manifest.Manifest(target.places.state).forget, path)
            _LOG.info("removed %s/%s: ours is %s", target.places.conf_dir, name, file)

    async def _record(self, node: places.Places) -> confrecords.Record:
        if node.state_dir not in self._records:
            self._records[node.state_dir] = await asyncio.to_thread(confrecords.read, node.state)
        return self._records[node.state_dir]

    async def _remember(self, target: Revision, record: confrecords.Record) -> None:
        if self._records.get(target.places.state_dir) != record:
            await asyncio.to_thread(confrecords.write, target.places.state, record)
            self._records[target.places.state_dir] = record

    def _precedence(self, target: Revision) -> precedence.Precedence:
        made = precedence.Precedence(clock=asyncio.get_running_loop().time)
        return self._precedences.setdefault(target.places.conf_dir, made)

    def _beside_multus(self, found: conffolder.Folder) -> bool:
        return bool(found.multus) or self._adopted()

    def _contest(self, target: Revision, file: str) -> contests.Contest:
        path = f"{target.places.conf_dir}/{file}"
        return self._contests.setdefault(path, contests.Contest(path, clock=asyncio.get_running_loop().time))

    async def _choose_target(self, revision: Revision | None) -> Revision | None:
        """Return the newest revision whose conf may be there: it comes after its plugin, on the way back before it."""
        if revision is None:
            self._target, self._kept = None, None
            self._records.clear()
            return None
        if self._target is None or self._target.name != revision.name:
            due = self._installed() == revision.name or await self.comes_first(revision)
            if not due and (self._target is not None or not await self._urgent(revision)):
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
            return not _sound(conffolder.look(revision.places.confs))

        return await asyncio.to_thread(reconcile)

    async def _choose(
        self, target: Revision, found: conffolder.Folder, record: confrecords.Record
    ) -> tuple[confs.Choice, confs.Auxiliary]:
        """Return the primary network and the auxiliary chain; what was pinned until now is what they fall back on."""
        name = str(target.plugin.get(confs.AUXILIARY_NAME) or "")
        if self.applied is not None:
            pinned: confs.Primary | None = self.applied.primary
            chain = (
                self.applied.auxiliary if self.applied.auxiliary and self.applied.auxiliary["name"] == name else None
            )
        else:
            # In the runtime's order: the first is the one that pods were given.
            ours = next((data.decode(errors="replace") for data in _sound(found).values()), "")
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
                chosen_for=record.default_network,
                bin_dir=target.places.bin_dir,
            )
            if not name:
                return choice, confs.Auxiliary()
            return choice, confs.auxiliary(name, conffolder.chain(folder / name), pinned=chain, executable=executable)

        return await asyncio.to_thread(choose)


def _awaited(target: Revision) -> str:
    """Return in a sentence that the default network is not ready, by the file that says so; "" where it is. Blocks.

    The plugin waits for it at each ADD, so pods that start before do not start without their network.
    """
    file = target.plugin.get("readinessindicatorfile")
    if not file or places.follow(target.places.host_root, str(file)).exists():
        return ""
    return (
        f"The default network is not ready: readinessIndicatorFile {file} is not there. Pods wait for it, "
        "and their start is tried again until it is"
    )


def _sound(found: conffolder.Folder) -> dict[str, bytes]:
    """Return those of our files that hold a primary network, in the runtime's order."""
    return {
        name: found.ours[name]
        for name in confs.FILES
        if name in found.ours and confs.pinned(found.ours[name].decode(errors="replace")) is not None
    }
