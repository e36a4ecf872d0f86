"""Running a program to its end. Owns turning its failure into one that names the program and
shows what it said. Refuses shells: arguments are lists."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from testbed import failures, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def run(
    arguments: Sequence[str | Path],
    *,
    stdin: str = "",
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> str:
    """Run a program and return its stdout.

    `environment` is added to this process's own. Raises Failure when the program is missing,
    or when it fails and `check` is set.
    """
    words = [str(argument) for argument in arguments]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise failures.Failure(
            f"{error.filename} is missing: testbed/debian-packages.txt lists what to install"
        ) from error
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise failures.Failure(f"{' '.join(words[:12])} failed with status {done.returncode}: {said}")
    return done.stdout


def run_logged(
    arguments: Sequence[str | Path],
    *,
    what: str,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a long program with its output in `log`, telling every 15 s that it still runs.

    Raises Failure with the end of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
        )
        try:
            progress.waiting(what, lambda: process.poll() is not None)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        raise failures.with_log(f"{what} failed with status {process.returncode}", log)
