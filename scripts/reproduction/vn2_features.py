"""What the learnt correction of a forecast sees of each pair when a week has closed.

Most features are logarithms of a recent mean over the forecast, so that fast and slow sellers look
alike; those of groups pool the pairs of a product, a product group and a department.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from scripts.reproduction.vn2_protocol import PROTECTED, Known
from scripts.reproduction.vn2_rules import average
from scripts.reproduction.vn2_season import YEAR

WINDOWS = (1, 2, 4, 8, 13, 26, 52)  # weeks of the pair's recent means
GROUP_WINDOWS = (2, 4, 13)
RECENT = 26
LEAST = 0.1  # units a week added to both sides of a ratio


def make_features(
    known: Known, units: FloatArray, factors: FloatArray, ahead: FloatArray, means: FloatArray
) -> FloatArray:
    """Returns the features, (N, 39).

    Args:
        known: gives the groups and the dates.
        units: of the closed weeks, (N, T), NaN where out of stock.
        factors: season of the closed weeks, (N, T).
        ahead: season of the next three weeks, (N, 3).
        means: forecast of the next three weeks, (N, 3).
    """
    level = units / factors
    total = means.sum(1)
    columns = [
        *_compare_windows(level, ahead, total),
        *_describe_noise(units),
        *_look_back_a_year(units, total),
        *_compare_groups(known, units, level),
        np.log(total + LEAST),
        np.log(ahead.mean(1)),
        np.full(len(units), known.number_weeks(units.shape[1], units.shape[1] + 1)[0]),
        np.unique(known.classes["Department"], return_inverse=True)[1],
        known.classes["StoreFormat"],
    ]
    return np.stack(columns, 1).astype(np.float64)


def _compare_windows(
    level: FloatArray, ahead: FloatArray, total: FloatArray
) -> Iterator[FloatArray]:
    for window in WINDOWS:
        mean = average(level[:, -window:]) * ahead.sum(1)
        yield np.log((mean + LEAST) / (total + LEAST))


def _describe_noise(units: FloatArray) -> Iterator[FloatArray]:
    recent = units[:, -RECENT:]
    mean = average(recent)
    yield mean
    yield np.sqrt(average((recent - mean[:, None]) ** 2)) / np.maximum(mean, LEAST)
    yield (np.nan_to_num(units[:, -13:]) == 0).mean(1)
    yield (~np.isnan(units[:, -8:])).mean(1)
    yield (~np.isnan(units)).sum(1)


def _look_back_a_year(units: FloatArray, total: FloatArray) -> Iterator[FloatArray]:
    """Yields the same weeks of last year over the forecast, and over the quarter around them."""
    start = units.shape[1] - YEAR
    same = np.nansum(units[:, start : start + PROTECTED], 1)
    around = average(units[:, max(start - 6, 0) : start + 7]) * PROTECTED
    yield np.log((same + PROTECTED * LEAST) / (total + PROTECTED * LEAST))
    yield np.log((same + PROTECTED * LEAST) / (around + PROTECTED * LEAST))


def _compare_groups(known: Known, units: FloatArray, level: FloatArray) -> Iterator[FloatArray]:
    """Yields each group's recent weeks over its year, and its season of last year."""
    there = ~np.isnan(units)
    year = average(level[:, -YEAR:])
    start = units.shape[1] - YEAR
    same = np.nansum(units[:, start : start + PROTECTED], 1)
    around = average(units[:, max(start - 13, 0) : start + 13]) * PROTECTED
    for groups in (known.products, known.classes["ProductGroup"], known.classes["Department"]):
        for window in GROUP_WINDOWS:
            sold = np.nansum(level[:, -window:], 1)
            expected = year * there[:, -window:].sum(1)
            yield np.log((_pool(groups, sold) + 1) / (_pool(groups, expected) + 1))
        yield np.log((_pool(groups, same) + 2) / (_pool(groups, around) + 2))


def _pool(groups: IntArray, values: FloatArray) -> FloatArray:
    """Returns each pair's total of its group, (N,)."""
    _, rows = np.unique(groups, return_inverse=True)
    totals = np.bincount(rows, weights=values).astype(np.float64)
    return totals[rows]
