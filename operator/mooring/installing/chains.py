"""Chains of plugins: owns what each entry must be, and which entries a network takes from a folder beside its file.

CNI 1.1 lets other programs chain a plugin to a network: they put a `.conf` into the folder that is named after the
network, beside the conflist. The runtime's library appends these in the order of their names. Refuses a chain of
which one entry cannot be used: the library refuses the whole network then, and so does the meta-plugin.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from mooring.networks import confs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
#: Plugins of these types would delegate to themselves for ever.
OURS = frozenset({"mooring", "multus", "multus-shim"})
_ENDING = ".conf"
_SWITCHES = ("disableCheck", "disableGC", "loadOnlyInlinedPlugins")


class ChainError(ValueError):
    """A chain that cannot be used; the text is a clause that says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """The files of a chain's folder by their names; `problem` says in a clause which of them cannot be read."""

    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    problem: str = ""


#: What is in a folder that is not there.
EMPTY = Folder()


def candidates(names: Iterable[str]) -> list[str]:
    """Return the names of files that the runtime's library takes into a chain, in its order."""
    found = (name for name in names if name.endswith(_ENDING))
    return sorted(found, key=lambda name: name.encode(errors="surrogateescape"))


def folders(texts: Mapping[str, str]) -> set[str]:
    """Return the names of the folders from which these files (texts by name) take plugins."""
    found = set()
    for file, text in texts.items():
        try:
            conf = confs.parse(text).value
            if file.endswith(".conflist") and isinstance(conf, dict) and takes_more(conf):
                name = conf.get("name")
                if isinstance(name, str) and NAME.fullmatch(name):
                    found.add(name)
        except ValueError:
            continue  # told when the file is read as a network
    return found


def takes_more(conf: Mapping[str, Any]) -> bool:
    """Say whether a conflist takes plugins from its folder; raises `ChainError` where its switches are wrong."""
    return not switches(conf)["loadOnlyInlinedPlugins"]


def switches(conf: Mapping[str, Any]) -> dict[str, bool]:
    """Return the switches of a network, which may be texts; raises `ChainError`."""
    found = {}
    for key in _SWITCHES:
        value = conf.get(key, False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if not isinstance(value, bool):
            raise ChainError(f"its `{key}` is neither true nor false")
        found[key] = value
    return found


def plugins(name: str, folder: Folder) -> list[dict[str, Any]]:
    """Return the plugins of a folder in order; raises `ChainError`. `name` is the folder's, for the message."""
    if folder.problem:
        raise ChainError(f"its chain cannot be read: {folder.problem}")
    found = []
    for file in candidates(folder.texts):
        try:
            plugin = confs.parse(folder.texts[file]).value
        except confs.NotJSONError as error:
            raise ChainError(f"{name}/{file} of its chain is not JSON: {error}") from error
        try:
            found.append(checked(plugin))
        except ChainError as error:
            raise ChainError(f"{name}/{file} of its chain cannot be used: {error}") from error
    return found


def checked(plugin: object) -> dict[str, Any]:
    """Return an entry of a chain that the meta-plugin takes; raises `ChainError` for any other."""
    if not isinstance(plugin, dict):
        raise ChainError("it is not a JSON object")
    kind = plugin.get("type")
    if not isinstance(kind, str) or not NAME.fullmatch(kind):
        raise ChainError("its `type` is missing or is not the name of a program")
    if kind in OURS:
        raise ChainError(f"its `type` is {kind}, which would delegate to itself for ever")
    ipam = plugin.get("ipam")
    address_plugin = ipam.get("type") if isinstance(ipam, dict) else None
    if isinstance(address_plugin, str) and address_plugin and not NAME.fullmatch(address_plugin):
        raise ChainError("the `type` of its `ipam` is not the name of a program")
    capabilities = plugin.get("capabilities")
    if capabilities is not None and not (
        isinstance(capabilities, dict) and all(on is None or isinstance(on, bool) for on in capabilities.values())
    ):
        raise ChainError("its `capabilities` are not an object of true and false")
    check_writable(plugin)
    return plugin


def check_writable(conf: Mapping[str, Any]) -> None:
    """Refuse what was read and cannot be written: a number beyond Python's (JSON has no infinity), bottomless lists."""
    try:
        json.dumps(conf, indent=2, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ChainError("it holds a number that is too large, or too many levels of brackets") from error
