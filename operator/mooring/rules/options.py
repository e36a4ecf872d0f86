"""Options of one plugin (MR109 to MR122, MR301): owns saying what the plugin's decoder refuses or does not read.

What is refused is an error of JSON Schema, told in the words of a person who writes configurations; what nobody
reads is a warning with the nearest name. It knows no relations between options: those are the semantics'.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING

from mooring.rules import folding, formats, library, names, reporting, wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import jsonschema

    from mooring.networks import paths
    from mooring.rules.reporting import Reporter

#: Everybody may write these beside the options of a plugin: the meta-plugin and libcni put them there.
_TOLERATED = frozenset(
    {
        "cni.dev/valid-attachments", "deviceid", "pcibusid", "disablecheck", "disablegc", "cniversions",
        "loadonlyinlinedplugins", "loglevel", "logfile", "log_level", "log_file", "kubeconfig", "description",
        "comment", "delegates", "plugins",
    }
)  # fmt: skip
#: Keys that every plugin shares, whoever wrote it. Shorter ones are too like words of a plugin's own.
SHARED = ("capabilities", "cniVersion", "runtimeConfig", "prevResult", "disableCheck", "disableGC")
_TELLING = 8
#: What container runtimes and meta-plugins pass in: the conventions of CNI, and the device information specification.
CAPABILITIES = (
    "aliases", "bandwidth", "cgroupPath", "CNIDeviceInfoFile", "deviceID", "dns", "infinibandGUID", "ipRanges", "ips",
    "mac", "portMappings",
)  # fmt: skip
#: The shape of the whole configuration has told these already.
_TOLD = frozenset({("cniVersion",), ("name",)})
_SECRET = re.compile(r"passw|secret|token|credential", re.IGNORECASE)
_CORRECT = "Remove it, or correct its name."


def check(
    kind: library.Type, value: Mapping[str, object], path: paths.Path, report: Reporter, *, mild: bool
) -> dict[str, object]:
    """Note what the plugin refuses or does not read; return the options in its own spelling.

    `path` is where `value` stands. `mild` makes refusals warnings: something else may change the value before
    the plugin sees it.
    """
    folded = folding.Folded(value, kind.schema, spend=lambda values: report.spend(values, path))
    for twice in folded.twice:
        report.config(
            "MR109",
            (*path, *twice),
            f"{wording.quote(str(twice[-1]))} is the same option as another key here, in another case.",
            "Keep one of them; the last one counts.",
        )
    for error in kind.validator.iter_errors(folded.value):
        _refused(error, folded, path, report, mild=mild)
    for unread in folded.unread:
        if kind.name:
            _unread(kind, unread, path, report)
        elif not unread.parent:
            shared(unread.key, path, report)
    capabilities = folded.value.get("capabilities")
    for key in capabilities if isinstance(capabilities, dict) and kind.role != "ipam" else ():
        _capability(key, (*path, *folded.written(("capabilities",)), key), report)
    return folded.value


def shared(key: str, path: paths.Path, report: Reporter, known: Iterable[str] = SHARED) -> None:
    """Note a key that is nearly one of those that every plugin shares; of other keys nothing is known here."""
    if key.lower() in _TOLERATED or len(key) < _TELLING or not _advised((*path, key), report):
        return
    near = names.misspelt(key, known)
    if near is not None:
        report.config(
            "MR110",
            (*path, key),
            f"`{key}` is no key that all plugins share, and looks like one.",
            f"Did you mean `{near}`?",
        )


def _advised(place: paths.Path, report: Reporter) -> bool:
    """Tell whether one more key may be compared with the known ones; where that decides on a refusal, it must be."""
    if report.advise():
        return True
    if report.enforces("MR110"):
        raise reporting.TooMuchError(place)
    return False


def _capability(key: str, path: paths.Path, report: Reporter) -> None:
    """Note a capability that nearly is one of those that runtimes pass in, whose case counts, too."""
    if key in CAPABILITIES or len(key) < _TELLING or not _advised(path, report):
        return
    near = names.misspelt(key, CAPABILITIES)
    if near is not None:
        report.config(
            "MR110", path, f"`{key}` is no capability that runtimes pass in; it is ignored.", f"Did you mean `{near}`?"
        )


def _refused(
    error: jsonschema.ValidationError, folded: folding.Folded, path: paths.Path, report: Reporter, *, mild: bool
) -> None:
    place = (*path, *folded.written(error.absolute_path))
    schema: Mapping[str, object] = error.schema if isinstance(error.schema, dict) else {}
    if place in _TOLD or (error.validator == "enum" and not isinstance(error.instance, str)):
        return
    choices = schema.get("enum")
    if schema.get("x-anycase") and isinstance(choices, list) and str(error.instance).lower() in choices:
        return
    mild = mild or (bool(schema.get("x-mild")) and error.validator != "type")
    name = next((step for step in reversed(place) if isinstance(step, str)), "this")
    shown = "..." if _SECRET.search(name) else wording.value(error.instance)
    match error.validator:
        case "type":
            report.config(
                "MR120",
                place,
                f"`{name}` is {wording.kind(error.instance)} ({shown}).",
                f"Write {_expected(schema)}." if _SECRET.search(name) else _retyped(error.instance, schema),
                mild=mild,
            )
        case "required" | "dependentRequired":
            for missing in _missing(error):
                report.config(
                    "MR122",
                    place,
                    f"`{missing}` is missing here.",
                    f"Write `{missing}`: {_expected(_property(schema, missing))}.",
                    mild=mild,
                )
        case "format" if schema.get("format") in ("ip", "cidr"):
            report.config("MR301", place, f"`{name}` is {shown}.", f"Write {_expected(schema)}.", mild=mild)
        case _:
            report.config("MR121", place, f"`{name}` is {shown}.", f"Write {_expected(schema)}.", mild=mild)


def _missing(error: jsonschema.ValidationError) -> Iterator[str]:
    present = error.instance if isinstance(error.instance, dict) else {}
    wanted: object = error.validator_value
    if isinstance(wanted, dict):
        wanted = [name for key, names in wanted.items() if key in present for name in names]
    # jsonschema reports each missing name as an error of its own; the reporter drops what it already has.
    return (str(name) for name in (wanted if isinstance(wanted, list) else ()) if name not in present)


def _property(schema: Mapping[str, object], name: str) -> Mapping[str, object]:
    properties = schema.get("properties")
    found = properties.get(name) if isinstance(properties, dict) else None
    return found if isinstance(found, dict) else {}


def _expected(schema: Mapping[str, object]) -> str:
    """Say what may be written for a schema, as the end of a sentence that begins with "Write"."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        return "one of " + ", ".join(json.dumps(choice) for choice in choices if choice != "")
    form = schema.get("format")
    if isinstance(form, str):
        return formats.EXAMPLES[form]
    match schema.get("type"):
        case "integer":
            low, high = schema.get("minimum"), schema.get("maximum")
            if low is not None and high is not None:
                return f"a whole number from {low} to {high}, without quotes"
            return f"a whole number{f' from {low} on' if low is not None else ''}, without quotes"
        case "boolean":
            return "true or false, without quotes"
        case "array":
            return "a list: [ ... ]"
        case "object":
            return "an object: { ... }"
    return "a text in quotes"


