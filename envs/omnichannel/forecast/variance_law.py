"""The pooled law of variance and mean, towards which a cell's own variance is drawn."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray

_LOWEST_LEVEL = 0.02  # units a day; slower cells say nothing of the law and are read at its end
_FEWEST_CELLS = 8  # that a law is fitted to
PULL = 0.5  # weight of the law beside a variance that rests on much
_PRIOR_DAYS = 30.0  # as many days of its own weigh as much as the law
_LEAST_DAYS = 14.0  # that a cell must have seen to take part


def shrink_variance(
    level: FloatArray, variance: FloatArray, weight: FloatArray, pull: float = PULL
) -> FloatArray:
    """Returns variances drawn towards the law of all cells, units² a day, (S, K).

    The law is Taylor's: variance = a level^b, fitted by least squares of the logarithms. Counts of
    few days scatter so much that a half of each cell's deviation from it is noise.

    Source: Taylor 1961, Aggregation, variance and the mean, Nature 189; for stocks, Syntetos &
    Boylan 2006, On the stock control performance of intermittent demand estimators, IJPE 103(1).

    Args:
        level: units a day, (S, K).
        variance: of a day's units around the level, (S, K).
        weight: days that both rest on, (S, K).
        pull: weight of the law beside a variance that rests on much.
    """
    law = _fit_law(level, variance, weight)
    share = np.maximum(pull, _PRIOR_DAYS / (_PRIOR_DAYS + weight))
    drawn = variance + share * (law - variance)
    # Nothing is known of what was never listed, not even that it scatters.
    return np.where(weight > 0, drawn, 0.0)


def _fit_law(level: FloatArray, variance: FloatArray, weight: FloatArray) -> FloatArray:
    """The variance that the law gives to every level, (S, K); Poisson's where it has no cells."""
    floored = np.maximum(level, _LOWEST_LEVEL)
    known = (level > _LOWEST_LEVEL) & (variance > 0) & (weight >= _LEAST_DAYS)
    if known.sum() < _FEWEST_CELLS:
        return floored
    x, y = np.log(level[known]), np.log(variance[known])
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread if spread > 0 else 1.0
    law: FloatArray = np.exp(y.mean() + slope * (np.log(floored) - x.mean()))
    return law
