"""The process that holds the webhook's socket, with real children."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.controller import holding

if TYPE_CHECKING:
    from collections.abc import Iterator

# A child that answers each connection with its process's id.
CHILD = """
import os, socket, sys
held = socket.socket(fileno=int(sys.argv[-1].partition("=")[2]))
while True:
    opened, _ = held.accept()
    opened.sendall(str(os.getpid()).encode())
    opened.close()
"""
PARENT = """
import sys
from mooring.controller import holding
sys.exit(holding.run([sys.executable, "-c", sys.argv[2]], port=int(sys.argv[1])))
"""


def free_port() -> int:
    with holding.listen(0, host="127.0.0.1") as opened:
        return int(opened.getsockname()[1])


@contextlib.contextmanager
def holder(child: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", PARENT, str(port), child], stderr=subprocess.PIPE) as started:
        try:
            yield started, port
        finally:
            started.kill()


def ask(port: int, parent: subprocess.Popen[bytes]) -> int:
    """Return the id of the process that answers; waits for the first listening, and never for a second one."""
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 10) as opened:
            return int(opened.recv(100))
        assert parent.poll() is None


def state(process: int) -> str:
    """Return the letter of a process's state; X where it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "X"


def test_a_killed_child_is_followed_by_another_and_no_connection_is_refused() -> None:
    with holder(CHILD) as (parent, port):
        first = ask(port, parent)
        os.kill(first, signal.SIGSTOP)
        while state(first) not in "Tt":
            os.sched_yield()
        # Nobody accepts now, and the connection waits.
        with socket.create_connection(("127.0.0.1", port), 10) as opened:
            os.kill(first, signal.SIGKILL)
            assert int(opened.recv(100)) != first
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(10) == 128 + signal.SIGTERM


def test_a_child_that_ends_by_itself_ends_the_holder_with_its_status() -> None:
    with holder("raise SystemExit(7)") as (parent, _):
        assert parent.wait(10) == 7


def test_a_child_that_is_killed_again_and_again_ends_the_holder() -> None:
    with holder("import os; os.kill(os.getpid(), 9)") as (parent, _):
        assert parent.wait(20) == 128 + signal.SIGKILL
        assert parent.stderr is not None
        said = parent.stderr.read().decode()
    assert said.count("starting it again") == 2
    assert "3 times within a minute" in said


def test_a_child_does_not_outlive_its_holder() -> None:
    with holder(CHILD) as (parent, port):
        child = ask(port, parent)
    deadline = time.monotonic() + 10
    while state(child) not in "ZX":
        assert time.monotonic() < deadline, "the child runs on"
        os.sched_yield()


def test_it_listens_for_both_families_where_there_are_both() -> None:
    with holding.listen(0) as opened, socket.create_connection(("127.0.0.1", opened.getsockname()[1]), 5):
        pass
