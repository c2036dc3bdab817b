"""Policies side by side: costs, service, returns and ablations, on the same demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.account.costs import TERMS
from marl.report.figures.base import (
    LEGEND,
    Figure,
    Json,
    Plot,
    choose_colours,
    get_colour,
    get_marker,
    get_pattern,
    make_label,
    make_layout,
    make_tick,
    show_plainly,
    to_list,
)
from marl.report.figures.network import DISPOSITIONS
from marl.report.figures.training import Policies
from marl.report.recording import Recording, Selection


def make_cost_figure(policies: Policies, period: str = "day") -> Figure:
    """Cost by term, a stacked bar a policy."""
    return Figure(
        id="costs",
        title=f"What a {period} costs",
        reading="Each bar is a policy, each part a cost term; shorter is cheaper, and the number "
        "at the end is the sum.",
        plots=[
            _make_stack(
                policies, {t: f"cost/{t}" for t in TERMS}, f"money a {period}, whole network"
            )
        ],
    )


def make_returns_figure(policies: Policies, period: str = "day") -> Figure:
    """Returned units by disposition, a stacked bar a policy."""
    return Figure(
        id="returns",
        title="Where returns go",
        reading=f"Each bar is all that customers send back in a {period}: restocked in the store, "
        "mailed to and restocked at the DC, consolidated to the DC, sold off or scrapped.",
        plots=[_make_stack(policies, {name: name for name in DISPOSITIONS}, f"units a {period}")],
    )


def _make_stack(policies: Policies, metrics: Mapping[str, str], unit: str) -> Plot:
    """Stacked bars, a policy a row; parts that are zero everywhere are left out."""
    names = list(policies)
    parts = {
        label: np.array([policies[name][metric].mean for name in names])
        for label, metric in metrics.items()
        if all(metric in policies[name] for name in names)
    }
    parts = {label: values for label, values in parts.items() if values.any()}
    labels = [make_tick(name) for name in names]
    data: list[Json] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": make_label(label),
            "y": labels,
            "x": to_list(values, 2),
            "marker": {
                "color": get_colour(i),
                "pattern": {
                    "shape": get_pattern(i),
                    "fillmode": "overlay",
                    "fgcolor": "var(--surface)",
                    "solidity": 0.12,
                    "size": 7,
                },
            },
            "hovertemplate": f"%{{x:.2f}}<extra>{make_label(label)}</extra>",
        }
        for i, (label, values) in enumerate(parts.items())
    ]
    total = sum(parts.values(), np.zeros(len(names)))
    data.append(
        {
            "type": "scatter",
            "mode": "text",
            "y": labels,
            "x": to_list(total, 2),
            "text": [f" {value:.1f}" for value in total],
            "textposition": "middle right",
            "showlegend": False,
            "hoverinfo": "skip",
            "cliponaxis": False,
        }
    )
    layout = make_layout(
        130 + 44 * len(names),
        barmode="stack",
        legend=LEGEND | {"traceorder": "normal"},
        xaxis={"range": [0, 1.15 * float(total.max(initial=0)) or 1]},
        yaxis={"autorange": "reversed", "ticks": "outside", "tickcolor": "rgba(0,0,0,0)"},
    )
    return Plot(unit, data, layout)


def make_channel_figure(
    policies: Policies, channels: Sequence[str], period: str = "day"
) -> Figure | None:
    """Service on time by channel with intervals; None where a policy lacks one."""
    marks = [f"on_time/{channel}" for channel in channels]
    if not all(metric in metrics for metrics in policies.values() for metric in marks):
        return None
    colours = choose_colours(list(policies))
    data = [
        _make_points(
            name,
            list(channels),
            [100 * policies[name][metric].mean for metric in marks],
            [100 * policies[name][metric].half_width for metric in marks],
            colours[name],
            get_marker(i),
        )
        for i, name in enumerate(policies)
    ]
    lowest = min(metrics[m].mean for metrics in policies.values() for m in marks)
    layout = make_layout(380, scattermode="group", yaxis={"range": [100 * lowest - 3, 101]})
    return Figure(
        id="channels",
        title="Service by channel",
        reading=f"Each mark is a policy's share of units handed over in the {period} of their "
        "demand, its bar the 95% interval; higher is better.",
        plots=[Plot("% of units demanded, on time", data, layout)],
    )


def make_store_figure(recordings: Mapping[str, Recording], selection: Selection) -> Figure:
    """Service on time by store."""
    colours = choose_colours(list(recordings))
    stores = list(selection.node_names[len(selection.dcs) :])
    data = [
        _make_points(
            name,
            stores,
            (100 * compute_store_service(recording)[selection.stores]).tolist(),
            None,
            colours[name],
            get_marker(i),
        )
        for i, (name, recording) in enumerate(recordings.items())
    ]
    layout = make_layout(340)
    return Figure(
        id="stores",
        title="Service by store",
        reading="Each mark is the share of a region's units handed over in the "
        f"{selection.period} of their demand, all channels together; marks at one height mean that "
        "no region is neglected.",
        plots=[Plot("% of units demanded, on time", data, layout)],
    )


def compute_store_service(recording: Recording) -> FloatArray:
    """Units on time / units demanded by store, (S,); 1 where nothing was demanded."""
    on_time, demand = (recording.units[name].sum(axis=(1, 2)) for name in ("on_time", "demand"))
    service: FloatArray = np.where(demand > 0, on_time / np.maximum(demand, 1e-9), 1.0)
    return service


def make_ablation_figure(policies: Policies) -> Figure:
    """Reward of the runs that each leave one part out."""
    names = list(policies)
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [round(policies[name]["reward"].mean, 4) for name in names],
            "y": [make_tick(name) for name in names],
            "error_x": {
                "type": "data",
                "array": [round(policies[name]["reward"].half_width, 4) for name in names],
                "color": "var(--trained)",
            },
            "marker": {"color": "var(--trained)", "size": 9},
            "hovertemplate": "%{x:.4f}<extra>%{y}</extra>",
        }
    ]
    layout = make_layout(100 + 32 * len(names), yaxis={"autorange": "reversed"})
    return Figure(
        id="ablations",
        title="What each part is worth",
        reading="Each row is a variant of the run, its bar the 95% interval; further right is "
        "better.",
        plots=[Plot("reward (eq. 8)", data, layout)],
    )


def _make_points(
    name: str,
    x: list[str],
    y: list[float],
    half_widths: list[float] | None,
    colour: str,
    symbol: str,
) -> Json:
    """Marks of a policy over named places."""
    points: Json = {
        "type": "scatter",
        "mode": "markers",
        "name": show_plainly(make_label(name)),
        "x": [show_plainly(place) for place in x],
        "y": [round(value, 3) for value in y],
        "marker": {"color": colour, "symbol": symbol, "size": 10},
        "hovertemplate": f"%{{x}}: %{{y:.2f}} %<extra>{show_plainly(make_label(name))}</extra>",
    }
    if half_widths is not None:
        array = [round(value, 3) for value in half_widths]
        points["error_y"] = {"type": "data", "array": array, "color": colour}
    return points
