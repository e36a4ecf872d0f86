"""Owns how a program is asked something: what it gets, what it says, and its end at a deadline; refuses to read that.

What must outlive us is not for here: `mooring.node.namespaces.Runner` starts that.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended and what it said."""

    status: int
    stdout: bytes
    stderr: bytes


async def ask(
    *command: str, stdin: bytes = b"", env: Mapping[str, str], seconds: float, pass_fds: Collection[int] = ()
) -> Ended:
    """Run a program to its end and return what it said. It is killed when it runs longer than `seconds`.

    Raises `TimeoutError` then, and other `OSError` where it cannot be executed.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        pass_fds=tuple(pass_fds),
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Ended(process.returncode or 0, out, err)
