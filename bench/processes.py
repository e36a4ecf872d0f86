"""Starting a program with as little around it as Python allows, and timing it to its end.

Every contender goes through here, so what starting costs is the same for all: posix_spawn (no copy
of this process), stdin from a pipe that is already full, stdout and stderr into memory files that
are read when the clock has stopped. Refuses to judge what a program answered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import select
import signal
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, TypeAlias

from testbed import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PATIENCE_SECONDS = 60.0
_PIPE_BYTES = 65536  # what a pipe holds unless it is told otherwise


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One program to run, with its whole environment and what it reads."""

    program: Path
    stdin: bytes
    environment: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: exit status (-signal), output, seconds on the clock and on the processors.

    `cpu` includes the programs that it started and waited for.
    """

    status: int
    stdout: bytes
    stderr: bytes
    wall: float
    cpu: float


# Commands, each given how the one before it ended.
Steps: TypeAlias = Generator[Command, Finished, None]


@dataclasses.dataclass(frozen=True, slots=True)
class Took:
    """Seconds that a contender's steps took together."""

    wall: float
    cpu: float


class _Running:
    """A program under way. Its files are closed by `end`."""

    def __init__(self, command: Command) -> None:
        read, write = os.pipe()
        if len(command.stdin) > _PIPE_BYTES:
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, len(command.stdin))
        os.write(write, command.stdin)
        os.close(write)
        self._stdin = read
        self._stdout, self._stderr = os.memfd_create("stdout"), os.memfd_create("stderr")
        actions = [
            (os.POSIX_SPAWN_DUP2, self._stdin, 0),
            (os.POSIX_SPAWN_DUP2, self._stdout, 1),
            (os.POSIX_SPAWN_DUP2, self._stderr, 2),
        ]
        words = [str(command.program)]
        # Python ignores this signal, and a program inherits that.
        restored = [signal.SIGPIPE]
        self.started = time.perf_counter()
        self.pid = os.posix_spawn(words[0], words, command.environment, file_actions=actions, setsigdef=restored)
        self.pidfd = os.pidfd_open(self.pid)

    def end(self) -> Finished:
        """Wait for the end and return it."""
        _, status, usage = os.wait4(self.pid, 0)
        wall = time.perf_counter() - self.started
        stdout, stderr = _content(self._stdout), _content(self._stderr)
        for descriptor in (self._stdin, self._stdout, self._stderr, self.pidfd):
            os.close(descriptor)
        cpu = usage.ru_utime + usage.ru_stime
        return Finished(os.waitstatus_to_exitcode(status), stdout, stderr, wall, cpu)

    def kill(self) -> None:
        """End it by force."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.end()


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def run(command: Command) -> Finished:
    """Run a program to its end. Raises Failure where it cannot be started or does not end."""
    try:
        running = _Running(command)
    except OSError as error:
        raise failures.Failure(f"{command.program} cannot be started: {error.strerror}") from error
    waiting = select.poll()
    waiting.register(running.pidfd, select.POLLIN)
    if not waiting.poll(PATIENCE_SECONDS * 1000):
        running.kill()
        raise failures.Failure(f"{command.program} did not end within {PATIENCE_SECONDS:.0f} s")
    return running.end()


def one_after_another(steps: Steps) -> Took:
    """Run steps in their order. What Python does between two of them does not count."""
    wall = cpu = 0.0
    answer: Finished | None = None
    with contextlib.suppress(StopIteration):
        while True:
            answer = run(next(steps) if answer is None else steps.send(answer))
            wall += answer.wall
            cpu += answer.cpu
    return Took(wall, cpu)


def all_at_once(pods: Sequence[Steps], *, watch: Callable[[Sequence[int]], None] | None = None) -> Took:
    """Run the steps of many pods at once, each pod's in their order.

    `watch` is called over and over with the process ids of the programs that run; it takes part in
    the time. `wall` is from the first start to the last end. Raises Failure as `run` does.
    """
    waiting = select.poll()
    under_way: dict[int, tuple[_Running, Steps]] = {}
    cpu = 0.0

    def start(command: Command, steps: Steps) -> None:
        running = _Running(command)
        under_way[running.pidfd] = running, steps
        waiting.register(running.pidfd, select.POLLIN)

    started = time.perf_counter()
    try:
        for steps in pods:
            start(next(steps), steps)
        while under_way:
            ended = waiting.poll(1 if watch else PATIENCE_SECONDS * 1000)
            if not ended and not watch:
                raise failures.Failure(f"{len(under_way)} programs did not end within {PATIENCE_SECONDS:.0f} s")
            for descriptor, _ in ended:
                waiting.unregister(descriptor)
                running, steps = under_way.pop(descriptor)
                finished = running.end()
                cpu += finished.cpu
                with contextlib.suppress(StopIteration):
                    start(steps.send(finished), steps)
            if watch:
                watch([running.pid for running, _ in under_way.values()])
    finally:
        for running, _ in under_way.values():
            running.kill()
    return Took(time.perf_counter() - started, cpu)
