# SPDX-License-Identifier: BSD-3-Clause
"""Charts as SVG, drawn by the server: no script, any size, and colours from the style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 420.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 6.0, 12.0, 26.0
TICKS = 5


def columns(title: str, points: Sequence[tuple[str, float]], unit: str = "") -> Markup:
    """One column for each (label, value); the figures are also there for those who do not see."""
    top = nice(max((value for _, value in points), default=0.0))
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(points))
    high = HEIGHT - TOP - BOTTOM
    parts = [_axis(top, unit)]
    every = max(1, math.ceil(len(points) / TICKS))
    for i, (label, value) in enumerate(points):
        x, tall = LEFT + i * wide, high * value / top
        parts.append(
            Markup(
                '<rect class="bar" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}: {} {}</title></rect>'
            ).format(_n(x + wide * 0.14), _n(TOP + high - tall), _n(wide * 0.72), _n(tall), label, figure(value), unit)
        )
        if i % every == 0:
            parts.append(
                Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                    _n(x + wide / 2), _n(HEIGHT - 8), label
                )
            )
    return _svg(title, Markup().join(parts), HEIGHT)


def rows(title: str, points: Sequence[tuple[str, float]], unit: str = "") -> Markup:
    """One bar for each (label, value), lying, longest first."""
    ordered = sorted(points, key=lambda point: -point[1])
    top = max((value for _, value in ordered), default=0.0) or 1.0
    left, step = 110.0, 30.0
    parts = []
    for i, (label, value) in enumerate(ordered):
        y = TOP + i * step
        wide = (WIDTH - left - 90) * value / top
        parts.append(
            Markup(
                '<text class="label" x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect class="bar" x="{}" y="{}" width="{}" height="18" rx="2"/>'
                '<text class="figure" x="{}" y="{}">{} {}</text>'
            ).format(
                _n(left - 10), _n(y + 14), _short(label), _n(left), _n(y), _n(max(wide, 1)),
                _n(left + wide + 8), _n(y + 14), figure(value), unit,
            )
        )  # fmt: skip
    return _svg(title, Markup().join(parts), TOP * 2 + step * len(ordered))


def levels(title: str, points: Sequence[tuple[str, float, float]], unit: str = "") -> Markup:
    """One lying bar for each (label, part, whole): how much of each is taken, all to one scale."""
    top = max((whole for _, _, whole in points), default=0.0) or 1.0
    left, step = 110.0, 30.0
    parts = []
    for i, (label, part, whole) in enumerate(points):
        y, scale = TOP + i * step, (WIDTH - left - 130) / top
        parts.append(
            Markup(
                '<text class="label" x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect class="whole" x="{}" y="{}" width="{}" height="18" rx="2"/>'
                '<rect class="bar" x="{}" y="{}" width="{}" height="18" rx="2"/>'
                '<text class="figure" x="{}" y="{}">{} / {} {}</text>'
            ).format(
                _n(left - 10), _n(y + 14), _short(label), _n(left), _n(y), _n(max(whole * scale, 1)),
                _n(left), _n(y), _n(max(min(part, whole) * scale, 1)),
                _n(left + whole * scale + 8), _n(y + 14), figure(part), figure(whole), unit,
            )
        )  # fmt: skip
    return _svg(title, Markup().join(parts), TOP * 2 + step * len(points))


def nice(top: float) -> float:
    """The end of an axis for values up to *top*: 1, 2 or 5 times a power of ten, at least 1."""
    if top <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(top))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= top)


def figure(value: float) -> str:
    """A value with as many digits as say something."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def _axis(top: float, unit: str) -> Markup:
    high = HEIGHT - TOP - BOTTOM
    lines = []
    for part in (0.0, 0.5, 1.0):
        y = TOP + high * (1 - part)
        lines.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<text class="tick" x="{}" y="{}" text-anchor="end">{}{}</text>'
            ).format(
                _n(LEFT), _n(WIDTH - RIGHT), _n(y), _n(y), _n(LEFT - 6), _n(y + 4), figure(top * part),
                f" {unit}" if part == 1.0 and unit else "",
            )
        )  # fmt: skip
    return Markup().join(lines)


def _svg(title: str, inside: Markup, high: float) -> Markup:
    return Markup('<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>').format(
        title, _n(WIDTH), _n(high), inside
    )


def _short(label: str) -> str:
    return label if len(label) <= 14 else f"{label[:13]}…"


def _n(number: float) -> str:
    return f"{number:.1f}"
