"""What the testbed needs of the machine: root, Linux, Debian packages, Go. Owns checking it
before anything is made. Refuses to install: `make bootstrap` does that, announced."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from testbed import failures

PACKAGES_FILE = Path(__file__).with_name("debian-packages.txt")


def listed_packages(text: str) -> list[str]:
    """Return the names in a package list: one on each line, `#` starts a comment."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def missing_packages() -> list[str]:
    """Return the declared Debian packages that are not installed ([] where there is no dpkg)."""
    if shutil.which("dpkg-query") is None:
        return []
    wanted = listed_packages(PACKAGES_FILE.read_text())
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def require_packages() -> None:
    """Raise Failure naming the Debian packages that are missing."""
    missing = missing_packages()
    if missing:
        raise failures.Failure(
            "these Debian packages are missing: " + " ".join(missing) + "\n  run `make packages`, or as root: "
            "apt-get install --no-install-recommends " + " ".join(missing)
        )


def require_go() -> None:
    """Raise Failure where there is no Go."""
    if shutil.which("go") is None:
        raise failures.Failure(
            "go is not in PATH: install the Go version that plugin/go.mod names (go.dev/dl), or newer"
        )


def require_root(what: str) -> None:
    """Raise Failure unless this process may make namespaces and mounts."""
    if os.geteuid() != 0:
        raise failures.Failure(f"{what} makes namespaces, mounts and links: run it as root (sudo)")
