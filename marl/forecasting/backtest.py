"""Back-tests: forecasts of a record, made each morning and judged by what was sold.

Units are whole, so a band of whole units holds more than its share of slow sellers' days: most
days bring 0, and no band holds less than that. Bands are judged as `measure_coverage` says, which
cuts through the units at a band's edge; the plain share is printed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from envs.errors import InputError
from envs.omnichannel.forecast.distribution import Spread, compute_cdf, compute_log_probability
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.forecast.spread import (
    FEWEST_DAYS,
    fit_spread,
    look_ahead,
    measure_coverage,
    sum_in_stock,
)
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import WEEK, BoolArray, FloatArray
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.forecasting.classes import classify_cells

BANDS = (0.5, 0.9)  # shares of days that the central bands are to hold
_LOWEST = np.log(1e-9)  # score of what a forecast took to be impossible


@dataclass(frozen=True, kw_only=True)
class Record:
    """Demand day by day, and where it is cut."""

    units: FloatArray  # (D, S, K, C); day 0 is weekday 0
    train_days: int  # forecasts of the days after them are judged
    in_stock: BoolArray | None = None  # (D, S, K) whether there was anything to sell; None: always
    cycle: int = WEEK  # entries a week

    @property
    def sold(self) -> FloatArray:
        """Whole units of all channels, (D, S, K)."""
        return np.rint(self.units.sum(axis=-1))


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well a class of cells was foreseen."""

    cells: str  # the class
    days: int  # summed in one forecast, from the next day on
    num_cells: int
    forecasts: int
    units: float  # mean of what was sold, a forecast
    bias: float  # forecast less sold, as a share of what was sold
    wape: float  # absolute errors, as a share of what was sold
    rmsse: (
        float | None
    )  # error of the cells against that of repeating the last days, root mean squares
    log_score: float  # mean of -log probability of what was sold; lower is better
    coverage: dict[str, float]  # by band, see `measure_coverage`
    plain_coverage: dict[str, float]  # by band, of whole units


