"""CNI configurations as text: owns how `spec.config` becomes a value, and why it does not.

It reads what Go's decoder reads, and refuses what that one refuses (NaN, a second document, a comment). What a
value means is the business of the rules. The trap that shaped it: half of all broken definitions in public
repositories are not JSON at all, so the error has to say where, and what is usually meant there.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, TypeAlias

from mooring.networks import paths

if TYPE_CHECKING:
    from collections.abc import Callable

#: The last step to a value, and the chain that leads to what holds it.
_Chain: TypeAlias = "tuple[_Chain | None, str | int]"

#: The versions of the CNI specification that were published.
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

#: The duplicates that are named; one alone decides as much as all of them.
_MOST_DUPLICATES = 100

_EXCERPT = 28
_WORD = re.compile(r"[A-Za-z_](?:[\w.:-]*\w)?")
_BLANKS = " \t\n\r"
_TEXT_OR_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|-?\w+', re.DOTALL)
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A parsed configuration: its value, the first hundred keys that stand more than once, and where all stands."""

    value: object
    duplicates: tuple[paths.Path, ...]
    places: paths.Locator


class NotJSONError(ValueError):
    """A text that is not one JSON value.

    `problem` is a clause without a full stop, `excerpt` one line of the text with `<HERE>` at the place,
    `hint` a sentence on what to write instead.
    """

    def __init__(self, *, problem: str, place: paths.Position, excerpt: str, hint: str) -> None:
        super().__init__(f"line {place.line}, column {place.column}: {problem}")
        self.problem = problem
        self.place = place
        self.excerpt = excerpt
        self.hint = hint


