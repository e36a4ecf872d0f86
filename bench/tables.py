"""Plain text for people: columns that line up. Owns no numbers and no words but its own layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table: the first column to the left, the last to the left, all between to the right.

    Every row has as many cells as the header; ValueError where one has not.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"{len(row)} cells under {len(header)} headings: {row}")
    widths = [max(len(cells[column]) for cells in [header, *rows]) for column in range(len(header))]
    last = len(header) - 1

    def line(cells: Sequence[str]) -> str:
        shown = [
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(shown).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *(line(row) for row in rows)])


def milliseconds(seconds: float) -> str:
    """Show seconds as milliseconds with two digits."""
    return f"{seconds * 1000:.2f}"


def signed(seconds: float) -> str:
    """Show a difference of seconds as milliseconds with its sign."""
    return f"{seconds * 1000:+.2f}"


def between(lower: float, upper: float) -> str:
    """Show a range of differences in seconds as milliseconds."""
    return f"{lower * 1000:+.1f} to {upper * 1000:+.1f}"


def mebibytes(kibibytes: float) -> str:
    """Show KiB as MiB with one digit."""
    return f"{kibibytes / 1024:.1f}"
