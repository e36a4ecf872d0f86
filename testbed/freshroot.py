"""Proves the list of what has to be installed: owns `make bootstrap-check`.

A fresh Debian root is made, this checkout is copied in, and `make bootstrap lint test-unit` runs there. Of this
machine only Go and Python are mounted in, read-only, with the shared libraries that Python itself is linked
against. Caches of downloads and of compiled packages are shared, because they hold nothing that was not asked
for; so is the way out of the machine (name servers, package sources, certificate bundle, proxy variables).
Refuses to reuse a root: each run works in an overlay of its own, which goes when it ends.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testbed import cache

CHECKOUT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
STEPS = ("make bootstrap", "make lint", "make test-unit")
# What tells programs how to leave this machine; never a credential.
PASSED_ON = re.compile(
    r"^(https?_proxy|no_proxy|GOPROXY|GOFLAGS|GONOSUMDB|GOSUMDB|PIP_(?!CERT|CACHE).*)$", re.IGNORECASE
)


def say(started: float, text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"[{time.monotonic() - started:6.1f}s] {text}", flush=True)


def pristine_root(python_prefix: Path) -> Path:
    """Return a minimal Debian root with make; made once, never written again."""
    packages = ["make"]
    if python_prefix == Path("/usr"):  # Python comes from Debian: it cannot be mounted without the rest of /usr
        packages += ["python3", "python3-venv"]
    root = cache.root() / f"fresh-root-{SUITE}-{'-'.join(packages)}"
    if not (root / "etc/debian_version").exists():
        making = Path(f"{root}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE, str(making)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"bootstrap-check: debootstrap failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        making.rename(root)
    return root


def python_libraries(prefix: Path, root: Path) -> list[Path]:
    """Return the shared libraries that this Python is linked against and that the root lacks."""
    binaries = [prefix / "bin" / "python3", *prefix.glob("lib/python3*/lib-dynload/*.so")]
    listed = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    found = {Path(path) for path in re.findall(r"=> (/\S+)", listed)}
    return sorted(path for path in found if prefix not in path.parents and not (root / path.relative_to("/")).exists())


def copy_checkout(target: Path) -> None:
    """Copy what git tracks, and what it does not ignore, into the target folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source = CHECKOUT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def script(root: Path, work: Path, mounts: list[tuple[Path, Path, str]], environment: dict[str, str]) -> str:
    """Return the shell script that mounts the root and runs the steps in it."""
    lines = [
        "set -eu",
        f"mount -t overlay overlay -o lowerdir={root},upperdir={work}/upper,workdir={work}/work {work}/root",
    ]
    lines += [f"mount -t proc proc {work}/root/proc", f"mount -t sysfs -o ro sysfs {work}/root/sys"]
    lines += [f"mount --rbind /dev {work}/root/dev"]
    for source, target, mode in mounts:
        inside = f"{work}/root{target}"
        made = f"mkdir -p {inside}" if source.is_dir() else f"mkdir -p $(dirname {inside}) && touch {inside}"
        lines += [made, f"mount --bind {source} {inside}"]
        if mode == "ro":
            lines.append(f"mount -o remount,bind,ro {inside}")
    assignments = " ".join(shlex.quote(f"{key}={value}") for key, value in sorted(environment.items()))
    for step in STEPS:
        lines.append(f"echo '--- {step}'")
        lines.append(f"chroot {work}/root /usr/bin/env -i {assignments} /bin/sh -c 'cd /checkout && {step}'")
    return "\n".join(lines)


def main() -> int:
    """Run the steps in a fresh root and return 0 where all of them passed."""
    started = time.monotonic()
    if os.geteuid() != 0:
        sys.exit("bootstrap-check: mounting a fresh root needs root")
    prefix = Path(sys.base_prefix).resolve()
    go = json_environment(["go", "env", "-json", "GOROOT", "GOMODCACHE", "GOCACHE"])
    say(started, f"a minimal Debian {SUITE} root (kept from one run to the next, never written)")
    root = pristine_root(prefix)
    work = Path(tempfile.mkdtemp(prefix="fresh-", dir=cache.root()))
    try:
        for name in ("upper", "work", "root", "caches/pip", "libraries"):
            (work / name).mkdir(parents=True)
        copy_checkout(work / "upper" / "checkout")
        pip_cache = cache.root() / "pip"
        pip_cache.mkdir(exist_ok=True)
        mounts = [
            (Path(go["GOROOT"]), Path(go["GOROOT"]), "ro"),
            (Path(go["GOMODCACHE"]), Path("/caches/gomod"), "rw"),
            (Path(go["GOCACHE"]), Path("/caches/go-build"), "rw"),
            (pip_cache, Path("/caches/pip"), "rw"),
            (Path("/etc/resolv.conf"), Path("/etc/resolv.conf"), "ro"),
        ]
        environment = {
            "HOME": "/tmp",  # of the fresh root
            "PATH": f"{go['GOROOT']}/bin:{prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "GOMODCACHE": "/caches/gomod",
            "GOCACHE": "/caches/go-build",
            "PIP_CACHE_DIR": "/caches/pip",
            "PYTHON": "python3",
            **{key: value for key, value in os.environ.items() if PASSED_ON.match(key)},
        }
        if prefix != Path("/usr"):
            mounts.append((prefix, prefix, "ro"))
            libraries = python_libraries(prefix, root)
            mounts += [(path, Path("/python-libraries") / path.name, "ro") for path in libraries]
            environment["LD_LIBRARY_PATH"] = "/python-libraries"
        bundle = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
        if bundle.exists():
            mounts.append((bundle.resolve(), Path("/certificates.pem"), "ro"))
            environment |= {"SSL_CERT_FILE": "/certificates.pem", "PIP_CERT": "/certificates.pem"}
        links = os.environ.get("PIP_FIND_LINKS", "")
        if links.startswith("/") and Path(links).is_dir():
            environment.pop("PIP_FIND_LINKS")  # a folder of this machine: the fresh root has to do without
        say(started, f"steps: {', '.join(STEPS)}")
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "sh",
            "-c",
        ]
        done = subprocess.run([*command, script(root, work, mounts, environment)], check=False)
        say(started, "the list is complete" if done.returncode == 0 else "FAILED: see the step above")
        return done.returncode
    finally:
        shutil.rmtree(work, ignore_errors=True)


def json_environment(command: list[str]) -> dict[str, str]:
    """Return what a command that prints a JSON object of strings printed."""
    printed: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return printed


if __name__ == "__main__":
    sys.exit(main())
