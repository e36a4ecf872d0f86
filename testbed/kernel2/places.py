"""Where a program runs that needs certain link types: on this machine's kernel where that has all of them, else in
the second kernel. Owns starting, the time limit and ending it; in both places nothing it makes outlives it:
it has process, mount and network namespaces of its own, and leaves files in one folder only."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from testbed import failures, machine, processes

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNEL = Path("/usr/bin/linux.uml")
MODULES = Path("/usr/lib/uml/modules")
INIT = Path(__file__).with_name("init")
# Whatever the program starts is alone in a process namespace, which ends with `unshare`, which ends with us.
_UNSHARE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL")
# On the machine's own kernel: what plugins keep in these folders is the machine's, so they get others.
_SCRATCH = """mount -t tmpfs scratch /run
mkdir /run/netns /run/upper /run/work
mount -t overlay scratch -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work /var/lib
for folder in /var/lib/cni /var/lib/mooring; do rm -rf "$folder"; done
ip link set lo up
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended: `output` is what it printed, `console` what the kernel said, `seconds` all it took."""

    where: str
    status: int
    output: Path
    console: Path
    seconds: float


class Place(Protocol):
    """A kernel to run a program on."""

    def __call__(self, program: Sequence[str | Path], exchange: Path, *, limit: float) -> Ran:
        """Run it; see `directly` and `second`."""


def directly(program: Sequence[str | Path], exchange: Path, *, limit: float) -> Ran:
    """Run a program on this machine's kernel; raises Failure when it does not end within `limit` seconds."""
    _write_program(program, exchange, before=_SCRATCH)
    own = [*_UNSHARE, "--mount", "--net", "--propagation", "private", "--mount-proc"]
    shell = 'cd "$1"; status=0; sh program >output 2>&1 || status=$?; echo "$status" >status'
    return _ran(
        [*own, "sh", "-c", shell, "sh", str(exchange)],
        exchange,
        where=here(),
        limit=limit,
    )


def here() -> str:
    """Return this machine's kernel as a person says it."""
    return f"this machine's kernel {platform.release()}"


def second(program: Sequence[str | Path], exchange: Path, *, limit: float) -> Ran:
    """Boot the second kernel, run a program in it and power it off.

    The program sees the machine's files, may write anywhere, and what it writes is lost but for the folder `exchange`.
    Raises Failure where the kernel is not installed, does not boot, or does not end within `limit` seconds.
    """
    for needed in (KERNEL, MODULES):
        if not needed.exists():
            raise failures.Failure(f"{needed} is missing: run `make packages` (Debian package user-mode-linux, amd64)")
    _write_program(program, exchange)
    # The kernel keeps its pid and a socket in a folder; a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="uml-") as own:
        arguments = kernel_arguments(exchange=exchange, own=Path(own))
        return _ran([*_UNSHARE, str(KERNEL), *arguments], exchange, where=f"the second kernel {release()}", limit=limit)


def release() -> str:
    """Return the second kernel's version, as its modules' folder says."""
    return ", ".join(sorted(folder.name for folder in MODULES.iterdir()))


def kernel_arguments(*, exchange: Path, own: Path) -> list[str]:
    """Return the kernel's command line; names that the kernel does not know reach the environment of init.

    Raises Failure for a path that cannot stand there.
    """
    for path in (exchange, INIT):
        if any(character in str(path) for character in ' \t\n",\\'):
            raise failures.Failure(f"{path}: blanks, commas, quotes and backslashes cannot be told to a kernel")
    return [
        "mem=1G",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        f"init={INIT}",
        f"exchange={exchange}",
        f"uml_dir={own}/",
        "con=null",
        "con0=fd:0,fd:1",
        "quiet",
        "panic=1",
    ]


def _write_program(program: Sequence[str | Path], exchange: Path, *, before: str = "") -> None:
    machine.require_root("a kernel's test")
    words = shlex.join(str(word) for word in program)
    (exchange / "program").write_text(f"set -eu\n{before}exec {words}\n")
    (exchange / "status").unlink(missing_ok=True)


def _ran(command: list[str], exchange: Path, *, where: str, limit: float) -> Ran:
    console, status, output = exchange / "console", exchange / "status", exchange / "output"
    started = time.monotonic()
    with console.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            shown = output if output.exists() else console
            raise failures.with_log(f"{where} did not end within {limit:.0f} s", shown) from None
        finally:
            _end(process)
    if not status.exists():
        raise failures.with_log(f"{where} ended before the program did", console)
    return Ran(where, int(status.read_text()), output, console, time.monotonic() - started)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the first process of the namespace, and with it all of them, so that its parent can reap it and end too."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        found = [processes.identify(int(child)) for child in children.read_text().split()]
        processes.end([child for child in found if child], grace=0)
    try:
        process.wait(timeout=10)
    finally:
        process.kill()
        process.wait()