@dataclass(frozen=True, kw_only=True)
class BackTest:
    """Scores of a record, and how far the forecasts took demand to scatter."""

    period: str  # day or week
    train_days: int
    held_back: int
    spread: Spread
    scores: tuple[Score, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """Forecasts of sums over one number of days, and what was sold, (O, S, K) from O mornings."""

    mean: FloatArray
    variance: FloatArray
    sold: FloatArray
    known: BoolArray  # whether the cell had been seen for long enough, and could sell


def back_test_scenario(scenario: Scenario, spans: Sequence[int] | None = None) -> BackTest:
    """Returns how well a scenario's recorded demand is foreseen by the method of its forecast.

    Args:
        scenario: whose demand is recorded.
        spans: as of `back_test`.

    Raises:
        InputError: if its demand is drawn and not recorded.
    """
    record = read_record(scenario)
    if record.train_days == len(record.units):
        raise InputError(
            f"demand.train_days: {record.train_days} are all of the record; fewer are needed, "
            "because forecasts are judged on the days after them"
        )
    return back_test(record, Rates.from_settings(scenario.forecast), spans)


def read_record(scenario: Scenario) -> Record:
    """Returns a scenario's recorded demand.

    Raises:
        InputError: if there is none.
    """
    if not isinstance(scenario.demand, Trace):
        raise InputError(
            f"demand.process: {scenario.demand.process!r} is not allowed; trace is needed, because "
            "forecasts are judged on recorded demand"
        )
    demand = TraceDemand(scenario, scenario.demand)
    return Record(
        units=demand.units.astype(np.float64),
        train_days=demand.train_days,
        in_stock=demand.in_stock,
        cycle=demand.cycle,
    )


def back_test(record: Record, rates: Rates, spans: Sequence[int] | None = None) -> BackTest:
    """Returns how well each morning after the training days foresaw the days from it on.

    Levels and variances learn from every day that has passed; the spread is fitted to the training
    days alone. Cells are judged once they have been seen for two weeks.

    Args:
        record: to roll.
        rates: how levels and variances learn.
        spans: numbers of days, each of which is foreseen as one sum; those that do not fit into
            the held-back days are left out. None: a day, a week and four weeks.
    """
    sold, in_stock = record.sold, record.in_stock
    history, spread = roll_record(record, rates)
    chosen = sorted({1, record.cycle, 4 * record.cycle}) if spans is None else spans
    own = [days for days in chosen if days <= len(sold) - record.train_days]
    judged = _foresee(record, history, spread, rates.level_rate, own)
    classes = classify_cells(
        sold[: record.train_days], None if in_stock is None else in_stock[: record.train_days]
    )
    scores = []
    for days, found in judged.items():
        transform = _transform(found)
        naive = _measure_naive(sold[: record.train_days], days)
        for name, cells in classes.items():
            if (found.known & cells).any():
                scores.append(_score(name, days, found, cells, transform, naive))
    return BackTest(
        period="day" if record.cycle > 1 else "week",
        train_days=record.train_days,
        held_back=len(sold) - record.train_days,
        spread=spread,
        scores=tuple(scores),
    )


def roll_record(record: Record, rates: Rates) -> tuple[History, Spread]:
    """Returns the estimates before each day, and the spread that the training days show.

    Args:
        record: to roll.
        rates: how levels and variances learn.
    """
    history = History.roll(record.units, rates, record.in_stock, cycle=record.cycle)
    spread = fit_spread(
        history,
        record.sold,
        until=record.train_days,
        level_rate=rates.level_rate,
        in_stock=record.in_stock,
    )
    return history, spread


def _foresee(
    record: Record, history: History, spread: Spread, level_rate: float, spans: Sequence[int]
) -> dict[int, _Judged]:
    """All forecasts by the days they sum."""
    sold, in_stock = record.sold, record.in_stock
    judged = {}
    for days in spans:
        rows = []
        for day in range(record.train_days, len(sold) - days + 1):
            outlook = look_ahead(
                history, day, days, level_rate=level_rate, spread=spread, in_stock=in_stock
            )
            known = history.weight[day] >= FEWEST_DAYS
            if in_stock is not None:
                known = known & in_stock[day : day + days].any(axis=0)
            rows.append((*outlook.sum_days(), sum_in_stock(sold, in_stock, day, day + days), known))
        mean, variance, units, seen = (np.stack(column) for column in zip(*rows, strict=True))
        judged[days] = _Judged(mean=mean, variance=variance, sold=units, known=seen.astype(bool))
    return judged


def _transform(found: _Judged) -> tuple[FloatArray, FloatArray]:
    """Probabilities of fewer units than were sold, and of at most so many, (O, S, K) each."""
    low = compute_cdf(found.sold - 1, found.mean, found.variance)
    return low, compute_cdf(found.sold, found.mean, found.variance)


def _measure_naive(sold: FloatArray, days: int) -> FloatArray:
    """Mean squared error of repeating the last sum over so many days, (S, K); NaN: none."""
    whole = len(sold) // days
    sums = sold[: whole * days].reshape(whole, days, *sold.shape[1:]).sum(axis=1)
    if whole < 2:
        return np.full(sold.shape[1:], np.nan)
    error: FloatArray = (np.diff(sums, axis=0) ** 2).mean(axis=0)
    return np.where(error > 0, error, np.nan)


def _score(
    name: str,
    days: int,
    found: _Judged,
    cells: BoolArray,
    transform: tuple[FloatArray, FloatArray],
    naive: FloatArray,
) -> Score:
    """The score of the cells, (S, K), that are true."""
    own = found.known & cells
    mean, variance, sold = found.mean[own], found.variance[own], found.sold[own]
    low, high = (values[own] for values in transform)
    total = max(float(sold.sum()), 1.0)
    error = mean - sold
    logs = np.full(mean.shape, _LOWEST)
    logs[sold == 0] = 0.0
    some = mean > 0
    logs[some] = compute_log_probability(sold[some], mean[some], variance[some])
    return Score(
        cells=name,
        days=days,
        num_cells=int(own.any(axis=0).sum()),
        forecasts=int(own.sum()),
        units=float(sold.mean()),
        bias=float(error.sum()) / total,
        wape=float(np.abs(error).sum()) / total,
        rmsse=_compute_rmsse(found, own, naive),
        log_score=float(-np.maximum(logs, _LOWEST).mean()),
        coverage={_name(band): measure_coverage(low, high, band) for band in BANDS},
        plain_coverage={_name(band): _measure_plainly(low, high, band) for band in BANDS},
    )


def _compute_rmsse(found: _Judged, own: BoolArray, naive: FloatArray) -> float | None:
    """Root of the mean over cells of squared errors against those of `_measure_naive`; None: none.

    Source: Makridakis, Spiliotis & Assimakopoulos 2022, M5 accuracy competition, IJF 38(4), eq. 1.
    """
    count = own.sum(axis=0)
    square = np.where(own, (found.mean - found.sold) ** 2, 0.0).sum(axis=0)
    ratio = square[count > 0] / count[count > 0] / naive[count > 0]
    return float(np.sqrt(np.nanmean(ratio))) if np.isfinite(ratio).any() else None


def _measure_plainly(low: FloatArray, high: FloatArray, band: float) -> float:
    """The share of days inside the band of whole units, both quantiles included."""
    return float(((high >= (1 - band) / 2) & (low < (1 + band) / 2)).mean())


def _name(band: float) -> str:
    return f"{100 * band:.0f}%"
