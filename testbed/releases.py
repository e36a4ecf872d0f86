"""Releases of before, out of this repository's own history: owns which one came before, its sources and its image.

The image is built by the release's own builder, out of its own Dockerfile. Refuses to take a release from anywhere
else: no registry has one.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

from testbed import cache, commands, failures

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """A version, and the full id of the commit that is it."""

    version: str
    commit: str


#: What is upgraded from. No tag says it: this is the last commit before the work on 0.2.0 began.
PREVIOUS = Release("0.1.0", "7f21202a4bca860494db3be8833988465c814897")


def source(release: Release) -> Path:
    """Return a folder with the files of a release, as git has them. Raises Failure where the history is cut off."""

    def make(folder: Path) -> None:
        known = commands.run(["git", "cat-file", "-t", release.commit], cwd=CHECKOUT, check=False).strip()
        if known != "commit":
            raise failures.Failure(
                f"this clone has no commit {release.commit}, which is {release.version}: git fetch --unshallow"
            )
        archive = folder / "archive.tar"
        commands.run(["git", "archive", f"--output={archive}", release.commit], cwd=CHECKOUT)
        commands.run(["tar", "--extract", f"--file={archive}", f"--directory={folder}"])
        archive.unlink()

    return cache.published("release", release.commit, make)


def image(release: Release) -> Path:
    """Return an OCI archive of a release's image, building it if needed. Raises Failure with what its builder said."""

    def make(folder: Path) -> None:
        top = source(release)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        # Its own modules, and not one file written among them.
        command = [sys.executable, "-B", "-m", "testbed", "image"]
        done = subprocess.run(
            command, cwd=top, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise failures.Failure(f"the image of {release.version} cannot be built: its builder's words are above")
        # The builder keeps the newest few archives only: this one is kept as long as its release.
        shutil.copyfile(done.stdout.splitlines()[-1], folder / "mooring.tar")

    return cache.published("release-image", release.commit, make) / "mooring.tar"
