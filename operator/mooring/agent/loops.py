"""Owns the life of a reconciler: when it looks, how it waits after a failure, how its state is told.

A reconciler compares what is with what should be and repairs the difference, for ever. It refuses to die of what
goes wrong: the failure is kept as its problem, logged once, and tried again after a pause that grows and is spread.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import dataclasses
import logging
import random
from typing import TYPE_CHECKING, ClassVar, Literal

from mooring.kube import errors
from mooring.kube.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.kube.client import Client

__all__ = ["EXPECTED", "Health", "Pause", "Reconciler", "Site"]

_LOG = logging.getLogger(__name__)

#: What the world does to us; anything else is a fault of ours and is logged with its trace.
EXPECTED = (OSError, errors.ApiError)


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

    def __init__(self, *, on_health: Callable[[], None]) -> None:
        self._on_health = on_health
        self._woken = asyncio.Event()
        self._health = Health()
        self.reconciling = False
        """Whether it is at work: what it does may have been decided before what is known now."""

    @property
    def health(self) -> Health:
        """How it does now."""
        return self._health

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
                wait = await self.reconcile()
            except Exception as error:  # the reconciler must outlive whatever its work meets
                failures += 1
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
