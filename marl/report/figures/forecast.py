"""Recorded demand beside its forecast: the coming days with their bands, morning by morning."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.forecast.spread import look_ahead
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import FloatArray, IntArray
from marl.forecasting.backtest import Record, read_record, roll_record
from marl.report.figures.base import (
    Control,
    Figure,
    Json,
    Plot,
    make_layout,
    show_plainly,
    to_list,
)

_SHARES = (0.05, 0.25, 0.75, 0.95)  # edges of the 90% and the 50% band
_CELLS = (1.0, 0.9, 0.5, 0.1)  # ranks by mean demand: the fastest, a fast, a middling, a slow one


def make_forecast_figure(scenario: Scenario) -> Figure | None:
    """The coming week's demand as foreseen each morning, and as it came; None if none is recorded.

    Args:
        scenario: whose held-back days are shown.
    """
    if not isinstance(scenario.demand, Trace):
        return None
    record = read_record(scenario)
    mornings = np.arange(record.train_days, len(record.units) - record.cycle + 1)
    if not len(mornings):
        return None
    stores, skus = choose_cells(record)
    expected, bands = _foresee(scenario, record, mornings, stores, skus)
    sold = np.stack([record.sold[day : day + record.cycle].sum(axis=0) for day in mornings])
    names = [
        f"{scenario.network.stores[s].name}, {scenario.skus[k].name}"
        for s, k in zip(stores, skus, strict=True)
    ]
    series = [
        _make_series(mornings, expected[:, i], bands[:, :, i], sold[:, s, k])
        for i, (s, k) in enumerate(zip(stores, skus, strict=True))
    ]
    title = {"text": f"{scenario.period} of the record"}
    layout = make_layout(360, xaxis={"title": title}, yaxis={"rangemode": "tozero"})
    patches = {str(i): [{"y": line["y"]} for line in lines] for i, lines in enumerate(series)}
    span, sum_of = ("seven days", "seven days") if record.cycle > 1 else ("week", "a week")
    return Figure(
        id="forecast",
        title="What the coming week brings",
        reading=f"Each morning's forecast of the next {span}, the dark band holding half and the "
        f"light one nine tenths of what may come, and what was sold, on held-back "
        f"{scenario.period}s.",
        plots=[
            Plot(
                f"units in {sum_of}",
                series[0],
                layout,
                patches,
            )
        ],
        controls=[Control("select", "Store and SKU", [show_plainly(name) for name in names])],
    )


def choose_cells(record: Record) -> tuple[IntArray, IntArray]:
    """Returns stores and SKUs from the fastest to slow ones, by the training days' mean."""
    mean = record.sold[: record.train_days].mean(axis=0)
    order = np.argsort(mean, axis=None, kind="stable")
    order = order[mean.ravel()[order] > 0]
    ranks = [round(share * (len(order) - 1)) for share in _CELLS] if len(order) else []
    chosen = order[list(dict.fromkeys(ranks))]
    stores, skus = np.unravel_index(chosen, mean.shape)
    return stores, skus


def _foresee(
    scenario: Scenario, record: Record, mornings: IntArray, stores: IntArray, skus: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Expected units of a week, (O, N), and the bands' edges, (O, 4, N)."""
    rates = Rates.from_settings(scenario.forecast)
    history, spread = roll_record(record, rates)
    expected, bands = [], []
    for day in mornings:
        outlook = look_ahead(
            history, int(day), record.cycle, level_rate=rates.level_rate, spread=spread
        )
        expected.append(outlook.sum_days()[0][stores, skus])
        bands.append([outlook.find_quantile(share)[stores, skus] for share in _SHARES])
    return np.stack(expected), np.array(bands, dtype=np.float64)


def _make_series(
    days: IntArray, expected: FloatArray, bands: FloatArray, sold: FloatArray
) -> list[Json]:
    """Two bands, the expectation and what came, of one cell."""
    x = to_list(days, 0)
    lines: list[Json] = []
    # Plotly's opacity leaves out what is filled, so the colours are see-through themselves.
    for name, low, high, fill in (("90% band", 0, 3, "--most"), ("50% band", 1, 2, "--half")):
        hidden = {"width": 0, "color": f"var({fill})"}
        shared: Json = {"type": "scatter", "mode": "lines", "x": x, "line": hidden,
                        "hoverinfo": "skip"}  # fmt: skip
        lines.append({**shared, "y": to_list(bands[:, low], 0), "showlegend": False})
        lines.append({**shared, "y": to_list(bands[:, high], 0), "name": name,
                      "fill": "tonexty", "fillcolor": f"var({fill})"})  # fmt: skip
    line = {"color": "var(--trained)", "width": 2}
    lines.append({"type": "scatter", "mode": "lines", "name": "expected", "x": x,
                  "y": to_list(expected, 1), "line": line,
                  "hovertemplate": "%{y:.1f}<extra>expected</extra>"})  # fmt: skip
    lines.append({"type": "scatter", "mode": "markers", "name": "sold", "x": x,
                  "y": to_list(sold, 0), "marker": {"color": "var(--before)", "size": 5},
                  "hovertemplate": "%{y}<extra>sold</extra>"})  # fmt: skip
    return lines
