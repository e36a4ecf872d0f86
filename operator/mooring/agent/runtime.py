"""Owns the proof that the container runtime runs us: its own word for the network that it has loaded.

A conf in the right place says only what the runtime should load. What the next pod gets is what it has loaded, so the
node is Ready only when that is ours. A runtime that does not tell (CRI-O, cri-dockerd), or that listens where nobody
looks for it, leaves the question open, and that is said. Refuses to repair what it finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING

from mooring.agent import loops
from mooring.installing import cniversions, confs
from mooring.node import cri

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mooring.installing import conditions
    from mooring.node import places

# A burst of changes in the folder is one question, and a runtime that has just been told to load may ask for a moment.
_PAUSE_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
# So many answers in a row make it a fact that the runtime does not run us: the first may come before it has loaded.
_CERTAIN = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the runtime has loaded us: a condition's status, reason and message, and what it said of itself."""

    status: conditions.Status
    reason: str
    message: str
    said: cri.Status | None = None


_CORRECT = "say so in the Installation's paths, or in the runtime's settings"
UNKNOWN = Verdict("Unknown", "NotAsked", "The container runtime was not asked yet")


def judge(
    said: cri.Status,
    *,
    conf_dir: str,
    file: str,
    bin_dir: str,
    same: Callable[[str, str], bool] = lambda one, other: one.rstrip("/") == other.rstrip("/"),
) -> Verdict:
    """Return what an answer of the runtime says.

    `conf_dir` and `bin_dir` are the node's own folders, `file` is the name of our conf, and `same` tells whether two
    paths of the node are one folder.
    """
    name = " ".join(filter(None, (said.runtime, said.version)))
    if said.networks is None:
        message = f"{name} does not tell which network it has loaded"
        return Verdict("Unknown", "RuntimeDoesNotTell", message, said)
    # Further ones are the pods' second interfaces where the runtime was told to load several.
    first = said.networks[0] if said.networks else None
    elsewhere = said.conf_dir != "" and not same(said.conf_dir, conf_dir)
    if first is not None and first.name == confs.NETWORK and confs.TYPE in first.plugins:
        # What an agent with other paths left there, perhaps: nobody keeps it.
        if elsewhere:
            message = f"{name} reads its confs from {said.conf_dir}, and ours is in {conf_dir}: {_CORRECT}"
            return Verdict("False", "RuntimeReadsElsewhere", message, said)
        if said.bin_dirs and not any(same(each, bin_dir) for each in said.bin_dirs):
            folders = " and ".join(said.bin_dirs)
            message = f"{name} looks for plugins in {folders}, and ours is in {bin_dir}: {_CORRECT}"
            return Verdict("False", "RuntimeLooksElsewhere", message, said)
        return Verdict("True", "RuntimeRunsUs", f"{name} has loaded {confs.NETWORK}", said)
    if first is None:
        message = f"{name} has loaded no network: no pod can start"
    else:
        message = f"{name} has loaded the network {first.name} ({', '.join(first.plugins)}) and not {confs.NETWORK}"
        message += ": pods start without their networks"
    message += f". It should load {conf_dir}/{file}"
    if elsewhere:
        message += f", but it reads {said.conf_dir}: {_CORRECT}"
    elif said.last_load not in ("", "OK"):
        message += f", and could not: {said.last_load}"
    return Verdict("False", "RuntimeHasNotLoadedUs", message, said)


class Runtime(loops.Reconciler):
    """Asks the runtime after each change of the conf folder, and now and then; `verdict` is what came of it."""

    name = "runtime"
    reason = "RuntimeUnproven"
    period = 60.0

    def __init__(
        self,
        *,
        ask: Callable[[], Awaitable[cri.Status]],
        conf: Callable[[], tuple[places.Places, str] | None],
        on_identified: Callable[[], None],
        on_health: Callable[[], None],
    ) -> None:
        """`conf` returns the node's folders and the name of our conf; None until that is there.

        `on_identified` is called when another runtime, or another version of it, answers than before.
        """
        super().__init__(on_health=on_health)
        self._on_identified = on_identified
        self._identity = ("", "")
        self._ask = ask
        self._conf = conf
        self._asked_at: float | None = None
        self._failures = 0
        self._woken_since = False
        self.verdict = UNKNOWN

    @property
    def cni_version(self) -> str:
        """The highest version of CNI that the runtime parses; "" before it has said its name once."""
        return cniversions.highest(*self._identity) if any(self._identity) else ""

    def wake(self) -> None:
        """Ask soon, and once more when the runtime has had a moment to load what changed."""
        self._woken_since = True
        super().wake()

    async def reconcile(self) -> float | None:
        """Ask, and judge the answer; after a bad one ask again, at longer and longer intervals."""
        conf = self._conf()
        if conf is None:
            self._set(UNKNOWN)
        clock = asyncio.get_running_loop().time
        if self._asked_at is not None and (wait := self._asked_at + _PAUSE_SECONDS - clock()) > 0:
            return wait
        self._asked_at = clock()
        if conf is None:
            with contextlib.suppress(cri.UnansweredError):  # told as soon as there is something to prove
                await self._answer()
            return None  # woken when it is there
        early, self._woken_since = self._woken_since, False
        verdict = await self._judged(*conf)
        if verdict.status != "False":
            self._failures = 0
            self._set(verdict)
            self.report(settled=True)
            return _PAUSE_SECONDS if early else None
        self._failures += 1
        if self._failures >= _CERTAIN:
            self._set(verdict)
            self.report(problem=verdict.message)
        return min(_LONGEST_SECONDS, _PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10))

    async def _judged(self, node: places.Places, file: str) -> Verdict:
        try:
            said = await self._answer()
            return await asyncio.to_thread(
                judge, said, conf_dir=node.conf_dir, file=file, bin_dir=node.bin_dir, same=node.same
            )
        except cri.NoSocketError as error:
            return Verdict("Unknown", "RuntimeNotFound", str(error))
        except cri.UnansweredError as error:
            return Verdict("False", "RuntimeDoesNotAnswer", str(error))

    async def _answer(self) -> cri.Status:
        said = await self._ask()
        identity = (said.runtime, said.version)
        if identity != self._identity:
            self._identity = identity
            self._on_identified()
        return said

    def _set(self, verdict: Verdict) -> None:
        if verdict != self.verdict:
            self.verdict = verdict
            self._on_health()
