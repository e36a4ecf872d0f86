"""Owns what the node's container runtime says of itself: its loaded networks and its sandboxes; refuses to change them.

The runtime is asked by `mooring-cri`, a program of the image (cri/contract says what it prints): a gRPC library would
double what an agent weighs. Each question is asked once, and has a deadline: a runtime that hangs is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import stat
from typing import TYPE_CHECKING, Any

from mooring.node import programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = "mooring-cri"
VERSION = 1
SOCKETS = (
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/k0s/containerd.sock",
    "/run/cri-dockerd.sock",
    "/run/crio/crio.sock",
    "/run/containerd/containerd.sock",
)
"""Where runtimes listen, as paths of the node; containerd's own last: it may be there for Docker alone."""

# The program gives up by itself after its own; ours is for a program that does not even do that.
_ANSWER_SECONDS = 5
_DEADLINE_SECONDS = 10.0
_MOST_SAID = 500


class UnansweredError(OSError):
    """The runtime could not be asked, or did not answer; the text is a sentence."""


class NoSocketError(UnansweredError):
    """No runtime listens where one is looked for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A network that the runtime has loaded: what the next pod gets."""

    name: str
    plugins: tuple[str, ...]
    cni_version: str = ""
    interface: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What the runtime says of itself."""

    runtime: str
    """`containerd`, `cri-o`, `docker`, ... as it calls itself."""
    version: str
    network_ready: bool
    network_message: str
    conf_dir: str
    """The folder that it reads confs from; "" where it does not tell."""
    last_load: str
    """`OK`, or why that folder could not be loaded; "" where it does not tell."""
    networks: tuple[Network, ...] | None
    """In the order of a pod's interfaces; empty where none is loaded, None where the runtime does not tell."""
    bin_dirs: tuple[str, ...] = ()
    """The folders in which it looks for plugins; empty where it does not tell."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod sandbox that the runtime knows. It lists one only after the calls of its ADD are done."""

    id: str
    ready: bool
    namespace: str
    name: str
    uid: str
    attempt: int
    created: str
    """RFC 3339 in UTC with nanoseconds."""


class Runtime:
    """The node's container runtime, asked by the program at `program`."""

    def __init__(self, program: Path, *, host_root: Path) -> None:
        self._program = program
        self._host_root = host_root

    async def status(self) -> Status:
        """Ask for its name and the networks that it has loaded; raises `UnansweredError`."""
        return parse_status(await self._ask("status"))

    async def sandboxes(self) -> tuple[Sandbox, ...]:
        """Ask for all sandboxes, whatever their state; raises `UnansweredError`."""
        return parse_sandboxes(await self._ask("sandboxes"))

    async def _ask(self, question: str) -> bytes:
        path = await asyncio.to_thread(socket, self._host_root)
        if path is None:
            raise NoSocketError(f"No container runtime listens on this node at any of {', '.join(SOCKETS)}")
        seen = self._host_root / path.lstrip("/")
        try:
            ended = await programs.ask(
                str(self._program),
                f"-timeout={_ANSWER_SECONDS}s",
                question,
                str(seen),
                env={},
                seconds=_DEADLINE_SECONDS,
            )
        except TimeoutError as error:
            text = f"The runtime at {path} was asked for its {question} and did not answer within"
            raise UnansweredError(f"{text} {_DEADLINE_SECONDS:.0f} s") from error
        except OSError as error:
            raise UnansweredError(f"{self._program} cannot be executed: {error.strerror}") from error
        if ended.status != 0:
            said = ended.stderr.decode(errors="replace").strip()[:_MOST_SAID]
            reason = said.removeprefix(f"{PROGRAM}: {question} {seen}: ")
            raise UnansweredError(
                f"The runtime at {path} cannot be asked for its {question}: "
                f"{reason or f'{PROGRAM} ended with status {ended.status}'}"
            )
        return ended.stdout


def socket(host_root: Path) -> str | None:
    """Return the first path of `SOCKETS` that is one, as the node's own path; None where there is none."""
    for path in SOCKETS:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK((host_root / path.lstrip("/")).stat().st_mode):
                return path
    return None


def parse_status(text: bytes) -> Status:
    """Return what `mooring-cri status` printed; raises `UnansweredError`."""
    with _reading("status", text) as document:
        networks = document["networks"]
        return Status(
            runtime=_text(document["runtime"]["name"]),
            version=_text(document["runtime"]["version"]),
            network_ready=document["networkReady"] is True,
            network_message=_text(document["networkMessage"]),
            conf_dir=_text(document["confDir"]),
            last_load=_text(document["lastLoad"]),
            networks=None if networks is None else tuple(_network(each) for each in networks),
            bin_dirs=tuple(_text(each) for each in document["binDirs"] or ()),
        )


def parse_sandboxes(text: bytes) -> tuple[Sandbox, ...]:
    """Return what `mooring-cri sandboxes` printed; raises `UnansweredError`."""
    with _reading("sandboxes", text) as document:
        return tuple(
            Sandbox(
                id=_text(each["id"]),
                ready=each["state"] == "ready",
                namespace=_text(each["namespace"]),
                name=_text(each["name"]),
                uid=_text(each["uid"]),
                attempt=int(each["attempt"]),
                created=_text(each["created"]),
            )
            for each in document["sandboxes"]
        )


def _network(each: dict[str, Any]) -> Network:
    return Network(
        name=_text(each["name"]),
        plugins=tuple(_text(plugin) for plugin in each["plugins"]),
        cni_version=_text(each["cniVersion"]),
        interface=_text(each["interface"]),
    )


@contextlib.contextmanager
def _reading(question: str, text: bytes) -> Iterator[dict[str, Any]]:
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"it has version {document['version']!r}, and this agent reads {VERSION}")
        yield document
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnansweredError(f"What {PROGRAM} printed of the runtime's {question} cannot be read: {reason}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
