"""The shape of a CNI configuration (MR102 to MR116): owns what libcni itself requires, whatever the plugins are.

It hands on the plugins that the others may judge. It takes everything that libcni takes: a chain of one, keys that
nobody knows, a name or version that is missing.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from mooring.networks import confs
from mooring.rules import options, wording

if TYPE_CHECKING:
    from mooring.networks import paths
    from mooring.rules import reporting

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_SELF = frozenset({"mooring", "multus", "multus-shim"})
#: What the look at one plugin costs beside that at each of its options, in values.
PLUGIN = 10

_SWITCHES = ("disableCheck", "disableGC", "loadOnlyInlinedPlugins")
#: What libcni reads beside the list of plugins, and what people write there because single plugins have it.
_ENVELOPE = ("name", "cniVersion", "cniVersions", "plugins", "capabilities", "runtimeConfig", *_SWITCHES)


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


def check(document: confs.Document, report: reporting.Reporter) -> Conf:
    """Note what libcni would refuse; return what is left to be judged. Never raises."""
    value = document.value
    for path in document.duplicates:
        report.config("MR109", path, f"`{path[-1]}` stands twice here; only the last one counts.", "Remove one.")
    if not isinstance(value, dict):
        report.config("MR102", (), f"The configuration is {wording.kind(value)}.", "Write a JSON object: { ... }.")
        return Conf(plugins=(), complete=False, version="", name="")
    name, version = _name(value, report), _version(value, report)
    single = isinstance(value.get("type"), str) and value["type"] != ""
    if single and "plugins" in value:
        report.config(
            "MR113",
            ("plugins",),
            f"Beside `type: {value['type']}` the list of plugins is not executed.",
            "Remove `type` to execute the list, or the list.",
        )
    if single or ("plugins" not in value and "type" in value):
        plugin = _plugin(value, (), report, first=True, ignored="plugins" in value)
        return Conf(
            plugins=() if plugin is None else (plugin,), complete=plugin is not None, version=version, name=name
        )
    if "plugins" not in value:
        _neither(value, report)
        return Conf(plugins=(), complete=False, version=version, name=name)
    for key in _SWITCHES:
        _switch(value, key, report)
    for key in value:
        if key not in _ENVELOPE:
            options.shared(key, (), report, _ENVELOPE)
    plugins, complete = _chain(value["plugins"], report)
    return Conf(plugins=plugins, complete=complete, version=version, name=name)


def _name(value: dict[str, object], report: reporting.Reporter) -> str:
    name = value.get("name", "")
    if name is None:
        return ""
    if not isinstance(name, str):
        report.config("MR107", ("name",), f"The name is {wording.kind(name)}.", "Write a text, or leave the name out.")
        return ""
    if name and not _NAME.fullmatch(name):
        report.config(
            "MR107",
            ("name",),
            f"The network name {wording.quote(name)} is not legal.",
            "Use letters, digits, `_`, `.` and `-`, beginning with a letter or digit, or leave the name out.",
        )
    return name


def _version(value: dict[str, object], report: reporting.Reporter) -> str:
    version = value.get("cniVersion")
    if version is None or version == "":
        if _inner_version(value):
            return _inner_version(value)
        report.config("MR116", (), "There is no `cniVersion`.", f'Write "cniVersion": "{confs.VERSIONS[-2]}".')
        return ""
    known = ", ".join(confs.VERSIONS)
    if not isinstance(version, str):
        report.config(
            "MR106",
            ("cniVersion",),
            f"The version is {wording.kind(version)}.",
            f"Write one of these as text: {known}.",
        )
        return ""
    if version not in confs.VERSIONS:
        report.config(
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


def _switch(value: dict[str, object], key: str, report: reporting.Reporter) -> None:
    switch = value.get(key, False)
    if isinstance(switch, bool) or (isinstance(switch, str) and switch.lower() in ("true", "false")):
        return
    report.config("MR120", (key,), f"`{key}` is {wording.kind(switch)}.", "Write true or false.")


def _neither(value: dict[str, object], report: reporting.Reporter) -> None:
    for key in value:
        if key.lower() in ("type", "plugins"):
            report.config(
                "MR103",
                (key,),
                f"`{key}` is not looked up: this name must be written in lower case.",
                f"Write `{key.lower()}`.",
            )
            return
    report.config(
        "MR103",
        (),
        "The configuration has neither `type` nor `plugins`.",
        'Write "type" with the name of one plugin, or "plugins" with a list of them.',
    )


def _chain(value: object, report: reporting.Reporter) -> tuple[tuple[Plugin, ...], bool]:
    if not isinstance(value, list):
        report.config(
            "MR104", ("plugins",), f"`plugins` is {wording.kind(value)}.", "Write a list of objects: [ { ... } ]."
        )
        return (), False
    if not value:
        report.config("MR104", ("plugins",), "The list of plugins is empty.", 'Write a plugin: [{"type": ...}].')
        return (), False
    report.spend(PLUGIN * len(value), ("plugins",))
    found: list[Plugin] = []
    for index, entry in enumerate(value):
        path: paths.Path = ("plugins", index)
        if not isinstance(entry, dict):
            report.config("MR104", path, f"This plugin is {wording.kind(entry)}.", 'Write an object: {"type": ...}.')
            continue
        plugin = _plugin(entry, path, report, first=index == 0)
        if plugin is not None:
            found.append(plugin)
    return tuple(found), len(found) == len(value)


def _plugin(
    value: dict[str, object], path: paths.Path, report: reporting.Reporter, *, first: bool, ignored: bool = False
) -> Plugin | None:
    kind = value.get("type")
    if kind is None or kind == "":
        other = next((key for key in value if key.lower() == "type" and key != "type"), None)
        remedy = 'Write "type" with the name of the plugin.' if other is None else f"Write `type`, not `{other}`."
        report.config("MR104", path, "This plugin has no `type`.", remedy)
        return None
    if not isinstance(kind, str):
        report.config(
            "MR104", (*path, "type"), f"The type is {wording.kind(kind)}.", "Write the name of the plugin as text."
        )
        return None
    if not binary(kind, (*path, "type"), report):
        return None
    return Plugin(path=path, type=kind, value=value, first=first, ignored=ignored)


def binary(kind: str, path: paths.Path, report: reporting.Reporter) -> bool:
    """Note a type that is no name of a binary, or is ourselves; tell whether it is usable."""
    if "/" in kind or "\\" in kind or ".." in kind or kind == "." or not kind.isprintable() or kind != kind.strip():
        report.config(
            "MR105",
            path,
            f"The type {wording.quote(kind)} is not the name of a plugin.",
            "Write the bare name of the binary, such as `bridge`; it is looked up in the folder of CNI binaries.",
        )
        return False
    if kind in _SELF:
        report.config(
            "MR108",
            path,
            f"The type {wording.quote(kind)} is the meta-plugin itself, which would start itself for ever.",
            "Write the plugin that makes the interface, such as `bridge` or `macvlan`.",
        )
        return False
    return True
