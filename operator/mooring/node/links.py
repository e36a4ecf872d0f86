"""Owns which types of network interfaces the kernel makes, asked of itself; refuses to load a module for an answer.

A type that is built in or loaded is tried in a network namespace that nobody else has and that goes with its thread.
To try one of a module that is not loaded would load it: there the kernel's own list of modules is the answer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: What CNI plugins make.
TYPES = (
    *("bond", "bridge", "dummy", "geneve", "ipvlan", "macvlan", "macvtap"),
    *("veth", "vlan", "vrf", "vxlan", "wireguard"),
)
_CLONE_NEWNET = 0x40000000
_ALIAS = re.compile(r"^alias rtnl-link-(\S+) (\S+)$", re.MULTILINE)
_MESSAGE = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ERROR = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")
_RTM_NEWLINK, _NLMSG_ERROR = 16, 2
_REQUEST_ACK_CREATE_EXCL = 0x1 | 0x4 | 0x400 | 0x200
_IFLA_IFNAME, _IFLA_LINKINFO, _INFO_KIND = 3, 18, 1


def available(modules: Path, loaded: str) -> tuple[str, ...]:
    """Return the types that work, or that the kernel loads a module for when they are first asked for. It blocks.

    `modules` is the folder of the running kernel's modules, as the runtime's host has it (it is there or the kernel has
    none), `loaded` the text of `/proc/modules`. Raises `OSError`.
    """
    aliases = _aliases(modules)
    names = {line.partition(" ")[0] for line in loaded.splitlines()}
    unloaded = {kind for kind, module in aliases.items() if module.replace("-", "_") not in names}
    works = {kind for kind in TYPES if kind in unloaded}
    return tuple(sorted(works | tried(kind for kind in TYPES if kind not in unloaded)))


def tried(kinds: Iterable[str]) -> set[str]:
    """Return those of the types that the kernel knows, tried in a network namespace of their own. It blocks.

    Raises `OSError` where there can be no such namespace.
    """
    found: set[str] = set()
    failed: list[OSError] = []

    def visit() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if libc.unshare(_CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, f"no scratch network namespace: {os.strerror(code)}")
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
                kernel.settimeout(5)
                found.update(kind for number, kind in enumerate(kinds) if _knows(kernel, kind, number))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=visit, name="links")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found


def _aliases(modules: Path) -> dict[str, str]:
    try:
        return dict(_ALIAS.findall((modules / "modules.alias").read_text(errors="replace")))
    except FileNotFoundError:
        return {}


def _knows(kernel: socket.socket, kind: str, number: int) -> bool:
    """Ask for an interface; that something else is wrong with it (it has no lower one) says that the type is known."""
    name = _attribute(_IFLA_IFNAME, f"try{number}".encode() + b"\0")
    info = _attribute(_IFLA_LINKINFO, _attribute(_INFO_KIND, kind.encode()))
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + name + info
    kernel.send(_MESSAGE.pack(_MESSAGE.size + len(body), _RTM_NEWLINK, _REQUEST_ACK_CREATE_EXCL, number, 0) + body)
    answer = kernel.recv(65536)
    _, kind_of_message, *_ = _MESSAGE.unpack_from(answer)
    if kind_of_message != _NLMSG_ERROR:
        raise OSError(errno.EPROTO, "the kernel answered something else than whether it made a link")
    code = -int(_ERROR.unpack_from(answer, _MESSAGE.size)[0])
    if code in (errno.EPERM, errno.EACCES):
        raise OSError(code, f"no interface may be made in a scratch network namespace: {os.strerror(code)}")
    return code != errno.EOPNOTSUPP


def _attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + b"\0" * (-length % 4)
