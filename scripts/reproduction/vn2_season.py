"""The season and the level of each pair's weekly demand, from weeks in stock alone.

A pair's season is the yearly profile of all pairs, corrected by what its department and then the
pair itself sold beside it, as far as there are units enough to say so.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from scripts.reproduction.vn2_rules import LAST_WEEK, average, compute_factors

YEAR = 52  # weeks
SHORT = 13  # weeks of the faster of the two levels
DEPARTMENT_STRENGTH, PAIR_STRENGTH = 1000.0, 300.0  # expected units a week of the year that halve
# a correction: demand of a group varies far more than Poisson's, so these are large


def fit_season(units: FloatArray, weeks: IntArray, departments: IntArray) -> FloatArray:
    """Returns each pair's factors by ISO week of the year, (N, 54).

    Args:
        units: of each week, (N, T), NaN where out of stock.
        weeks: ISO week of each column, (T,).
        departments: of each pair, (N,).
    """
    season = np.tile(compute_factors(units, weeks), (len(units), 1))
    season = correct_season(season, units, weeks, departments, DEPARTMENT_STRENGTH)
    return correct_season(season, units, weeks, np.arange(len(units)), PAIR_STRENGTH)


def correct_season(
    season: FloatArray, units: FloatArray, weeks: IntArray, groups: IntArray, strength: float
) -> FloatArray:
    """Returns factors times each group's own deviation from them, shrunk towards none, (N, 54).

    The deviation of a week of the year is (sold + strength) / (expected + strength), where a pair
    expects its level of the year around a week times the factor.

    Args:
        season: factors to correct, (N, 54).
        units: of each week, (N, T), NaN where out of stock.
        weeks: ISO week of each column, (T,).
        groups: of each pair, (N,).
        strength: expected units at which half of a deviation counts.
    """
    there = ~np.isnan(units)
    sold, expected = np.where(there, units, 0.0), np.where(there, season[:, weeks], 0.0)
    expected *= _centre_levels(sold, expected)
    columns = np.zeros((len(weeks), LAST_WEEK + 1))
    columns[np.arange(len(weeks)), weeks] = 1
    _, rows = np.unique(groups, return_inverse=True)

    def pool(units: FloatArray) -> FloatArray:
        """Returns each group's units by ISO week, (groups, 54)."""
        totals = np.zeros((rows.max() + 1, LAST_WEEK + 1))
        np.add.at(totals, rows, units @ columns)
        return totals

    deviation = (pool(sold) + strength) / (pool(expected) + strength)
    return season * deviation[rows]


def _centre_levels(sold: FloatArray, factors: FloatArray) -> FloatArray:
    """Returns units over factors in the year around each week, (N, T)."""
    weeks = sold.shape[1]
    first = np.clip(np.arange(weeks) - YEAR // 2, 0, max(weeks - YEAR - 1, 0))
    last = np.minimum(first + YEAR + 1, weeks)
    totals = [np.pad(values.cumsum(1), ((0, 0), (1, 0))) for values in (sold, factors)]
    units, weights = (total[:, last] - total[:, first] for total in totals)
    return np.divide(units, weights, out=np.zeros_like(units), where=weights > 0)


def estimate_level(units: FloatArray, factors: FloatArray) -> FloatArray:
    """Returns each pair's deseasonalised units a week, (N,).

    Half of it is the ratio of a year's units to its factors, half the mean of a quarter's
    deseasonalised weeks: the one knows slow sellers, the other what has changed.

    Args:
        units: (N, T), NaN where out of stock.
        factors: of the same weeks, (N, T).
    """
    year, ahead = units[:, -YEAR:], factors[:, -YEAR:]
    there = ~np.isnan(year)
    weights = np.where(there, ahead, 0.0).sum(1)
    total = np.where(there, year, 0.0).sum(1)
    slow = np.divide(total, weights, out=np.zeros(len(units)), where=weights > 0)
    fast = average(units[:, -SHORT:] / factors[:, -SHORT:])
    return (slow + fast) / 2
