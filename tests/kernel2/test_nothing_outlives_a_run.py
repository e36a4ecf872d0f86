"""What a program may leave behind on the machine: files in the folder that it was given, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import failures
from testbed.kernel2 import places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(300)

BOTH = pytest.mark.parametrize("place", [places.directly, places.second])


@pytest.fixture
def mark() -> str:
    """A word that nobody else has in a command line."""
    return f"kernel2-{uuid.uuid4().hex}"


@BOTH
def test_status_and_output_of_the_program_come_back(place: places.Place, tmp_path: Path, mark: str) -> None:
    ran = place(["sh", "-c", 'echo "$0"; echo aside >&2; exit 3', mark], tmp_path, limit=120)
    assert ran.status == 3
    assert ran.output.read_text() == f"{mark}\naside\n"
    assert not list(_processes(mark))


@BOTH
def test_what_plugins_write_does_not_reach_the_machine(place: places.Place, tmp_path: Path, mark: str) -> None:
    folders = [Path(folder) for folder in ("/run/cni", "/var/lib/cni/networks", "/var/lib/mooring/attachments")]
    script = 'word=$1; shift; for f; do mkdir -p "$f"; echo x >"$f/$word"; done; ip netns add "$word"; ip netns'
    ran = place(["sh", "-ec", script, "sh", mark, *folders], tmp_path, limit=120)
    assert (ran.status, ran.output.read_text()) == (0, f"{mark}\n")
    assert [folder for folder in (*folders, Path("/run/netns")) if (folder / mark).exists()] == []


def test_the_second_kernel_cannot_write_to_the_disk_at_all(tmp_path: Path, mark: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    script = 'echo x >"$0/file"; echo x >"/etc/$1"; rm "$0/kept"; echo x >inside'
    (outside / "kept").touch()
    ran = places.second(["sh", "-ec", script, outside, mark], exchange, limit=120)
    assert ran.status == 0, ran.output.read_text()
    assert [file.name for file in outside.iterdir()] == ["kept"]
    assert not Path("/etc", mark).exists()
    assert (exchange / "inside").read_text() == "x\n"


# Another session, deaf to signals: what a daemon does to stay.
STAYS = "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; sleep 1000; :' \"$0\" & echo started; wait"


@pytest.mark.parametrize(("place", "limit"), [(places.directly, 1), (places.second, 6)])
def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(
    place: places.Place, limit: float, tmp_path: Path, mark: str
) -> None:
    with pytest.raises(failures.Failure, match="did not end within"):
        place(["sh", "-c", STAYS, mark], tmp_path, limit=limit)
    assert not list(_processes(mark))
    assert not list(_processes(str(tmp_path)))


def test_a_run_ends_with_the_process_that_wanted_it(tmp_path: Path, mark: str) -> None:
    code = (
        "import pathlib, sys; from testbed.kernel2 import places;"
        "places.directly(sys.argv[2:], pathlib.Path(sys.argv[1]), limit=100)"
    )
    command: list[str | Path] = [sys.executable, "-c", code, tmp_path, "sh", "-c", STAYS, mark]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as wanting:
        _until(lambda: (tmp_path / "output").exists() and "started" in (tmp_path / "output").read_text())
        wanting.kill()
    _until(lambda: not list(_processes(mark)))


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _processes(word: str) -> Iterator[int]:
    """Yield the processes that have a word in their command line; zombies have none."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                line = (process / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if word.encode() in line:
                yield int(process.name)
