"""Owns the threads in which the agent waits for the node's disks, and knows what is waited for; refuses to end a wait.

Nothing can end a thread that hangs in the kernel. So there are more threads than passes that could hang at the same
time, each pass waits in one at a time, and a pass that hangs is never begun a second time: what is left works on.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import itertools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Several times as many as there are reconcilers and watches. They are made when they are needed.
_MOST = 48

#: What the pass that runs now waits for in threads, by number; each reconciler's pass has one of its own.
WAITS: contextvars.ContextVar[dict[int, str]] = contextvars.ContextVar("WAITS")


class Threads(concurrent.futures.ThreadPoolExecutor):
    """The default executor of the agent's event loop."""

    def __init__(self, *, most: int = _MOST) -> None:
        super().__init__(max_workers=most, thread_name_prefix="waits")
        self._numbers = itertools.count()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Run a call in a thread, and note it as one that the pass waits for."""
        waits, number = WAITS.get(None), next(self._numbers)
        if waits is None:
            return super().submit(fn, *args, **kwargs)
        waits[number] = describe(fn, *args)
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: waits.pop(number, None))
        return future


def describe(call: Callable[..., Any], *args: Any) -> str:
    """Return a call as a person reads it, with the paths that it is about: `conffolder.read /host/etc/cni/net.d`."""
    while isinstance(call, functools.partial):
        args = (*call.args, *args)
        call = call.func
        # As asyncio.to_thread has it: the run of a context, and what runs in it.
        if isinstance(getattr(call, "__self__", None), contextvars.Context) and args:
            call, *rest = args
            args = tuple(rest)
    owner = getattr(call, "__self__", None)
    paths = [os.fspath(each) for each in (owner, *args) if isinstance(each, os.PathLike)]
    module = (getattr(call, "__module__", None) or "").rpartition(".")[2]
    name = getattr(call, "__qualname__", type(call).__qualname__).removeprefix("PosixPath.").replace(".<locals>", "")
    return " ".join([f"{module}.{name}" if module else name, *map(str, paths)])
