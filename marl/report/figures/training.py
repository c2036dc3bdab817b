"""The course of training: the paper's figures 2 and 3, from metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from envs.omnichannel.types import FloatArray
from marl.evaluation.evaluate import UNTRAINED, Intervals
from marl.report.figures.base import (
    Figure,
    Json,
    Plot,
    choose_colours,
    get_dash,
    make_label,
    make_layout,
    show_plainly,
    to_list,
)

Records = Sequence[Mapping[str, float]]  # lines of metrics.jsonl
Policies = Mapping[str, Intervals]  # by policy

MOST_POINTS = 400  # of a curve; longer ones are averaged in blocks
TRAINED = "trained"


def make_reward_figure(records: Records, policies: Policies) -> Figure:
    """Reward over episodes (Fig. 2)."""
    plot = _make_plot(records, policies, "reward", factor=1, decimals=4, unit="reward (eq. 8)")
    return Figure(
        id="reward",
        title="Reward over training",
        reading="The bold line is the greedy policy on validation episodes, the thin one what the "
        "agents earned while they explored; above a dashed line they beat that policy.",
        plots=[plot],
    )


def make_service_figure(records: Records, policies: Policies, period: str = "day") -> Figure:
    """Service over episodes (Fig. 3), by both meanings."""
    plots = [
        _make_plot(records, policies, metric, factor=100, decimals=2, unit=unit)
        for metric, unit in (
            ("on_time", "% of units demanded, on time"),
            ("served", "% of units demanded, served"),
        )
    ]
    return Figure(
        id="service",
        title="Service over training",
        reading=f"On time counts units handed over in the {period} of their demand, served "
        "those handed over in the end; the bold line is the greedy policy on validation episodes.",
        plots=plots,
    )


def _make_plot(
    records: Records, policies: Policies, metric: str, *, factor: float, decimals: int, unit: str
) -> Plot:
    exploring = _thin(*read_curve(records, f"train/{metric}"))
    greedy = read_curve(records, f"eval/{metric}")
    hover = f"episode %{{x}}: %{{y:.{decimals}f}}"
    data = [
        _make_line(exploring, factor, decimals, "training", hover, {"width": 1}),
        _make_line(greedy, factor, decimals, "validation", hover, {"width": 3}),
    ]
    end = max((x[-1] for x, _ in (exploring, greedy) if len(x)), default=0.0)
    data += _make_references(policies, metric, factor, decimals, float(end))
    layout = make_layout(360, xaxis={"title": {"text": "episodes"}, "rangemode": "tozero"})
    return Plot(unit, data, layout)


def read_curve(records: Records, tag: str) -> tuple[FloatArray, FloatArray]:
    """Returns episodes and values of a tag, each (n,), from the lines that have it."""
    found = [(record["episodes"], record[tag]) for record in records if tag in record]
    x, y = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return x, y


def _thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Averages neighbours until at most `MOST_POINTS` are left."""
    if len(x) <= MOST_POINTS:
        return x, y
    blocks = [np.array_split(values, MOST_POINTS) for values in (x, y)]
    means = [np.array([block.mean() for block in values]) for values in blocks]
    return means[0], means[1]


def _make_line(
    curve: tuple[FloatArray, FloatArray],
    factor: float,
    decimals: int,
    name: str,
    hover: str,
    line: Json,
) -> Json:
    x, y = curve
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": to_list(x, 0),
        "y": to_list(factor * y, decimals),
        "line": {"color": "var(--trained)", **line},
        "hovertemplate": f"{hover}<extra>{name}</extra>",
    }


def _make_references(
    policies: Policies, metric: str, factor: float, decimals: int, end: float
) -> list[Json]:
    """A horizontal line for each policy that does not learn."""
    names = [
        n for n, metrics in policies.items() if n not in (TRAINED, UNTRAINED) and metric in metrics
    ]
    colours = choose_colours(list(policies))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": show_plainly(make_label(name)),
            "x": [0, end],
            "y": [round(factor * policies[name][metric].mean, decimals)] * 2,
            "line": {"color": colours[name], "width": 2, "dash": get_dash(i)},
            "hovertemplate": f"%{{y:.{decimals}f}}<extra>{show_plainly(make_label(name))}</extra>",
        }
        for i, name in enumerate(names)
    ]
