"""What a team sets for its manifests: owns `.mooring.toml` and `[tool.mooring.lint]`, and choosing rules.

Refuses to hide what the rules cannot do without: that nothing could read a definition is always told. Which file is
taken is for the command line (docs/decisions/0103).
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import tomllib
from typing import TYPE_CHECKING

from mooring.rules import catalogue
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PREFIX = re.compile(r"MR[0-9]{0,3}")
_LISTS = ("select", "ignore", "exclude")


class SettingsError(ValueError):
    """A setting that is none; the text says which, where, and what to write."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What is told and how.

    `select` and `ignore` are codes or their beginnings (`MR3` is all of addressing); of two that fit, the longer one
    decides, and `ignore` where both are alike. `exclude` are patterns of paths that are not read in folders.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severities: Mapping[str, Severity] = dataclasses.field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    strict: bool = False

    def tells(self, code: str) -> bool:
        """Tell whether findings of this code are shown."""
        if not catalogue.RULES[code].relaxable:
            return True
        chosen = max((len(each) for each in self.select if code.startswith(each)), default=-1 if self.select else 0)
        ignored = max((len(each) for each in self.ignore if code.startswith(each)), default=-1)
        return chosen > ignored

    def excludes(self, path: str) -> bool:
        """Tell whether a path, with `/` between its parts, is one of those that are not read."""
        return any(fnmatch.fnmatchcase(path, each) or fnmatch.fnmatchcase(path, f"*/{each}") for each in self.exclude)


def read(text: str, *, name: str) -> Settings | None:
    """Return the settings of a TOML file; None for a pyproject.toml without ours. Raises SettingsError."""
    try:
        table: object = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: not TOML: {error}") from None
    if name.rpartition("/")[2] == "pyproject.toml":
        for step in ("tool", "mooring", "lint"):
            table = table.get(step) if isinstance(table, dict) else None
        if table is None:
            return None
    if not isinstance(table, dict):
        raise SettingsError(f"{name}: tool.mooring.lint is not a table")
    return _settings(table, name)


def codes(written: Iterable[str], *, name: str) -> tuple[str, ...]:
    """Return codes or beginnings of codes, each of which is one of a rule that there is. Raises SettingsError."""
    found = tuple(part.strip() for each in written for part in each.split(",") if part.strip())
    for each in found:
        if not _PREFIX.fullmatch(each) or not any(code.startswith(each) for code in catalogue.RULES):
            raise SettingsError(f"{name}: {each} is no rule. `mooring rules` lists them.")
        if each in catalogue.RULES and not catalogue.RULES[each].relaxable and name.endswith("ignore"):
            raise SettingsError(f"{name}: {each} is always told: nothing can read such an object.")
    return found


def severities(written: Mapping[str, object], *, name: str) -> dict[str, Severity]:
    """Return severities by code, as `spec.admission.severities` of the Installation has them. Raises SettingsError."""
    found = {}
    for code, word in written.items():
        rule = catalogue.RULES.get(code)
        if rule is None:
            raise SettingsError(f"{name}: {code} is no rule. `mooring rules` lists them.")
        if not rule.relaxable:
            raise SettingsError(f"{name}: the severity of {code} cannot be changed: nothing can read such an object.")
        if word not in tuple(Severity):
            raise SettingsError(f"{name}: {code} is {word}; write Enforce, Warn or Audit.")
        found[code] = Severity(str(word))
    return found


def _settings(table: Mapping[str, object], name: str) -> Settings:
    known = (*_LISTS, "severities", "strict")
    for key in table:
        if key not in known:
            raise SettingsError(f"{name}: {key} is no setting; there are {', '.join(known)}.")
    lists: dict[str, tuple[str, ...]] = {}
    for key in _LISTS:
        written = table.get(key, [])
        if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
            raise SettingsError(f"{name}: {key} is a list of texts in brackets.")
        lists[key] = tuple(written) if key == "exclude" else codes(written, name=f"{name}: {key}")
    own = table.get("severities", {})
    if not isinstance(own, dict):
        raise SettingsError(f'{name}: severities is a table, such as MR110 = "Enforce".')
    strict = table.get("strict", False)
    if not isinstance(strict, bool):
        raise SettingsError(f"{name}: strict is true or false.")
    return Settings(strict=strict, severities=severities(own, name=f"{name}: severities"), **lists)