def parse(text: str, *, of_pairs: Callable[[list[tuple[str, object]]], dict[str, object]] = dict) -> Document:
    """Parse a configuration; raise NotJSONError with the place of the mistake.

    `of_pairs` makes an object of its members, which may hold a key more than once.
    """
    repeated: dict[int, tuple[dict[str, object], set[str]]] = {}

    def collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
        value = of_pairs(pairs)
        if len(value) != len(pairs):
            seen: set[str] = set()
            twice = {key for key, _ in pairs if key in seen or seen.add(key)}  # type: ignore[func-returns-value]
            repeated[id(value)] = (value, twice)
        return value

    try:
        value = json.loads(text, object_pairs_hook=collect, parse_constant=_refuse_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _explain(text, error.pos, error.msg) from error
    except _ConstantError as error:
        raise _explain(text, _outside_of_texts(text, str(error)), "") from error
    except RecursionError as error:
        raise _failure(text, 0, "nested too deep", "Write a configuration with fewer levels of brackets.") from error
    return Document(value=value, duplicates=_paths_of(value, repeated) if repeated else (), places=paths.Locator(text))


class _ConstantError(ValueError):
    """NaN or an infinity: Python reads them, JSON has none."""


def _refuse_constant(name: str) -> object:
    raise _ConstantError(name)


def _integer(digits: str) -> int | float:
    # Python limits the digits of an integer; such a number fits no option anyway, so its size is enough.
    return int(digits) if len(digits) < 400 else float(digits)


def _paths_of(value: object, repeated: dict[int, tuple[dict[str, object], set[str]]]) -> tuple[paths.Path, ...]:
    found: list[paths.Path] = []
    # A path is a chain of steps until it is wanted: written out for every value of a deep text they fill the memory.
    waiting: list[tuple[_Chain | None, object]] = [(None, value)]
    while waiting and len(found) < _MOST_DUPLICATES:
        chain, item = waiting.pop()
        if isinstance(item, dict):
            if id(item) in repeated:
                room = _MOST_DUPLICATES - len(found)
                found.extend((*_steps(chain), key) for key in sorted(repeated[id(item)][1])[:room])
            waiting.extend(((chain, key), child) for key, child in item.items() if isinstance(child, (dict, list)))
        elif isinstance(item, list):
            waiting.extend(
                ((chain, index), child) for index, child in enumerate(item) if isinstance(child, (dict, list))
            )
    return tuple(sorted(found, key=paths.render))


def _steps(chain: _Chain | None) -> paths.Path:
    found: list[str | int] = []
    while chain is not None:
        chain, step = chain
        found.append(step)
    return tuple(reversed(found))


def _failure(text: str, offset: int, problem: str, hint: str) -> NotJSONError:
    place = paths.position(text, offset)
    before = text[max(0, offset - _EXCERPT) : offset]
    after = text[offset : offset + _EXCERPT]
    lead = "..." if offset > _EXCERPT else ""
    tail = "..." if offset + _EXCERPT < len(text) else ""
    excerpt = " ".join(f"{lead}{before}<HERE>{after}{tail}".split())
    return NotJSONError(problem=problem, place=place, excerpt=excerpt, hint=hint)


def _outside_of_texts(text: str, word: str) -> int:
    for match in _TEXT_OR_WORD.finditer(text):
        if match.group() == word:
            return match.start()
    return 0


def _explain(text: str, offset: int, reason: str) -> NotJSONError:
    """Say what is meant to stand at the place where the decoder gave up; `reason` is the decoder's own word."""
    if not text.strip(_BLANKS):
        return _failure(text, 0, "it holds nothing but blanks", 'Write a configuration, or "" for none.')
    if reason.startswith("Invalid control character"):
        problem, hint = "a line break or tab inside a text", "Close the text on its line, or write \\n or \\t."
        return _failure(text, offset, problem, hint)
    if reason.startswith("Unterminated string"):
        return _failure(text, offset, "a text that never ends", 'Close the text with a double quote (").')
    if reason.startswith("Invalid \\"):
        return _failure(text, offset, "a backslash that escapes nothing", "Write \\\\ for one backslash.")
    while offset < len(text) and text[offset] in _BLANKS:
        offset += 1
    problem, hint = _diagnose(text, offset)
    if reason == "Extra data" and text[offset] in '{["':
        problem, hint = "something after the end of the object", "Remove what follows the last bracket."
    return _failure(text, offset, problem, hint)


def _diagnose(text: str, offset: int) -> tuple[str, str]:
    rest = text[offset:]
    before = text[:offset].rstrip(_BLANKS)
    last = before[-1:]
    if not rest:
        return _unclosed(text)
    if rest.startswith("\ufeff"):
        return "a byte order mark", "Save the file without a byte order mark."
    if rest.startswith(("//", "/*", "#")):
        return (
            "a comment; JSON has none, and where YAML folded the lines it swallows all that follows",
            "Remove the remark, or put it into the YAML outside of the string.",
        )
    if rest.startswith("{{") or (rest.startswith("{") and last == "{"):
        return "a template that nothing expanded", "Expand the template before this is applied."
    if rest.startswith(("${", "$(")):
        return (
            "a placeholder that nothing expanded",
            "Give the variable its value before this is applied, and put text into double quotes.",
        )
    if (rest[0] in "}]" and last == ",") or (rest[0] == "," and rest[1:].lstrip(_BLANKS)[:1] in ("}", "]")):
        return "a comma after the last entry", "Remove the last comma of the list."
    if rest[0] == ",":
        return "a comma too many", "Remove one comma."
    if rest[0] == "'":
        return "a single quote", 'Put names and text into double quotes ("), JSON knows no others.'
    if rest[0] in "\u201c\u201d\u201e\u2018\u2019":
        return "a typographic quote", 'Put names and text into straight double quotes (").'
    return _between(text, before, rest)


def _between(text: str, before: str, rest: str) -> tuple[str, str]:
    """Tell a missing comma or colon from a bare word and from brackets that do not match."""
    last = before[-1:]
    adjacent = text[len(before) : len(before) + 1] == rest[0]
    if last.isdigit() and adjacent and (rest[0] == "." or rest[0].isalnum()):
        return (
            "a number that goes on",
            "Put addresses and versions into double quotes, and write numbers without leading zeros.",
        )
    word = _WORD.match(rest)
    if word is not None and (last in "{[,:" or not before):
        return _bare_word(text, word.group())
    if rest[0] in '"{[' or rest[0].isalnum() or rest[0] == "-":
        if last in ("", "{", "[", ",", ":"):
            return "something else than a name in double quotes", 'Write "name": value.'
        if last == '"' and _after_key(before):
            return "a missing colon", "Write a colon between the name and its value."
        return "a missing comma", "Write a comma between the two."
    if rest[0] in "}]":
        if last == ":":
            return "a name without a value", "Write a value after the colon."
        try:
            json.JSONDecoder().raw_decode(text.lstrip(_BLANKS))
        except (ValueError, RecursionError):
            return f"a `{rest[0]}` that closes nothing here", "Make every bracket close the one it belongs to."
        return "a bracket too many; the object was closed before", "Remove what follows the last bracket."
    return "something that is not JSON", "Write names and text in double quotes, separated by commas."


def _bare_word(text: str, word: str) -> tuple[str, str]:
    meant = {"True": "true", "False": "false", "None": "null", "nil": "null", "yes": "true", "no": "false"}
    if word in meant:
        return f"the word `{word}`", f"Write {meant[word]}."
    if word in ("NaN", "Infinity"):
        return f"the word `{word}`; JSON has no such number", "Write a number."
    if not text.lstrip(_BLANKS).startswith(("{", "[")):
        return "text that is not JSON (YAML, or the name of a file?)", "Write a JSON object: { ... }."
    return f"the word `{word}` without quotes", 'Put names and text into double quotes (").'


def _after_key(before: str) -> bool:
    """Tell whether the text that ends `before` is a key: it follows `{` or, in an object, a comma."""
    start = before.rfind('"', 0, len(before) - 1)
    lead = before[:start].rstrip(_BLANKS)
    return lead[-1:] == "{"


def _unclosed(text: str) -> tuple[str, str]:
    stack: list[str] = []
    for match in _TEXT_OR_BRACKET.finditer(text):
        character = match.group()
        if character in "{[":
            stack.append("}" if character == "{" else "]")
        elif character in "}]" and stack and stack[-1] == character:
            stack.pop()
    if stack:
        missing = "".join(reversed(stack))
        return f"the end, with {len(stack)} bracket(s) still open", f"Write `{missing[:40]}` at the end."
    return "the end", "Write the value that is missing."
