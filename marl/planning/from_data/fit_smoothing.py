"""The weight of the latest day in a level, fitted to how well it foresees the days to come."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.series import split_series, sum_channels

AHEAD = 4  # entries that a level is to foresee, at least
_SMOOTHINGS = np.array([0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2])


def fit_smoothing(train: Counts, cycle: int) -> float:
    """Returns the least weight of the latest day whose average foresees best the mean to come.

    That is the coming week, or of weeks the coming four.

    The average is that of `History`: the plain mean of the first days, then exponential. Cells have
    one vote each, on how much worse than their own best a weight is: an item that ends or begins
    says nothing of how fast the others move.
    """
    ahead = max(cycle, AHEAD)
    cells = sum_channels(train).reshape(len(train), -1)
    loss = np.concatenate([_foresee(block, ahead) for block in split_series(cells)], axis=1)
    regret = loss / np.maximum(loss.min(axis=0), 1e-9)
    return float(_SMOOTHINGS[np.median(regret, axis=1).argmin()])


def _foresee(units: IntArray, ahead: int) -> FloatArray:
    """Squared errors of each weight, (weights, series), of units, (days, series)."""
    cells = units.astype(np.float64)
    sums = np.cumsum(np.vstack([np.zeros((1, cells.shape[1])), cells]), axis=0)
    smoothed = np.zeros((len(_SMOOTHINGS), cells.shape[1]))
    loss = np.zeros(smoothed.shape)
    for day in range(len(cells) - ahead):
        rate = np.maximum(_SMOOTHINGS, 1 / (day + 1))[:, None]
        smoothed += rate * (cells[day] - smoothed)
        coming = (sums[day + 1 + ahead] - sums[day + 1]) / ahead
        if day >= ahead:  # not the days that the average began with
            loss += (coming - smoothed) ** 2
    return loss
