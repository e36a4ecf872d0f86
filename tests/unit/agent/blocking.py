"""Catches the agent when it touches a file in its event loop: a file system that hangs would stop all of it.

Python tells an audit hook of every file that is opened, listed, made and removed; `stat` it does not tell, so that is
wrapped. What counts is who asked: a test may touch files as it likes, code of `mooring` only in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVENTS = frozenset(
    {
        "open",
        *(f"os.{call}" for call in ("listdir", "scandir", "mkdir", "rmdir", "rename", "remove", "link", "symlink")),
        *(f"os.{call}" for call in ("chmod", "truncate", "utime")),
    }
)
# Memory that looks like files, and never waits for a disk.
_NO_DISK = ("/proc/", "/sys/", "/dev/")
# What loads code, and what looks at it to run tests.
_TOOLS = frozenset({"importlib", "hypothesis", "looptime", "pytest", "_pytest", "linecache", "inspect"})
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
#: How tests call what they put in the place of `asyncio.to_thread` where threads would bring chance into them.
STANDS_FOR_A_THREAD = "at_once"
_found: list[str] | None = None


def _note(what: str, path: object) -> None:
    if _found is None or asyncio._get_running_loop() is None or not isinstance(path, str | os.PathLike):
        return
    name = os.fspath(path)
    # Code that is loaded, or shown in a trace, is no file of the node.
    if not isinstance(name, str) or name.startswith(_NO_DISK) or name.endswith((".py", ".pyc")):
        return
    asked, awaited = "", False
    frame = sys._getframe(1).f_back  # that is who told us; what is asked is who touched the file
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] in _TOOLS:
            return
        if module.startswith("mooring."):
            asked = asked or f"{what} {name} in {module}.{frame.f_code.co_name}, line {frame.f_lineno}"
            awaited = awaited or bool(frame.f_code.co_flags & _COROUTINE)
        elif module.startswith("tests."):
            # A test that calls a plain function itself knows that it waits; one that stands for a thread is none.
            if not awaited or frame.f_code.co_name == STANDS_FOR_A_THREAD:
                return
            break
        frame = frame.f_back
    if asked:
        _found.append(asked)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _found is not None and event in _EVENTS and args:
        _note(event, args[0])


sys.addaudithook(_hook)


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Yield the list of what is touched in an event loop from now on."""
    global _found
    real = {name: getattr(os, name) for name in ("stat", "lstat")}

    def wrapped(name: str) -> Any:
        def call(path: Any, *args: Any, **more: Any) -> Any:
            _note(f"os.{name}", path)
            return real[name](path, *args, **more)

        return call

    _found = []
    try:
        for name in real:
            setattr(os, name, wrapped(name))
        yield _found
    finally:
        for name, function in real.items():
            setattr(os, name, function)
        _found = None
