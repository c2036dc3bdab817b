"""Plain ordering rules for the VN2 contest: nothing, the organiser's benchmark, the textbook's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from scripts.reproduction.vn2_protocol import PROTECTED, Known

BENCHMARK_WINDOW, BENCHMARK_COVER = 13, 4  # weeks
LAST_WEEK = 53  # of the longest ISO year


def order_nothing(known: Known) -> FloatArray:
    """Returns no units, (N,)."""
    return np.zeros_like(known.on_hand)


@dataclass(frozen=True)
class Benchmark:
    """The organiser's rule: orders up to the forecast of the next weeks, without safety stock.

    Weeks after the origin are never known to be in stock, so the window of the level runs out of
    weeks as the contest goes on; that is how the published benchmark behaves.

    Source: the contest's benchmark; its golden costs are those of exactly this rule.
    """

    cover: int = BENCHMARK_COVER  # weeks

    def __call__(self, known: Known) -> FloatArray:
        """Returns whole units, (N,)."""
        origin, closed = known.in_stock.shape[1], known.sold.shape[1]
        units = np.where(known.in_stock, known.sold[:, :origin], np.nan)
        factors = compute_factors(units, known.number_weeks(0, origin))
        first = closed - BENCHMARK_WINDOW
        window = units[:, first:] / factors[known.number_weeks(first, origin)]
        ahead = factors[known.number_weeks(closed, closed + self.cover)].sum()
        target = average(window) * ahead
        return np.rint(np.maximum(target - known.position, 0))


@dataclass(frozen=True)
class SafetyStock:
    """The textbook's rule: mean + z x standard deviation of the demand that an order protects.

    An order and all before it must last until the next order arrives, three weeks after the close.
    """

    z: float
    window: int = 26  # weeks of the level and of the spread

    def __call__(self, known: Known) -> FloatArray:
        """Returns whole units, (N,)."""
        units, weeks = known.get_units(), known.number_weeks(0, known.sold.shape[1] + PROTECTED)
        closed = units.shape[1]
        factors = compute_factors(units, weeks[:closed])
        recent = units[:, -self.window :] / factors[weeks[closed - self.window : closed]]
        ahead = factors[weeks[closed:]]
        level = average(recent)
        variance = average((recent - level[:, None]) ** 2)
        target = level * ahead.sum() + self.z * np.sqrt(variance * (ahead**2).sum())
        return np.rint(np.maximum(target - known.position, 0))


def compute_factors(units: FloatArray, weeks: IntArray) -> FloatArray:
    """Returns the season of the mean pair by ISO week of the year, (54,), 1 in the mean week.

    Args:
        units: (N, T), NaN where out of stock.
        weeks: ISO week of each column, (T,).
    """
    mean = average(units.T)
    times = np.bincount(weeks, minlength=LAST_WEEK + 1)
    total = np.bincount(weeks, weights=mean, minlength=LAST_WEEK + 1)
    factors = np.divide(total, times, out=np.zeros(LAST_WEEK + 1), where=times > 0)
    factors /= factors[times > 0].mean()
    return np.where(times > 0, factors, 1.0)


def average(values: FloatArray) -> FloatArray:
    """Returns the mean of each row without its NaNs, (N,); 0 where nothing else is there."""
    there = ~np.isnan(values)
    total = np.where(there, values, 0.0).sum(1)
    return np.divide(total, there.sum(1), out=np.zeros(len(values)), where=there.any(1))
