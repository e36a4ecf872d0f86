"""Requests of a command that has time: owns what is tried again, for how long, and telling why.

The commands run as hooks of the chart, whose Jobs begin once, so an API server that restarts or elects must not end
them. Refuses to go on after the command's time, and to take an answer for a passing one that `errors.passes` does not
know as such. The one exception is a 403 in the first 30 s: a binding that was made a moment before the command (the
hook's own) may not be known to every API server yet.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from mooring.kube import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")

EVERY = 1.0
_RIGHTS_SECONDS = 30.0


class Attempts:
    """What a command does within its time; to be made inside the event loop, whose clock counts.

    Attributes:
        until: when the time is up, by the event loop's clock.
    """

    def __init__(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self.until = now + seconds
        self._rights_until = now + _RIGHTS_SECONDS
        self._told = ""

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return asyncio.get_running_loop().time() >= self.until

    def tell(self, sentence: str) -> None:
        """Print a sentence that is not empty, unless it is the one that was told last."""
        if sentence and sentence != self._told:
            self._told = sentence
            print(sentence, flush=True)

    async def of(self, request: Callable[[], Awaitable[_T]], *, also: tuple[type[errors.ApiError], ...] = ()) -> _T:
        """Send a request, at least once, and again every second while its error may pass; return its answer.

        Args:
            request: sends it; called for each attempt.
            also: kinds of errors that may pass too where this request is concerned.

        Raises:
            errors.ApiError: the last error, where it does not pass or the time is up.
        """
        while True:
            try:
                return await request()
            except errors.ApiError as error:
                if self.over or not (isinstance(error, also) or self._may_pass(error)):
                    raise
                self.tell(f"{error}; trying again")
            await asyncio.sleep(EVERY)

    def _may_pass(self, error: errors.ApiError) -> bool:
        if isinstance(error, errors.Forbidden):
            return asyncio.get_running_loop().time() < self._rights_until
        return errors.passes(error)
