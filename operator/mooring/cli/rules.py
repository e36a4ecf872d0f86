"""`mooring rules`: owns printing the rules that were asked for; what is said of them is of linting.explaining."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mooring.linting import explaining, settings
from mooring.rules import catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(codes: Sequence[str]) -> int:
    """List the rules, or explain those that are named; the beginning of a code (`MR3`) lists a family.

    Exit status 2: there is no such rule.
    """
    try:
        chosen = settings.codes(codes, name="mooring rules")
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    families = [code for code in chosen if code not in catalogue.RULES]
    if families or not chosen:
        print("\n".join(explaining.table(families)))
    for code in chosen:
        if code in catalogue.RULES:
            print("\n".join(explaining.explain(code)))
    return 0
