"""An ordering rule that draws the coming weeks and orders by what would be missing in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from envs.omnichannel.types import FloatArray
from scripts.reproduction.vn2_forecast import Forecaster
from scripts.reproduction.vn2_protocol import Known

PATHS = 128  # of each pair and order


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How demand varies around its forecast: variance = excess x mean + (cv x mean)^2 a week."""

    excess: float  # of a single week; 1 is Poisson's
    cv: float  # of a single week, beside that
    level_cv: float  # of the forecast itself, the same in all weeks of a path


@dataclass(frozen=True, kw_only=True)
class PathRule:
    """Orders a quantile of what is missing in the week of arrival, over drawn sample paths.

    Sales that are lost before the order arrives free stock for that week, which no rule on the
    inventory position sees. Each week is decided alone: a unit too many costs the holding of its
    week, and the next order is smaller.
    """

    forecaster: Forecaster
    correction: float  # weight of the learnt correction of the forecast
    spread: Spread
    ratio: float  # quantile of the missing units

    def __call__(self, known: Known) -> FloatArray:
        """Returns whole units, (N,)."""
        return np.maximum(self.find_missing(known), 0)

    def find_missing(self, known: Known) -> FloatArray:
        """Returns whole units, (N,); below 0 where so many are left over."""
        means = self.forecaster.forecast(known, self.correction)
        paths = _draw_once(means.tobytes(), len(means), self.spread, known.sold.shape[1])
        return find_missing(paths, known, self.ratio)


def draw_paths(means: FloatArray, spread: Spread, seed: int) -> FloatArray:
    """Returns whole units of demand, (paths, N, weeks).

    Negative binomial in a week, given a level that is gamma distributed around the forecast.

    Args:
        means: expected units, (N, weeks).
        spread: around them.
        seed: the same paths come for the same seed, so that rules are compared on them.
    """
    generator = np.random.default_rng(seed)
    rates = np.broadcast_to(means, (PATHS, *means.shape))
    if spread.level_cv:
        shape = spread.level_cv**-2
        rates = rates * generator.gamma(shape, 1 / shape, (PATHS, len(means), 1))
    variance = (spread.excess - 1) * rates + (spread.cv * rates) ** 2
    if spread.excess > 1 or spread.cv:
        scale = variance / np.maximum(rates, 1e-9)
        rates = generator.gamma(rates / np.maximum(scale, 1e-9), scale)
    return generator.poisson(rates).astype(np.float64)


@lru_cache(maxsize=64)  # the orders of eight windows: rules with other quantiles need them again
def _draw_once(means: bytes, pairs: int, spread: Spread, seed: int) -> FloatArray:
    return draw_paths(np.frombuffer(means).reshape(pairs, -1), spread, seed)


def find_missing(paths: FloatArray, known: Known, ratio: float) -> FloatArray:
    """Returns the quantile of the units missing in the third week, (N,); below 0: left over.

    Args:
        paths: demand of the next three weeks, (paths, N, 3).
        known: the stock, and what arrives in the first two of them.
        ratio: share of the paths in which that many units are enough.
    """
    left = np.maximum(known.on_hand + known.coming[:, 0] - paths[..., 0], 0)
    left = np.maximum(left + known.coming[:, 1] - paths[..., 1], 0)
    place = min(int(np.ceil(ratio * len(paths))), len(paths)) - 1
    return np.partition(paths[..., 2] - left, place, axis=0)[place]
