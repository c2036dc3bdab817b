"""The cost of forecast errors beside an oracle, and how large they are."""

from __future__ import annotations

from marl.evaluation.forecast_costs import ForecastChoice, MethodResult
from marl.report.figures.base import Figure, Plot, make_layout, make_tick


def make_forecast_cost_figure(found: ForecastChoice, period: str = "day") -> Figure:
    """The same rule by an oracle and by the forecast, and how wrong the forecast is.

    Args:
        found: the chosen method is shown.
        period: day or week.
    """
    own = next(result for result in found.methods if result.method == found.chosen)
    error = own.error
    return Figure(
        id="forecast-cost",
        title="What the forecast's errors cost",
        reading=f"The same order-up-to rule by an oracle that knows the coming {period}s and by "
        f"the forecast, on training {period}s after rolling origins: the {error.mean:.2f} ± "
        f"{error.half_width:.2f} between them are what its errors cost.",
        plots=[_make_costs(found, own, period), _make_errors(own, period)],
    )


def _make_costs(found: ForecastChoice, own: MethodResult, period: str) -> Plot:
    """A bar of the oracle and one of the forecast, with their intervals."""
    costs = {"oracle": found.oracle, own.method: own.cost}
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [make_tick(name) for name in costs],
        "x": [round(cost.mean, 2) for cost in costs.values()],
        "error_x": {
            "array": [round(cost.half_width, 2) for cost in costs.values()],
            "color": "var(--text)",
            "thickness": 1.5,
        },
        "marker": {"color": ["var(--before)", "var(--trained)"]},
        "hovertemplate": "%{x:.2f}<extra>%{y}</extra>",
    }
    layout = make_layout(180, yaxis={"autorange": "reversed"}, xaxis={"rangemode": "tozero"})
    return Plot(f"money a {period}, whole network", [trace], layout)


def _make_errors(own: MethodResult, period: str) -> Plot:
    """A bar of the absolute errors for each number of periods that is foreseen as one sum."""
    labels = [
        f"next {period}" if part.periods == 1 else f"next {part.periods} {period}s"
        for part in own.accuracy
    ]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [make_tick(label) for label in labels],
        "x": [round(100 * part.wape, 1) for part in own.accuracy],
        "text": [f"90% band holds {100 * part.held:.1f}%" for part in own.accuracy],
        "textposition": "inside",
        "insidetextanchor": "start",
        "marker": {"color": "var(--trained)"},
        "insidetextfont": {"color": "var(--surface)"},
        "hovertemplate": "%{x:.1f}%<extra>%{y}</extra>",
    }
    layout = make_layout(180, yaxis={"autorange": "reversed"}, xaxis={"rangemode": "tozero"})
    return Plot("absolute errors, % of what was sold", [trace], layout)
