"""Owns how a plugin binary gets onto the node: proven first, then renamed over the old one; refuses to copy onto it.

A running program cannot be written to ("text file busy"), and a broken one in the place of a good one takes the node
out of service. So the candidate lies beside it under a temporary name, is executed once, and only then is renamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
from typing import TYPE_CHECKING

from mooring.node import files

if TYPE_CHECKING:
    from pathlib import Path

_PROOF_SECONDS = 20.0
_BLOCK = 1 << 20
_MODE = 0o755


class UnprovenError(Exception):
    """A plugin binary that does not do what it must; the text is a clause that says what it did."""


def sha256(path: Path) -> str | None:
    """Return the SHA-256 of a file in hex; None where there is no such file. Raises `OSError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def is_executable(path: Path) -> bool:
    """Say whether there is a file that somebody may execute; a link that leads out of the agent's view counts too.

    Nodes link plugins to places that are not mounted here (k3s: into its data folder), and refusing these would
    refuse a node that works.
    """
    try:
        return bool(path.stat().st_mode & 0o111) and path.is_file()
    except FileNotFoundError:
        return path.is_symlink()
    except OSError:
        return False


async def prove(path: Path) -> tuple[str, ...]:
    """Execute a CNI plugin with VERSION and return the versions that it supports; raises `UnprovenError`."""
    try:
        process = await asyncio.create_subprocess_exec(
            str(path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"CNI_COMMAND": "VERSION", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    except OSError as error:
        raise UnprovenError(f"it cannot be executed: {error.strerror}") from error
    try:
        async with asyncio.timeout(_PROOF_SECONDS):
            out, err = await process.communicate(b'{"cniVersion":"1.0.0"}')
    except TimeoutError as error:
        raise UnprovenError(f"it did not answer VERSION within {_PROOF_SECONDS:.0f} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        said = (out + err).decode(errors="replace").strip()[:300]
        raise UnprovenError(f"VERSION ended with status {process.returncode}: {said or 'it said nothing'}")
    try:
        versions = json.loads(out)["supportedVersions"]
        if not versions or not all(isinstance(version, str) for version in versions):
            raise ValueError("no versions")
    except (ValueError, KeyError, TypeError) as error:
        raise UnprovenError(f"its answer to VERSION lists no supportedVersions: {out[:300]!r}") from error
    return tuple(versions)


async def install(source: Path, target: Path) -> str:
    """Make `target` the program `source`, once it has proven itself beside it; return its SHA-256.

    Raises `UnprovenError` and `OSError`; the old program then stands as it stood.
    """
    candidate = files.temporary_beside(target)
    try:
        digest = await asyncio.to_thread(_copy, source, candidate)
        await prove(candidate)
        await asyncio.to_thread(candidate.replace, target)
    except BaseException:
        await asyncio.to_thread(candidate.unlink, missing_ok=True)
        raise
    await asyncio.to_thread(files.sync_folder, target.parent)
    return digest


def _copy(source: Path, target: Path) -> str:
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, _BLOCK)
        writing.flush()
        target.chmod(_MODE)
        files.sync_file(writing.fileno())
    digest = sha256(target)
    if digest is None or digest != sha256(source):
        raise OSError(f"{target} does not hold what {source} holds; is the disk full or the image being replaced?")
    return digest
