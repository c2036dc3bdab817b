"""A figure of the report: plotly's own data and layout as plain values, ready for JSON.

Colours are names of the page's CSS variables, `var(--trained)`, which the page replaces by its
light or dark value when it draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from textwrap import wrap
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]

# Okabe & Ito's colours, told apart under every common colour blindness, as shades that hold
# against the page; `report.css` has the values.
_POLICY_COLOURS = {"before": "var(--before)", "trained": "var(--trained)"}
_NUM_COLOURS = 8
# Beside colour, so that stacked parts are told apart without it.
_PATTERNS = ("", "/", ".", "\\", "x", "-", "|", "+")
_DASHES = ("dash", "dot", "dashdot", "longdash")
_MARKERS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
# Above the drawing, so that it never meets the axis below.
LEGEND: Json = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}


@dataclass(frozen=True)
class Plot:
    """One drawing.

    `patches` maps the chosen options' indices, "3" or "0,2", to what changes in each trace.
    """

    unit: str  # what the axis of values counts, printed above the drawing
    data: list[Json]
    layout: Json
    patches: dict[str, list[Json]] = field(default_factory=dict)


@dataclass(frozen=True)
class Control:
    """How a reader chooses what is drawn."""

    kind: Literal["range", "select"]
    label: str
    options: list[str]
    start: int = 0


@dataclass(frozen=True)
class Figure:
    """A section of the report."""

    id: str
    title: str
    reading: str  # one sentence on how to read it
    plots: list[Plot]
    controls: list[Control] = field(default_factory=list)
    wide: bool = False  # too wide for a phone: scrolls inside its own box

    def to_json(self) -> Json:
        """Returns what the page's script reads."""
        return asdict(self)


def make_layout(height: int, **given: Any) -> Json:
    """Returns a plotly layout in the page's typography."""
    axis = {
        "gridcolor": "var(--grid)", "linecolor": "var(--rule)", "zerolinecolor": "var(--rule)",
        "automargin": True,
    }  # fmt: skip
    layout: Json = {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "var(--text)"},
        "hoverlabel": {"bgcolor": "var(--surface)", "bordercolor": "var(--rule)",
                       "font": {"color": "var(--text)"}},
        "legend": LEGEND,
        "dragmode": False,  # a finger scrolls the page
    }  # fmt: skip
    for name in ("xaxis", "yaxis"):
        layout[name] = {**axis, **given.pop(name, {})}
    return {**layout, **given}


def get_colour(number: int) -> str:
    """Returns the colour of the number-th series, from 0; there is one for every number."""
    return f"var(--series-{number % _NUM_COLOURS + 1})"


def get_pattern(number: int) -> str:
    """Returns the hatching of a series: with its colour it tells 64 series apart."""
    return _PATTERNS[(number + number // _NUM_COLOURS) % len(_PATTERNS)]


def get_dash(number: int) -> str:
    """Returns the line style of a series."""
    return _DASHES[number % len(_DASHES)]


def get_marker(number: int) -> str:
    """Returns the mark of a series."""
    return _MARKERS[number % len(_MARKERS)]


def choose_colours(policies: Sequence[str]) -> dict[str, str]:
    """Returns a colour for each policy: the same in every figure."""
    others = [name for name in policies if name not in _POLICY_COLOURS]
    colours = {name: get_colour(i) for i, name in enumerate(others)}
    return {name: (_POLICY_COLOURS | colours)[name] for name in policies}


def make_label(name: str) -> str:
    """A policy's, agent's or metric's name for people."""
    return name.replace("_", " ")


def show_plainly(name: str) -> str:
    """A name as plotly is to show it, letter by letter: it takes `<` and `%{` for its own."""
    return escape(name, quote=False).replace("%{", "%\N{ZERO WIDTH SPACE}{")


def make_tick(name: str) -> str:
    """A label that leaves a phone's axis room: broken into short lines."""
    lines = wrap(make_label(name), 12, break_long_words=False)
    return "<br>".join(show_plainly(line) for line in lines)


def to_list(values: NDArray[Any], decimals: int = 3) -> list[Any]:
    """Returns an array as JSON holds it: rounded, with null for NaN."""
    rounded = np.round(np.asarray(values, dtype=np.float64), decimals).astype(object)
    rounded[np.isnan(values)] = None
    listed: list[Any] = rounded.tolist()
    return listed