def _retyped(value: object, schema: Mapping[str, object]) -> str:
    """Say how to write this very value in the type that is wanted, where that is possible."""
    wanted = schema.get("type")
    match wanted, value:
        case "integer", str() if value.strip().removeprefix("-").isdecimal() and value.isascii():
            return f"Write {value.strip()}, without quotes."
        case "integer", float() if value.is_integer() and abs(value) < 2**53:
            return f"Write {int(value)}, as a whole number."
        case "boolean", str() if value.strip().lower() in ("true", "false"):
            return f"Write {value.strip().lower()}, without quotes."
        case "string", bool() | int() | float():
            return f'Write "{json.dumps(value)}", in quotes.'
        case "array", str() | int() | dict():
            return "Write a list, even of one: [ ... ]."
    return f"Write {_expected(schema)}."


def _unread(kind: library.Type, unread: folding.Unread, path: paths.Path, report: Reporter) -> None:
    key = unread.key
    low = key.lower()
    # A dot or slash marks another party's namespace, an underscore or `//` a remark.
    if low in _TOLERATED or key.startswith(("_", "//", "#", "$")) or "." in key or "/" in key:
        return
    place = (*path, *unread.parent, key)
    hint = kind.hints.get(key) if not unread.parent else None
    if hint is not None:
        report.config("MR111", place, f"`{key}` is not an option of {kind.name}; it is ignored.", hint)
        return
    owner = None if unread.parent else _owner(key, kind)
    # An option of another plugin is always compared with ours: there are few of them, and it decides on the code.
    if not report.advise() and owner is None:
        if not kind.complete and report.enforces("MR110"):
            raise reporting.TooMuchError(place)
        if kind.complete:
            report.config("MR110", place, f"`{key}` is not an option of {kind.name}; it is ignored.", _CORRECT)
        return
    near = names.meant(key, unread.known) if owner is None else None
    near = near or names.alike(key, unread.known)
    if near is not None:
        report.config(
            "MR110", place, f"`{key}` is not an option of {kind.name}; it is ignored.", f"Did you mean `{near}`?"
        )
        return
    if not kind.complete:
        return
    if owner is not None:
        report.config(
            "MR111",
            place,
            f"`{key}` is an option of {owner}, not of {kind.name}; it is ignored.",
            "Remove it, or move it to where it is read.",
        )
        return
    report.config("MR110", place, f"`{key}` is not an option of {kind.name}; it is ignored.", _CORRECT)


def _owner(key: str, kind: library.Type) -> str | None:
    for entry in _owners().get(key, ()):
        if entry is not kind:
            return f"{entry.name} (in `ipam`)" if entry.role == "ipam" else entry.name
    return None


@functools.cache
def _owners() -> Mapping[str, list[library.Type]]:
    found: dict[str, list[library.Type]] = {}
    for entry in library.types().values():
        properties = entry.schema["properties"]
        for name in properties if isinstance(properties, dict) else ():
            found.setdefault(name, []).append(entry)
    return found
