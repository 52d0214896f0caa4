# SPDX-License-Identifier: BSD-3-Clause
"""The results as one picture: for each row how far ahead of its peer we are, and where its goal is (SVG by hand)."""

from __future__ import annotations

import html
import math

from bench.model import Result
from bench.report import figure, times

WIDTH, ROW, TOP, BOTTOM = 1160, 44, 84, 64
LEFT, RIGHT = 170, 370
REACHED, MISSED, NEUTRAL = "#2f7d5b", "#c2613a", "#8a949b"
INK, SOFT, GRID = "#22272b", "#6a737a", "#e3e6e8"


def picture(results: list[Result], *, subtitle: str = "") -> str:
    """An SVG document. Bars lie on a logarithmic scale that starts at the peer's figure, 1."""
    known = [value for r in results for value in (r.ratio, r.goal) if value is not None]
    scale = _Scale(min([0.5, *known]), max([10.0, *known]))
    height = TOP + ROW * len(results) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(24, 34, "XtreemOS beside its peers", size=20, weight=600),
        _text(24, 58, subtitle, colour=SOFT),
        *_axis(scale, TOP - 6, height - BOTTOM),
    ]
    for number, result in enumerate(results):
        parts += _bar(result, scale, TOP + ROW * number)
    parts += _legend(height - 16)
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Scale:
    """From a ratio to a place on the x axis; powers of ten, or 1-2-5 steps when they are few."""

    def __init__(self, least: float, most: float) -> None:
        self.low = math.log10(least) - 0.05
        self.high = math.log10(most) + 0.08

    def x(self, ratio: float) -> float:
        part = (math.log10(max(ratio, 10**self.low)) - self.low) / (self.high - self.low)
        return LEFT + min(part, 1.0) * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = (1, 2, 5) if self.high - self.low < 3 else (1,)
        return [step * 10.0**p for p in powers for step in steps if self.low <= math.log10(step * 10.0**p) <= self.high]


def _axis(scale: _Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for tick in scale.ticks():
        x = scale.x(tick)
        one = math.isclose(tick, 1.0)
        parts.append(_line(x, top, x, bottom, INK if one else GRID, 1.5 if one else 1))
        label = "peer" if one else f"{tick:g}x"
        parts.append(_text(x, bottom + 18, label, colour=INK if one else SOFT, size=12, anchor="middle"))
    return parts


def _bar(result: Result, scale: _Scale, y: float) -> list[str]:
    middle = y + ROW / 2
    parts = [_text(LEFT - 14, middle + 5, result.name, anchor="end", weight=600)]
    column = WIDTH - RIGHT + 22
    if result.ratio is None:
        parts.append(_text(LEFT + 8, middle + 5, "not measured", colour=SOFT, style="italic"))
    else:
        start, end = sorted((scale.x(1.0), scale.x(result.ratio)))
        colour = {True: REACHED, False: MISSED, None: NEUTRAL}[result.reached]
        parts.append(
            f'<rect x="{start:.1f}" y="{y + 11}" width="{max(2.0, end - start):.1f}" height="{ROW - 22}" rx="2"'
            f' fill="{colour}"><title>{html.escape(result.title)}</title></rect>'
        )
        parts.append(_text(column, middle + 5, times(result.ratio), weight=600, colour=colour))
    if result.goal is not None:
        x = scale.x(result.goal)
        parts.append(_line(x, y + 5, x, y + ROW - 5, INK, 2.5))
    values = f"{figure(result.ours)} · {result.peer} {figure(result.peer_value)} {result.unit}"
    parts.append(_text(column + 64, middle + 5, values, colour=SOFT, size=12))
    return parts


def _legend(y: float) -> list[str]:
    parts = []
    for x, colour, label in ((24, REACHED, "goal reached"), (144, MISSED, "goal missed")):
        parts.append(f'<rect x="{x}" y="{y - 11}" width="12" height="12" rx="2" fill="{colour}"/>')
        parts.append(_text(x + 18, y, label, colour=SOFT, size=12))
    parts.append(_line(264, y - 13, 264, y + 3, INK, 2.5))
    parts.append(_text(274, y, "goal", colour=SOFT, size=12))
    parts.append(_text(330, y, "times ahead of the peer, logarithmic; medians", colour=SOFT, size=12))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = INK,
    size: int = 14,
    anchor: str = "start",
    weight: int = 400,
    style: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"'
        f' font-weight="{weight}" font-style="{style}">{html.escape(text)}</text>'
    )
