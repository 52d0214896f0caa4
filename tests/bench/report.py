# SPDX-License-Identifier: BSD-3-Clause
"""The table and the file of results."""

from __future__ import annotations

import textwrap
from pathlib import Path

import msgspec

from bench.model import Result

HEADINGS = ("row", "unit", "ours", "peer", "its figure", "ratio", "goal", "", "CPU ours", "CPU peer")
_LEFT = {0, 1, 3, 7}


def figure(value: float | None) -> str:
    """Three significant digits, thousands set apart."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(ratio: float | None) -> str:
    """A ratio, as ``8.0x``."""
    return "-" if ratio is None else f"{figure(ratio)}x"


def cpu(seconds: float | None) -> str:
    """CPU time per unit of work, in the unit that suits."""
    if seconds is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= scale:
            return f"{figure(seconds / scale)} {unit}"
    return f"{figure(seconds / 1e-6)} us"


def verdict(result: Result) -> str:
    """Whether the goal is reached, in one word."""
    return {True: "reached", False: "missed", None: ""}[result.reached]


def table(results: list[Result]) -> str:
    """All results as text, with what the reader must know below."""
    cells = [HEADINGS, *(_cells(result) for result in results)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines.append("")
    lines.append("Medians; ratio > 1: we are ahead. CPU: client and server processes together, per unit of work.")
    for result in results:
        goal = f" Goal: {figure(result.bound)} {result.unit}." if result.bound is not None else ""
        note = f" {result.note}" if result.note else ""
        missing = f" No figure: {result.why}" if result.why else ""
        text = f"{result.name}: {result.title} (CPU per {result.work}).{goal}{note}{missing}"
        lines += textwrap.wrap(text, 118, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.name,
        result.unit,
        figure(result.ours),
        result.peer,
        figure(result.peer_value),
        times(result.ratio),
        times(result.goal),
        verdict(result),
        cpu(result.cpu_ours),
        cpu(result.cpu_peer),
    )


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = zip(row, widths, strict=True)
    return "  ".join(c.ljust(w) if i in _LEFT else c.rjust(w) for i, (c, w) in enumerate(cells)).rstrip()


def write_json(results: list[Result], path: Path) -> None:
    """``results.json``: a list of rows."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
