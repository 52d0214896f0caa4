# SPDX-License-Identifier: BSD-3-Clause
"""Text for terminals: tables, colours, and names of other people's made harmless."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Colour(enum.Enum):
    """The eight that every terminal has, so that the user's own palette decides; value: SGR parameter (ECMA-48)."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    BLUE = "34"
    CYAN = "36"


class Painted(NamedTuple):
    """Text in a colour; None is the terminal's own."""

    text: str
    colour: Colour | None = None


def paint(text: str, colour: Colour, *, wanted: bool) -> str:
    """*text* with the escape sequences that colour it, if they are *wanted*."""
    return f"\x1b[{colour.value}m{text}\x1b[0m" if wanted else text


def clean(text: str) -> str:
    """*text* without characters that would move the cursor, change colours or break a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "�" for c in text.replace("\n", " ").replace("\t", " "))


def width(text: str) -> int:
    """Columns that *text* takes: wide East Asian characters two, combining ones none (UAX #11)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """*text*, shortened with an ellipsis to take at most *columns*."""
    if width(text) <= columns:
        return text
    kept = ""
    for c in text:
        if width(kept + c) >= columns:
            break
        kept += c
    return kept + "…"


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Painted]],
    *,
    columns: int | None = None,
    colour: bool = False,
    right: frozenset[int] | set[int] = frozenset(),
) -> str:
    """Rows under headings, each column as wide as its widest cell, numbers of *right* aligned to the right.

    With *columns* (a terminal's width) the last column is cut to fit; without, nothing is.
    """
    cells = [[Painted(h, Colour.BOLD) for h in headings], *([_painted(c) for c in row] for row in rows)]
    widths = [max(width(row[i].text) for row in cells) for i in range(len(headings))]
    if columns is not None and widths:
        widths[-1] = max(8, min(widths[-1], columns - sum(widths[:-1]) - 2 * (len(widths) - 1)))
    return "".join(_row(row, widths, right, colour=colour) for row in cells)


def _painted(cell: str | Painted) -> Painted:
    return Painted(clean(cell.text), cell.colour) if isinstance(cell, Painted) else Painted(clean(cell))


def _row(row: Sequence[Painted], widths: list[int], right: frozenset[int] | set[int], *, colour: bool) -> str:
    line = ""
    for i, cell in enumerate(row):
        text = cut(cell.text, widths[i])
        gap = " " * (widths[i] - width(text))
        shown = text if cell.colour is None else paint(text, cell.colour, wanted=colour)
        last = i == len(row) - 1
        line += gap + shown if i in right else shown + ("" if last else gap)
        line += "" if last else "  "
    return line.rstrip(" ") + "\n"
