"""Manifests as files: owns reading YAML so that each value is found again in the file.

YAML folds, indents and escapes the text of `spec.config`; a place in that text is worth little to a person whose
editor shows the file. Whitespace is all that folding changes, so a place is carried over by counting the other
characters. It refuses to know what a manifest means; objects inside of a `List` come out one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING, Any, cast

import yaml

from mooring.networks import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\n[ \t]*|.)", re.DOTALL)
_BLANK_ESCAPES = ("\\n", "\\t", "\\r", "\\ ", "\\\t", "\\\n")


class NotYAMLError(ValueError):
    """A file that is not YAML; `place` is where the reader gave up."""

    def __init__(self, problem: str, place: paths.Position) -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file: its value, and the nodes that know where everything stands in the text of the file."""

    value: dict[str, object]
    text: str = dataclasses.field(repr=False)
    node: yaml.Node = dataclasses.field(repr=False)

    def locate(self, steps: tuple[str, ...]) -> paths.Position:
        """Return where the deepest value on a path of keys stands that there is."""
        node = _walk(self.node, steps)
        return paths.position(self.text, node.start_mark.index)

    def inside(self, steps: tuple[str, ...], offset: int) -> paths.Position:
        """Return where a character of the text at a path of keys stands in the file; `offset` counts from 0."""
        return self.span(steps, offset, offset)[0]

    def span(self, steps: tuple[str, ...], start: int, end: int) -> tuple[paths.Position, paths.Position]:
        """Return where the characters from `start` up to `end` of the text at a path of keys stand in the file.

        The second place is that behind the last character. Where there is no text, it is the extent of the value.
        """
        node = _walk(self.node, steps)
        if not isinstance(node, yaml.ScalarNode) or not isinstance(node.value, str):
            return self.extent(steps)
        before = sum(not character.isspace() for character in node.value[:start])
        within = sum(not character.isspace() for character in node.value[start:end])
        first = last = _offset(self.text, node, before)
        if within > 1:
            last = _offset(self.text, node, before + within - 1)
        width = _unit(self.text, last, node.style)[0] if last < len(self.text) else 0
        return paths.position(self.text, first), paths.position(self.text, last + width)

    def extent(self, steps: tuple[str, ...]) -> tuple[paths.Position, paths.Position]:
        """Return where the first line of the deepest value on a path of keys begins and ends."""
        node = _walk(self.node, steps)
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            start = self.text.find("\n", start) + 1
            while start < end and self.text[start].isspace():
                start += 1
        line = self.text[start:end].partition("\n")[0].rstrip()
        return paths.position(self.text, start), paths.position(self.text, start + len(line))


def read(text: str) -> list[Manifest]:
    """Read all objects of a file; documents that are no objects are left out. Raises NotYAMLError."""
    try:
        nodes = [node for node in _composed(text) if node is not None]
        return [manifest for node in nodes for manifest in _objects(text, node)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = paths.position(text, mark.index if mark is not None else 0)
        raise NotYAMLError(error.problem or "not YAML", place) from error
    except yaml.reader.ReaderError as error:
        raise NotYAMLError("a character that YAML does not know", paths.position(text, error.position)) from error
    except (RecursionError, ValueError) as error:
        raise NotYAMLError(f"not YAML: {error}", paths.position(text, 0)) from error


def _composed(text: str) -> list[yaml.Node | None]:
    """Compose all documents, from libyaml's events where PyYAML has it; what fails is told by Python's own reader."""
    # libyaml does not count a byte order mark, and its places would be one off.
    if _FAST is not None and not text.startswith("\ufeff"):
        with contextlib.suppress(yaml.YAMLError, ValueError):
            return list(yaml.compose_all(text, Loader=_FAST))
    return list(yaml.compose_all(text, Loader=yaml.SafeLoader))


def _fast() -> Any:
    """Return a loader that scans in C and composes in Python, or None where PyYAML was built without libyaml.

    PyYAML's own for libyaml composes in C as well, without a limit: some thousand open brackets end the process.
    """
    source = getattr(yaml, "CSafeLoader", None)
    if source is None:
        return None
    return type("_Fast", (_Composing, source), {})


class _Composing(yaml.composer.Composer):
    """Python's composer, with nothing of its own that the source of events would be made by."""

    def __init__(self, stream: str) -> None:
        super().__init__()  # the anchors
        yaml.CSafeLoader.__init__(cast("Any", self), stream)


_FAST = _fast()


def _objects(text: str, node: yaml.Node) -> Iterator[Manifest]:
    value = _value(node)
    if not isinstance(value, dict):
        return
    items = _walk(node, ("items",))
    if value.get("kind") in ("List", "NetworkAttachmentDefinitionList") and isinstance(items, yaml.SequenceNode):
        for item in items.value:
            yield from _objects(text, item)
        return
    yield Manifest(value=value, text=text, node=node)


def _value(node: yaml.Node) -> object:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, steps: tuple[str, ...]) -> yaml.Node:
    for step in steps:
        if not isinstance(node, yaml.MappingNode):
            return node
        found = [value for key, value in node.value if key.value == step]
        if not found:
            return node
        # Of a key that stands twice YAML's readers take the last one.
        node = found[-1]
    return node


def _offset(text: str, node: yaml.ScalarNode, before: int) -> int:
    """Return the offset in the file of the character that has `before` characters other than blanks before it."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        start = text.find("\n", start) + 1
    elif node.style in ("'", '"'):
        start, end = start + 1, end - 1
    offset = start
    while offset < end:
        width, counts = _unit(text, offset, node.style)
        if counts and before == 0:
            return offset
        before -= counts
        offset += width
    return end


def _unit(text: str, offset: int, style: str | None) -> tuple[int, bool]:
    """Return how many characters of the file make one of the value, and whether that one is no blank."""
    if style == "'" and text.startswith("''", offset):
        return 2, True
    if style == '"' and text[offset] == "\\":
        match = _ESCAPE.match(text, offset)
        if match is not None:
            return match.end() - offset, not match.group().startswith(_BLANK_ESCAPES)
    return 1, not text[offset].isspace()
