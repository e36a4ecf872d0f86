"""A program that is asked something is waited for, and no longer than its deadline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mooring.node import programs

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_program_gets_its_input_and_environment_and_what_it_says_is_returned() -> None:
    script = 'read line; echo "$line $NAME"; echo oops >&2; exit 3'
    ended = await programs.ask("/bin/sh", "-c", script, stdin=b"hello\n", env={"NAME": "world"}, seconds=30)
    assert ended == programs.Ended(3, b"hello world\n", b"oops\n")


async def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    os.mkfifo(told)
    reading = os.open(told, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(TimeoutError):
            await programs.ask("/bin/sh", "-c", f"echo $$ >{told}; exec sleep 600", env={}, seconds=1)
        pid = int(os.read(reading, 100))
    finally:
        os.close(reading)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await programs.ask(str(tmp_path / "absent"), env={}, seconds=1)
