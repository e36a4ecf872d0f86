"""Owns the life of a reconciler: when it looks, how it waits after a failure, how its state is told.

A reconciler compares what is with what should be and repairs the difference, for ever. It refuses to die of what
goes wrong: the failure is kept as its problem, logged once, and tried again after a pause that grows and is spread.

A pass has a deadline. What hangs in a thread (a file system that does not answer) cannot be ended, so a pass that is
over it is told of, with what it waits for, and is waited for: it is never begun a second time beside itself.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import contextvars
import dataclasses
import inspect
import logging
import random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mooring.agent import threads
from mooring.kube import errors
from mooring.kube.pauses import Pause
from mooring.metrics import histograms

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mooring.kube.client import Client

__all__ = ["EXPECTED", "Health", "Pause", "Reconciler", "Site"]

_LOG = logging.getLogger(__name__)

#: What the world does to us; anything else is a fault of ours and is logged with its trace.
EXPECTED = (OSError, errors.ApiError)
#: A pass that is so much over its deadline does not end by itself any more.
STUCK_SECONDS = 900.0
# How often what an overdue pass waits for is looked up.
_LOOK_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where an agent runs: its way to the API server, the name of its Node, and the operator's namespace."""

    client: Client
    node: str
    namespace: str


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """How a reconciler does, for the node's conditions."""

    settled: bool = False
    """It has been right once since the agent started."""
    problem: str = ""
    """Why the node is not as it should be: not Ready."""
    warning: str = ""
    """What a person should know although pods get their networks: Degraded."""


class Reconciler(abc.ABC):
    """One concern of the agent. `reconcile` does the work; `wake` asks for a look soon."""

    name: ClassVar[str]
    reason: ClassVar[str]
    """One word in CamelCase for conditions."""
    period: ClassVar[float] = 300.0
    """Seconds after which it looks although nobody asked."""
    pause: ClassVar[Pause] = Pause()
    fails_as: ClassVar[Literal["problem", "warning"]] = "problem"
    """What a failure is: a warning where pods get their networks without this one."""
    deadline: ClassVar[float] = 60.0
    """Seconds that a pass takes at most where nothing hangs."""

    def __init__(self, *, on_health: Callable[[], None]) -> None:
        self._on_health = on_health
        self._woken = asyncio.Event()
        self._health = Health()
        self._pass_began: float | None = None
        self.failures = 0
        """Passes that failed since the agent started."""
        self.durations = histograms.Histogram()
        """How long passes took, in seconds."""
        self.reconciling = False
        """Whether it is at work: what it does may have been decided before what is known now."""

    @property
    def health(self) -> Health:
        """How it does now."""
        return self._health

    @property
    def overdue(self) -> float:
        """For how many seconds the pass that runs now has been over its deadline; 0 where it is not."""
        if self._pass_began is None:
            return 0.0
        return max(asyncio.get_running_loop().time() - self._pass_began - self.deadline, 0.0)

    def wake(self) -> None:
        """Ask for a look; any number of times before it is one."""
        self._woken.set()

    @abc.abstractmethod
    async def reconcile(self) -> float | None:
        """Compare and repair; return seconds until the next look where that is before `period`.

        What it raises becomes its problem, or its warning by `fails_as`, and it looks again after a pause.
        """

    async def run(self) -> None:
        """Look until cancelled."""
        failures = 0
        while True:
            self._woken.clear()
            self.reconciling = True
            try:
                wait = await self._pass()
            except Exception as error:  # the reconciler must outlive whatever its work meets
                failures += 1
                self.failures += 1
                self._failed(error, failures)
                asked = error.retry_after if isinstance(error, errors.ApiError) else None
                wait = self.pause.after(failures, asked=asked)
                self.reconciling = False
                # Not cut short by a wake: what wakes us may be what we fail at.
                await asyncio.sleep(wait)
                continue
            self.reconciling = False
            failures = 0
            wait = self.period * random.uniform(0.9, 1) if wait is None else wait  # noqa: S311  no secret
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    async def _pass(self) -> float | None:
        """Reconcile once; tell of it while that takes longer than it may."""
        clock = asyncio.get_running_loop().time
        waits: dict[int, str] = {}
        context = contextvars.copy_context()
        context.run(threads.WAITS.set, waits)
        self._pass_began = clock()
        work = self.reconcile()
        task = asyncio.create_task(work, name=f"{self.name}: pass", context=context)
        before, told = self._health, None
        try:
            patience = self.deadline
            while not (await asyncio.wait({task}, timeout=patience))[0]:
                told = self._late(waits, work)
                patience = _LOOK_SECONDS
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            self.durations.observe(clock() - self._pass_began)
            self._pass_began = None
            if told is not None and self._health == told:  # it came to its end and had nothing else to report
                self.report(settled=before.settled, problem=before.problem, warning=before.warning)

    def _late(self, waits: dict[int, str], work: Coroutine[object, object, object]) -> Health:
        """Report what a pass that is over its deadline waits for.

        What hangs on the node is a failure; slow answers of the API server are nothing that makes a node not Ready.
        """
        if waits:
            what = f"{next(iter(waits.values()))} has not returned: the file system or the kernel there may hang"
        else:
            what = f"it waits in {_innermost(work)}"
        text = f"{self.name} has been at one pass for more than {self.deadline:.0f} s: {what}"
        if waits and self.fails_as == "problem":
            self.report(problem=text, warning=self._health.warning)
        else:
            self.report(problem=self._health.problem, warning=text)
        return self._health

    def report(self, *, settled: bool | None = None, problem: str = "", warning: str = "") -> None:
        """Set the health; who listens is told when it changed."""
        known = self._health.settled if settled is None else settled
        health = Health(settled=known, problem=problem, warning=warning)
        if health == self._health:
            return
        for level, text, before in (
            (logging.WARNING, problem, self._health.problem),
            (logging.WARNING, warning, self._health.warning),
        ):
            if text and text != before:
                _LOG.log(level, "%s: %s", self.name, text)
        if (self._health.problem or self._health.warning) and not (problem or warning):
            _LOG.info("%s: all is well again", self.name)
        self._health = health
        self._on_health()

    def _failed(self, error: Exception, failures: int) -> None:
        text = str(error) or type(error).__name__
        if not isinstance(error, EXPECTED):
            _LOG.error("%s: failed for the %d. time in a row", self.name, failures, exc_info=error)
            text = f"a fault in the agent: {type(error).__name__}: {text}"
        if self.fails_as == "warning":
            self.report(settled=True, warning=text)
        else:
            self.report(problem=text)


def _innermost(work: Coroutine[object, object, object]) -> str:
    """Return where a coroutine waits: the innermost function of ours, and its line."""
    place = "nothing of ours"
    inner: Any = work
    while inspect.iscoroutine(inner):
        frame = inner.cr_frame
        module = frame.f_globals.get("__name__", "") if frame else ""
        if frame is not None and module.startswith("mooring."):
            place = f"{module.removeprefix('mooring.')}.{inner.__name__} (line {frame.f_lineno})"
        inner = inner.cr_await
    return place
