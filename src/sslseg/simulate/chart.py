"""Curves as a picture: a small SVG, which every browser shows and every word processor takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from sslseg.core.events import ArmCurve

WIDTH, HEIGHT, LEFT, TOP, GAP = 340, 240, 46, 24, 44
COLORS = ("#2d6cb5", "#d9822b", "#3a9a64", "#8e5bc0", "#c23b4b", "#7a6a3a", "#2a9aa5", "#555555")
"""Of the arms in turn; those that differ in their seed alone share one."""

_STYLE = "font-family='sans-serif' font-size='11' fill='#333'"


def draw(curves: Sequence[ArmCurve]) -> str:
    """Return Dice against slices and against annotation minutes, side by side, as SVG."""
    names = list(dict.fromkeys(curve.name for curve in curves))
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}
    width, height = 2 * (LEFT + WIDTH) + GAP, TOP + HEIGHT + 44 + 16 * len(names)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' {_STYLE}>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
        *_panel(curves, "slices", "labelled slices", LEFT, colors),
        *_panel(curves, "minutes", "annotation minutes (estimated)", 2 * LEFT + WIDTH, colors),
    ]
    for row, (name, color) in enumerate(colors.items()):
        y = TOP + HEIGHT + 48 + 16 * row
        parts.append(f"<rect x='{LEFT}' y='{y - 8}' width='18' height='4' fill='{color}'/>")
        parts.append(f"<text x='{LEFT + 26}' y='{y}'>{escape(name)}</text>")
    return "\n".join([*parts, "</svg>\n"])


def _round_up(value: float) -> float:
    """Return the least number not below `value` whose quarters are round."""
    scale = 10.0 ** math.floor(math.log10(max(value, 1e-3) / 4))
    return (
        4
        * scale
        * next(
            step for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if 4 * scale * step >= value
        )
    )


def _panel(
    curves: Sequence[ArmCurve], along: str, title: str, left: int, colors: dict[str, str]
) -> list[str]:
    """Return axes and lines of one panel; Dice runs from 0 to 1."""
    end = _round_up(max((x for curve in curves for x in getattr(curve, along)), default=1.0))
    bottom = TOP + HEIGHT
    parts = [
        f"<text x='{left}' y='{TOP - 9}'>Dice</text>",
        f"<text x='{left + WIDTH / 2}' y='{bottom + 32}' text-anchor='middle'>{title}</text>",
    ]
    for tenth in range(0, 11, 2):
        y = bottom - HEIGHT * tenth / 10
        parts.append(f"<path d='M{left} {y:.1f}h{WIDTH}' stroke='#ddd'/>")
        parts.append(f"<text x='{left - 6}' y='{y + 4:.1f}' text-anchor='end'>{tenth / 10}</text>")
    for tick in range(5):
        x = left + WIDTH * tick / 4
        parts.append(
            f"<text x='{x:.1f}' y='{bottom + 16}' text-anchor='middle'>{end * tick / 4:.3g}</text>"
        )
    for curve in curves:
        points = [
            (left + WIDTH * x / end, bottom - HEIGHT * y)
            for x, y in zip(getattr(curve, along), curve.dice, strict=True)
            if y is not None
        ]
        color = colors[curve.name]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f"<polyline points='{line}' fill='none' stroke='{color}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{color}'/>" for x, y in points]
    return parts
