"""Owns the proof of a plugin binary before it is used: VERSION, and a loopback that comes, is checked and goes.

ADD, CHECK and DEL are asked in a scratch network namespace, with journal and results in a folder of the proof's own,
and of a delegate that comes with the image: so an empty folder of plugins proves nothing against a binary, and nothing
of a pod is touched. Where the container runtime sees the binary, it is executed in the runtime's own namespaces.
Refuses to leave anything behind: the namespace ends with a process, the folder is removed, before the next proof at
the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any

from mooring.node import cri, files, namespaces, programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from mooring.node import places

DELEGATE = "mooring-loopback"
FOLDER = "proof"
_ANSWER_SECONDS = 20.0
_SCRATCH_SECONDS = 10.0
_MOST_SAID = 300
_CNI_VERSION = "1.0.0"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class UnprovenError(Exception):
    """A plugin binary that does not do what it must; the text is a clause that says what it did."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Ground:
    """Where a proof is made: how a program is started there, and what a path of the agent's is called there."""

    prefix: tuple[str, ...]
    descriptors: tuple[int, ...]
    called: str
    """The folder of the proof."""
    binary: str
    path: str


async def answers(binary: Path) -> None:
    """Ask a plugin for its versions, where the agent runs; raises `UnprovenError`."""
    _check_version(await _ask(_Ground((), (), "", str(binary), _PATH), "VERSION", {}))


class Prover:
    """Proves binaries on one node, one at a time."""

    def __init__(self, *, host_root: Path, delegate: Path) -> None:
        """`delegate` is the plugin of the image that a proof delegates to."""
        self._host_root = host_root
        self._delegate = delegate

    async def prove(self, binary: Path, node: places.Places) -> None:
        """Prove a binary that lies on the node, as the agent sees it. Raises `UnprovenError` and `OSError`."""
        folder = node.state / FOLDER
        await asyncio.to_thread(_clear, folder)
        try:
            await asyncio.to_thread(_furnish, folder, self._delegate)
            async with _scratch() as process:
                with self._ground(binary, folder, node) as ground:
                    await _prove(ground, f"/proc/{process}/ns/net")
            left = await asyncio.to_thread(_listed, folder / "state" / "attachments")
            if left:
                raise UnprovenError("its DEL of loopback left the journal behind")
        finally:
            await asyncio.to_thread(_clear, folder)

    @contextlib.contextmanager
    def _ground(self, binary: Path, folder: Path, node: places.Places) -> Iterator[_Ground]:
        address = cri.socket(self._host_root)
        own = _Ground((), (), str(folder), str(binary), _PATH)
        if address is None:
            yield own
            return
        with namespaces.behind(self._host_root / address.lstrip("/")) as inside:
            # Whether the runtime's plugins are the ones that we install is proven by what it has loaded, not here.
            if not _is_same(binary, inside, node.named(binary)):
                yield own
                return
            yield _Ground(
                namespaces.entering(inside),
                tuple(each for _, each in inside.entered),
                node.named(folder),
                node.named(binary),
                namespaces.path_of(inside),
            )


async def _prove(ground: _Ground, netns: str) -> None:
    _check_version(await _ask(ground, "VERSION", {}))
    loopback = {"cniVersion": _CNI_VERSION, "name": "mooring-proof-loopback", "plugins": [{"type": DELEGATE}]}
    conf = {
        "cniVersion": _CNI_VERSION,
        "name": "mooring-proof",
        "type": "mooring",
        "binDir": f"{ground.called}/bin",
        "cniDir": f"{ground.called}/state",
        "delegates": [loopback],
    }
    call = {
        "CNI_CONTAINERID": f"mooring-proof-{secrets.token_hex(8)}",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": netns,
        "CNI_PATH": f"{ground.called}/bin",
    }
    result = _object("ADD of loopback", (await _ask(ground, "ADD", call, conf)).stdout)
    interfaces = result.get("interfaces")
    if not isinstance(interfaces, list) or not any(isinstance(x, dict) and x.get("name") == "lo" for x in interfaces):
        raise UnprovenError(f"its ADD of loopback told no loopback: {str(result)[:_MOST_SAID]}")
    await _ask(ground, "CHECK", call, {**conf, "prevResult": result})
    await _ask(ground, "DEL", call, {**conf, "prevResult": result})


async def _ask(ground: _Ground, verb: str, call: dict[str, str], conf: dict[str, Any] | None = None) -> programs.Ended:
    try:
        ended = await programs.ask(
            *ground.prefix,
            ground.binary,
            stdin=json.dumps(conf or {"cniVersion": _CNI_VERSION}).encode(),
            env={"PATH": ground.path, "CNI_COMMAND": verb, **call},
            seconds=_ANSWER_SECONDS,
            pass_fds=ground.descriptors,
        )
    except TimeoutError as error:
        raise UnprovenError(f"it did not answer {verb} within {_ANSWER_SECONDS:.0f} s") from error
    except OSError as error:
        raise UnprovenError(f"it cannot be executed: {error.strerror}") from error
    if ended.status != 0:
        said = (ended.stdout + ended.stderr).decode(errors="replace").strip()[:_MOST_SAID]
        raise UnprovenError(f"{verb} ended with status {ended.status}: {said or 'it said nothing'}")
    return ended


def _check_version(ended: programs.Ended) -> None:
    versions = _object("VERSION", ended.stdout).get("supportedVersions")
    if not isinstance(versions, list) or not versions or not all(isinstance(version, str) for version in versions):
        raise UnprovenError(f"its answer to VERSION lists no supportedVersions: {ended.stdout[:_MOST_SAID]!r}")


def _object(what: str, said: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise UnprovenError(f"its answer to {what} is no JSON object: {said[:_MOST_SAID]!r}")
    return answer


@contextlib.asynccontextmanager
async def _scratch() -> AsyncIterator[int]:
    """Make a network namespace that is gone with a process, whose id is returned; the process ends with us."""
    process = await asyncio.create_subprocess_exec(
        shutil.which("unshare") or "/usr/bin/unshare",
        "--net",
        "--",
        shutil.which("cat") or "/bin/cat",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("a process was started with pipes and has none")
        process.stdin.write(b"\n")
        async with asyncio.timeout(_SCRATCH_SECONDS):
            # What comes back came through the new namespace.
            if not await process.stdout.readline():
                said = (await process.stderr.read()).decode(errors="replace").strip()
                raise OSError(f"no network namespace can be made for the proof of a plugin: {said}")
        yield process.pid
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


def _is_same(binary: Path, inside: namespaces.Namespaces, called: str) -> bool:
    try:
        ours, theirs = binary.stat(), inside.seen(called).stat()
    except OSError:
        return False
    return os.path.samestat(ours, theirs)


def _furnish(folder: Path, delegate: Path) -> None:
    files.make_folder(folder, mode=0o700)
    files.make_folder(folder / "bin")
    shutil.copyfile(delegate, folder / "bin" / DELEGATE)
    (folder / "bin" / DELEGATE).chmod(0o755)


def _clear(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _listed(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)  # noqa: PTH208  names alone
    return []
