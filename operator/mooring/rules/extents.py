"""How far the thing reaches that a finding is about: owns the extent of a value, or of its key, in a JSON text.

For underlining. The text need not be JSON: about one that is not, the word or the character at the place is shown.
"""

from __future__ import annotations

import json
import re

#: About the key and not about its value.
_OF_KEYS = frozenset({"MR109", "MR110", "MR111"})
_KEY = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*:\s*\Z)', re.DOTALL)
_WORD = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[\w.+-]+')
_LONGEST_KEY = 300


def extent(text: str, offset: int, code: str) -> tuple[int, int]:
    """Return the offsets of the first character, and of that behind the last one, of what is to be underlined."""
    if code in _OF_KEYS:
        start = max(0, offset - _LONGEST_KEY)
        keys = list(_KEY.finditer(text[start:offset]))
        if keys:
            return start + keys[-1].start(), start + keys[-1].end()
    word = _WORD.match(text, offset)
    if word is not None:
        return offset, word.end()
    if text[offset : offset + 1] in ("{", "["):
        decoder = json.JSONDecoder(parse_int=len, parse_float=len)
        try:
            return offset, decoder.raw_decode(text, offset)[1]
        except (ValueError, RecursionError):
            pass
    return offset, min(offset + 1, len(text))
