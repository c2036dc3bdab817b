"""The spread of a record: errors of its forecasts that variances and levels leave out."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.forecast.distribution import (
    Outlook,
    Spread,
    compute_cdf,
    compute_log_probability,
)
from envs.omnichannel.forecast.history import History
from envs.omnichannel.types import BoolArray, FloatArray

FEWEST_DAYS = 14  # that a cell must have seen before its forecast is scored
_FIRST = 28  # days that are known before the first forecast that teaches
_SPAN = 2  # weeks of a sum that shows how far levels move: lead time and review of most networks
_MOST_FORECASTS = 100_000  # that a spread is fitted to: seconds, whatever the record's size
_SCALES = np.geomspace(0.5, 2.5, 15)
_BAND = 0.9  # the central band that is to hold its share of the past days
_CALIBRATION = 50.0  # what two points of coverage cost, 0.02, equals 0.02 of log score
_DRIFTS = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5])


def fit_spread(
    history: History,
    units: FloatArray,
    *,
    until: int,
    level_rate: float,
    in_stock: BoolArray | None = None,
) -> Spread:
    """Returns the spread that fits the record's past forecasts best.

    The scale is that of single days, the drift that of sums over two weeks. Both are pooled over
    all cells, because one cell's errors say too little. The best has the lowest log score, plus
    what its 90% bands miss of their share: where no negative binomial fits well, bands still hold
    what they promise. Moments of errors would not do, because a few wholesale orders decide them.

    Source: Gneiting & Raftery 2007, Strictly proper scoring rules, JASA 102(477), of the log score.

    Args:
        history: of the record.
        units: sold on each day, (D, S, K).
        until: only the days before it are read.
        level_rate: that the history was rolled with.
        in_stock: as of `History.roll`.
    """
    every = _count_steps(max(until - _FIRST, 1) * units[0].size)
    cycle = history.profile.shape[1]
    every += cycle > 1 and every % cycle == 0  # or every day would be the same weekday
    days = range(_FIRST, until, every)
    if not days:
        return Spread()
    predictor = _Predictor(history, units, level_rate, in_stock)
    scale = float(predictor.find_best(days, 1, [Spread(scale=scale) for scale in _SCALES]).scale)
    span = _SPAN * cycle
    starts = range(_FIRST, until - span + 1, max(span, every))
    tried = [Spread(scale=scale, drift=float(drift)) for drift in _DRIFTS]
    return predictor.find_best(starts, span, tried) if starts else tried[0]


def look_ahead(
    history: History,
    day: int,
    days_ahead: int,
    *,
    level_rate: float,
    spread: Spread,
    in_stock: BoolArray | None = None,
) -> Outlook:
    """Returns the outlook on a morning of a record: of that day and those after it.

    Args:
        history: of the record.
        day: whose morning it is; the days before it are known.
        days_ahead: H.
        level_rate: that the history was rolled with.
        spread: of the record.
        in_stock: as of `History.roll`: days on which nothing can be sold are known ahead, which
            holds for a calendar and is granted to a back-test for empty shelves.
    """
    ahead = np.arange(day, day + days_ahead)
    factor = history.profile[day, ahead % history.profile.shape[1]][:, None, :]
    if in_stock is not None:
        factor = factor * in_stock[ahead]
    return Outlook.predict(
        history.smoothed[day],
        history.variance[day],
        history.weight[day],
        factor,
        level_rate=level_rate,
        spread=spread,
    )


class _Predictor:
    """Judges spreads by the demand that came."""

    def __init__(
        self, history: History, units: FloatArray, level_rate: float, in_stock: BoolArray | None
    ) -> None:
        self.history, self.units = history, units
        self.level_rate, self.in_stock = level_rate, in_stock

    def find_best(self, starts: range, length: int, spreads: list[Spread]) -> Spread:
        """The spread that fits sums over `length` days from each start best."""
        losses = [self._judge(starts, length, spread) for spread in spreads]
        return spreads[int(np.argmin(losses))]

    def _judge(self, starts: range, length: int, spread: Spread) -> float:
        """Mean of -log probability, and the penalty for coverage."""
        forecasts = [self._foresee(start, length, spread) for start in starts]
        parts = [np.concatenate(part) for part in zip(*forecasts, strict=True)]
        sold, mean, variance = (part[:: _count_steps(part.size)] for part in parts)
        if not sold.size:
            return 0.0
        low, high = compute_cdf(sold - 1, mean, variance), compute_cdf(sold, mean, variance)
        missed = measure_coverage(low, high, _BAND) - _BAND
        score = -compute_log_probability(sold, mean, variance).mean()
        return float(score + _CALIBRATION * missed**2)

    def _foresee(
        self, start: int, length: int, spread: Spread
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Units sold, mean and variance of the cells that are known well enough, (N,) each."""
        outlook = look_ahead(
            self.history, start, length,
            level_rate=self.level_rate, spread=spread, in_stock=self.in_stock,
        )  # fmt: skip
        mean, variance = outlook.sum_days()
        sold = sum_in_stock(self.units, self.in_stock, start, start + length)
        known = (self.history.weight[start] >= FEWEST_DAYS) & (mean > 0)
        return sold[known], mean[known], variance[known]


def _count_steps(forecasts: int) -> int:
    """Of how many forecasts one is taken; 1: all."""
    return max(-(-forecasts // _MOST_FORECASTS), 1)


def measure_coverage(low: FloatArray, high: FloatArray, band: float) -> float:
    """Returns the share of forecasts whose central band held what was sold.

    Units are whole, so a band of whole units holds more than its share, of slow sellers far more.
    Here units at an edge of the band count by the part of their probability that lies inside, so
    that a right forecast holds its share exactly.

    Source: Czado, Gneiting & Held 2009, Predictive model assessment for count data, Biometrics
    65(4): the probability integral transform, in the mean over its randomisation.

    Args:
        low: probability of fewer units than were sold, (N,).
        high: probability of at most so many, (N,).
        band: share of days that the band is to hold, in (0, 1).
    """
    first, last = (1 - band) / 2, (1 + band) / 2
    inside = np.clip(np.minimum(high, last) - np.maximum(low, first), 0, None)
    width = high - low
    is_in = ((low >= first) & (low <= last)).astype(np.float64)  # no width: a point
    return float(np.divide(inside, width, out=is_in, where=width > 0).mean())


def sum_in_stock(units: FloatArray, in_stock: BoolArray | None, first: int, end: int) -> FloatArray:
    """Returns the units of the days [first, end) on which there was something to sell, (S, K)."""
    own = units[first:end]
    total: FloatArray = (own if in_stock is None else own * in_stock[first:end]).sum(axis=0)
    return total
