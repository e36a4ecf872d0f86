"""The shape of a CNI configuration (MR102 to MR116): owns what libcni itself requires, whatever the plugins are.

It hands on the plugins that the others may judge. It takes everything that libcni takes: a chain of one, keys that
nobody knows, a name or version that is missing.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from mooring.networks import confs
from mooring.rules import wording

if TYPE_CHECKING:
    from mooring.networks import paths
    from mooring.rules import notes

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_SELF = frozenset({"mooring", "multus", "multus-shim"})
_SWITCHES = ("disableCheck", "disableGC", "loadOnlyInlinedPlugins")


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin of a configuration: where it stands, its type, and its options as written.

    `first` tells whether it is executed first; `ignored` that `plugins` stands beside it, so that one of the two
    is not executed, whichever was meant.
    """

    path: paths.Path
    type: str
    value: dict[str, object]
    first: bool
    ignored: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Conf:
    """A configuration: the plugins that have a usable type, whether all have, and the version and name given."""

    plugins: tuple[Plugin, ...]
    complete: bool
    version: str
    name: str


def check(document: confs.Document, noted: notes.Notes) -> Conf:
    """Note what libcni would refuse; return what is left to be judged. Never raises."""
    value = document.value
    for path in document.duplicates:
        noted.config("MR109", path, f"`{path[-1]}` stands twice here; only the last one counts.", "Remove one.")
    if not isinstance(value, dict):
        noted.config("MR102", (), f"The configuration is {wording.kind(value)}.", "Write a JSON object: { ... }.")
        return Conf(plugins=(), complete=False, version="", name="")
    name, version = _name(value, noted), _version(value, noted)
    single = isinstance(value.get("type"), str) and value["type"] != ""
    if single and "plugins" in value:
        noted.config(
            "MR113",
            ("plugins",),
            f"Beside `type: {value['type']}` the list of plugins is not executed.",
            "Remove `type` to execute the list, or the list.",
        )
    if single or ("plugins" not in value and "type" in value):
        plugin = _plugin(value, (), noted, first=True, ignored="plugins" in value)
        return Conf(
            plugins=() if plugin is None else (plugin,), complete=plugin is not None, version=version, name=name
        )
    if "plugins" not in value:
        _neither(value, noted)
        return Conf(plugins=(), complete=False, version=version, name=name)
    for key in _SWITCHES:
        _switch(value, key, noted)
    plugins, complete = _chain(value["plugins"], noted)
    return Conf(plugins=plugins, complete=complete, version=version, name=name)


def _name(value: dict[str, object], noted: notes.Notes) -> str:
    name = value.get("name", "")
    if name is None:
        return ""
    if not isinstance(name, str):
        noted.config("MR107", ("name",), f"The name is {wording.kind(name)}.", "Write a text, or leave the name out.")
        return ""
    if name and not _NAME.fullmatch(name):
        noted.config(
            "MR107",
            ("name",),
            f"The network name {wording.quote(name)} is not legal.",
            "Use letters, digits, `_`, `.` and `-`, beginning with a letter or digit, or leave the name out.",
        )
    return name


def _version(value: dict[str, object], noted: notes.Notes) -> str:
    version = value.get("cniVersion")
    if version is None or version == "":
        if _inner_version(value):
            return _inner_version(value)
        noted.config("MR116", (), "There is no `cniVersion`.", f'Write "cniVersion": "{confs.VERSIONS[-2]}".')
        return ""
    known = ", ".join(confs.VERSIONS)
    if not isinstance(version, str):
        noted.config(
            "MR106",
            ("cniVersion",),
            f"The version is {wording.kind(version)}.",
            f"Write one of these as text: {known}.",
        )
        return ""
    if version not in confs.VERSIONS:
        noted.config(
            "MR106",
            ("cniVersion",),
            f"There is no version {wording.quote(version)} of the CNI specification.",
            f"Write one of {known}.",
        )
        return ""
    return version


def _inner_version(value: dict[str, object]) -> str:
    """Return the version that stands in a plugin only: the meta-plugin takes it for the whole."""
    listed = value.get("plugins")
    for entry in listed if isinstance(listed, list) else []:
        version = entry.get("cniVersion") if isinstance(entry, dict) else None
        if isinstance(version, str) and version in confs.VERSIONS:
            return version
    return ""


def _switch(value: dict[str, object], key: str, noted: notes.Notes) -> None:
    switch = value.get(key, False)
    if isinstance(switch, bool) or (isinstance(switch, str) and switch.lower() in ("true", "false")):
        return
    noted.config("MR120", (key,), f"`{key}` is {wording.kind(switch)}.", "Write true or false.")


def _neither(value: dict[str, object], noted: notes.Notes) -> None:
    for key in value:
        if key.lower() in ("type", "plugins"):
            noted.config(
                "MR103",
                (key,),
                f"`{key}` is not looked up: this name must be written in lower case.",
                f"Write `{key.lower()}`.",
            )
            return
    noted.config(
        "MR103",
        (),
        "The configuration has neither `type` nor `plugins`.",
        'Write "type" with the name of one plugin, or "plugins" with a list of them.',
    )


def _chain(value: object, noted: notes.Notes) -> tuple[tuple[Plugin, ...], bool]:
    if not isinstance(value, list):
        noted.config(
            "MR104", ("plugins",), f"`plugins` is {wording.kind(value)}.", "Write a list of objects: [ { ... } ]."
        )
        return (), False
    if not value:
        noted.config("MR104", ("plugins",), "The list of plugins is empty.", 'Write a plugin: [{"type": ...}].')
        return (), False
    found: list[Plugin] = []
    for index, entry in enumerate(value):
        path: paths.Path = ("plugins", index)
        if not isinstance(entry, dict):
            noted.config("MR104", path, f"This plugin is {wording.kind(entry)}.", 'Write an object: {"type": ...}.')
            continue
        plugin = _plugin(entry, path, noted, first=index == 0)
        if plugin is not None:
            found.append(plugin)
    return tuple(found), len(found) == len(value)


def _plugin(
    value: dict[str, object], path: paths.Path, noted: notes.Notes, *, first: bool, ignored: bool = False
) -> Plugin | None:
    kind = value.get("type")
    if kind is None or kind == "":
        other = next((key for key in value if key.lower() == "type" and key != "type"), None)
        remedy = 'Write "type" with the name of the plugin.' if other is None else f"Write `type`, not `{other}`."
        noted.config("MR104", path, "This plugin has no `type`.", remedy)
        return None
    if not isinstance(kind, str):
        noted.config(
            "MR104", (*path, "type"), f"The type is {wording.kind(kind)}.", "Write the name of the plugin as text."
        )
        return None
    if not binary(kind, (*path, "type"), noted):
        return None
    return Plugin(path=path, type=kind, value=value, first=first, ignored=ignored)


def binary(kind: str, path: paths.Path, noted: notes.Notes) -> bool:
    """Note a type that is no name of a binary, or is ourselves; tell whether it is usable."""
    if "/" in kind or "\\" in kind or ".." in kind or kind == "." or not kind.isprintable() or kind != kind.strip():
        noted.config(
            "MR105",
            path,
            f"The type {wording.quote(kind)} is not the name of a plugin.",
            "Write the bare name of the binary, such as `bridge`; it is looked up in the folder of CNI binaries.",
        )
        return False
    if kind in _SELF:
        noted.config(
            "MR108",
            path,
            f"The type {wording.quote(kind)} is the meta-plugin itself, which would start itself for ever.",
            "Write the plugin that makes the interface, such as `bridge` or `macvlan`.",
        )
        return False
    return True
