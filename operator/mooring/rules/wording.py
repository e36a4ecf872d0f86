"""Words for values: owns how a value out of a configuration is shown in a sentence, short and harmless."""

from __future__ import annotations

import json

_LONGEST = 60


def quote(text: str) -> str:
    """Return a text in double quotes, cut, without anything that a terminal would act on."""
    shown = shorten(text)
    return '"' + "".join(c if c.isprintable() else "?" for c in shown) + '"'


def shorten(text: str) -> str:
    """Return a text of ours that holds others' words, cut."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def value(item: object) -> str:
    """Return a value as it stands in JSON, cut."""
    match item:
        case str():
            return quote(item)
        case dict() | list():
            return "{...}" if isinstance(item, dict) else "[...]"
    return shorten(json.dumps(item))


def kind(item: object) -> str:
    """Name the JSON type of a value, with its article."""
    match item:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
    return "an object"
