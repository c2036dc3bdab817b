"""Line plots as SVG, for pages that need nothing but a browser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 28, 44  # margins
# Okabe & Ito's colours, told apart under every common colour blindness and on light and dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREY = "#888888"
MOST_STEPS = 6  # between the marks of an axis


@dataclass(frozen=True)
class Line:
    """A named line of points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def draw_lines(lines: Sequence[Line], x_title: str, y_title: str) -> str:
    """Returns an SVG of the lines; both axes include zero.

    Raises:
        ValueError: if there is no point.
    """
    x_marks = list_marks([value for line in lines for value in line.x])
    y_marks = list_marks([value for line in lines for value in line.y])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{GREY}">',
        _write(LEFT, 14, y_title, "start"),
        _write((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_title, "middle"),
        *_draw_axes(x_marks, y_marks),
    ]
    for i, line in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        x = [_place_x(value, x_marks) for value in line.x]
        y = [_place_y(value, y_marks) for value in line.y]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        if len(lines) > 1:
            parts.append(
                _write(WIDTH - RIGHT, HEIGHT - BOTTOM - 8 - 16 * i, line.name, "end", colour)
            )
    return "\n".join((*parts, "</svg>")) + "\n"


def list_marks(values: Sequence[float]) -> list[float]:
    """Returns round, equidistant marks from below zero and all values to above them.

    Raises:
        ValueError: if there are no values.
    """
    if not values:
        raise ValueError("values are empty; at least one is needed")
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / MOST_STEPS))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= MOST_STEPS)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def _draw_axes(x_marks: Sequence[float], y_marks: Sequence[float]) -> Iterator[str]:
    for mark in y_marks:
        y, opacity = _place_y(mark, y_marks), 0.25 if mark else 0.8
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{GREY}" stroke-opacity="{opacity}"/>'
        )
        yield _write(LEFT - 8, y + 4, f"{mark:g}", "end")
    for mark in x_marks:
        yield _write(_place_x(mark, x_marks), HEIGHT - BOTTOM + 18, f"{mark:g}", "middle")


def _place_x(value: float, marks: Sequence[float]) -> float:
    share = (value - marks[0]) / (marks[-1] - marks[0])
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _place_y(value: float, marks: Sequence[float]) -> float:
    share = (value - marks[0]) / (marks[-1] - marks[0])
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _write(x: float, y: float, text: str, anchor: str, colour: str = GREY) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
