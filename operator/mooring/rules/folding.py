"""Reading options as Go's decoder does: owns folding the case of keys, and telling which keys nobody reads.

Go takes `VLANid` for `vlanId`, the last one of several wins, and null leaves an option as it was. The schemas are
written in the plugins' own spelling, so a configuration is folded to it before it is validated, and what is said
about it is unfolded to the spelling of the person who wrote it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mooring.networks import paths

#: Whatever stands below these is for others to read as well.
_OPEN = frozenset({"args", "capabilities", "ipam", "prevResult", "runtimeConfig"})


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """A key that the plugin does not read: where the object stands, the key, and the keys that are read there."""

    parent: paths.Path
    key: str
    known: tuple[str, ...]


class Folded:
    """A configuration in the spelling of its schema: `value`, the keys nobody reads, and those given twice."""

    def __init__(
        self, value: Mapping[str, object], schema: Mapping[str, object], *, spend: Callable[[int], None] | None = None
    ) -> None:
        """Fold `value` to `schema`, whose references are replaced by what they refer to.

        `spend` is told of the size of each object and list before it is looked at, and may raise.
        """
        self._spend = spend or (lambda _: None)
        self._names: dict[tuple[paths.Path, str], str] = {}
        self.unread: list[Unread] = []
        self.twice: list[paths.Path] = []
        self.value = self._object(value, schema, (), is_open=False)

    def written(self, path: Iterable[str | int]) -> paths.Path:
        """Return a path of the folded value in the spelling that stands in the configuration."""
        found: list[str | int] = []
        done: paths.Path = ()
        for step in path:
            found.append(self._names.get((done, step), step) if isinstance(step, str) else step)
            done = (*done, step)
        return tuple(found)

    def _object(
        self, value: Mapping[str, object], schema: Mapping[str, object], path: paths.Path, *, is_open: bool
    ) -> dict[str, object]:
        self._spend(len(value))
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return self._free(value, schema, path)
        lower = {name.lower(): name for name in properties}
        folded: dict[str, object] = {}
        for key, item in value.items():
            name = key if key in properties else lower.get(key.lower())
            if name is None:
                if not is_open:
                    self.unread.append(Unread(parent=self.written(path), key=key, known=tuple(properties)))
                continue
            if (path, name) in self._names:
                self.twice.append((*self.written(path), key))
            self._names[path, name] = key
            if item is None:
                continue
            folded[name] = self._any(
                item, properties[name], (*path, name), is_open=is_open or (not path and name in _OPEN)
            )
        return folded

    def _free(self, value: Mapping[str, object], schema: Mapping[str, object], path: paths.Path) -> dict[str, object]:
        """Fold an object whose keys are free; null leaves the zero value, which any type has."""
        inner = schema.get("additionalProperties")
        return {
            key: self._any(item, inner, (*path, key), is_open=True) if isinstance(inner, dict) else item
            for key, item in value.items()
            if item is not None
        }

    def _any(self, value: object, schema: object, path: paths.Path, *, is_open: bool) -> object:
        if not isinstance(schema, dict):
            return value
        if isinstance(value, dict) and schema.get("type") == "object":
            return self._object(value, schema, path, is_open=is_open)
        if isinstance(value, list) and schema.get("type") == "array":
            self._spend(len(value))
            items = schema.get("items")
            return [
                self._any(_zero(items) if item is None else item, items, (*path, index), is_open=is_open)
                for index, item in enumerate(value)
            ]
        return value


def _zero(schema: object) -> object:
    """Return what Go has for null in a list of simple values. In a list of objects it stays null: plugins crash."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    match kind:
        case "string":
            return ""
        case "integer":
            return 0
        case "boolean":
            return False
    return None
