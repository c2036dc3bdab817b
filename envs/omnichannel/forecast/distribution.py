"""Demand of the days ahead as a distribution: moments, quantiles and paths that agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from envs.omnichannel.types import Float32Array, FloatArray, IntArray
from envs.omnichannel.world.demand.quantiles import accumulate_count, invert_count

_LOWEST_MEAN = 1e-9  # units; what is expected below it is taken not to be sold at all


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What is known of the errors of forecasts beyond each cell's own variance."""

    scale: float = 1.0  # factor of the daily variances
    drift: float = 0.0  # by how much levels move in the weeks ahead: a relative standard deviation


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Demand of the next H days, seen from one morning or from several, (...).

    On each day a store and SKU sells a negative binomial number of units, Poisson's where nothing
    scatters more. All days share the error of the level, so sums over them scatter more than those
    of independent days would: Var(sum) = sum of variances + sum over pairs of days of
    error² x mean x mean.
    """

    mean: FloatArray  # (..., H, S, K, C) units of each day
    variance: FloatArray  # (..., H, S, K) of each day's units of all channels
    level_error: FloatArray  # (..., S, K) standard deviation of the level, as a share of it

    @classmethod
    def predict(
        cls,
        level: FloatArray | Float32Array,
        variance: FloatArray | Float32Array,
        weight: FloatArray | Float32Array,
        factor: FloatArray | Float32Array,
        *,
        level_rate: float,
        spread: Spread | None = None,
    ) -> Self:
        """Looks ahead from what `Estimates`, `History` or `Known` say.

        Args:
            level: units a day, (..., S, K, C).
            variance: of their sum over the channels, (..., S, K).
            weight: days that both rest on, (..., S, K).
            factor: of the level on each day ahead: weekday, closure, promotion, (..., H, S, K);
                its S may be 1.
            level_rate: see `update_moments`; it says how many days a level remembers.
            spread: of the record; None: variances are taken as they are, and levels not to move.
        """
        found = spread or Spread()
        level, factor = level.astype(np.float64), factor.astype(np.float64)
        total = level.sum(axis=-1)
        scaled = found.scale * variance.astype(np.float64)
        # An exponential mean forgets: its variance is that of about 2 / rate days.
        remembered = np.maximum(level_rate / (2 - level_rate), 1 / np.maximum(weight, 1))
        square = np.maximum(total, _LOWEST_MEAN) ** 2
        known = remembered * np.maximum(scaled, total) / square
        error = np.sqrt(np.where(total > 0, known + found.drift**2, 0.0))
        mean = level[..., None, :, :, :] * factor[..., None]
        by_day = mean.sum(axis=-1)
        # No one sees a day better than Poisson's with the level that he knows.
        least = by_day + (error[..., None, :, :] * by_day) ** 2
        return cls(
            mean=mean,
            variance=np.maximum(scaled[..., None, :, :] * factor, least),
            level_error=error,
        )

    def sum_days(self, first: int = 0, end: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Returns mean and variance of all units sold on the days [first, end), (..., S, K)."""
        own = slice(first, end)
        by_day = self.mean[..., own, :, :, :].sum(axis=-1)
        total = by_day.sum(axis=-3)
        pairs = total**2 - (by_day**2).sum(axis=-3)
        variance = self.variance[..., own, :, :].sum(axis=-3) + self.level_error**2 * pairs
        return total, variance

    def find_quantile(self, share: float, first: int = 0, end: int | None = None) -> IntArray:
        """Returns the units that demand of the days stays at or below with a probability.

        Args:
            share: the probability, in (0, 1).
            first: the first day ahead, 0 for today.
            end: the day after the last.

        Returns:
            Whole units, (..., S, K).
        """
        mean, variance = self.sum_days(first, end)
        return invert_count(np.full(mean.shape, share), mean, variance)

    def draw_paths(self, generator: np.random.Generator, paths: int) -> IntArray:
        """Returns units of each day along drawn futures, (paths, ..., H, S, K, C).

        A path has one level throughout, from a gamma distribution around the known one; given it,
        days are independent. Mean and variance of each day and of every sum of days are those of
        `sum_days`.
        """
        by_day = self.mean.sum(axis=-1)
        square = np.maximum(by_day, _LOWEST_MEAN) ** 2
        error = self.level_error[..., None, :, :] ** 2
        own = (self.variance - by_day - error * square) / (square * (1 + error))
        own = np.where(by_day > _LOWEST_MEAN, np.maximum(own, 0), 0.0)
        level = _draw_factors(generator, self.level_error**2, paths)[..., None, :, :]
        # Channels take their shares of the same customers by chance.
        rate = (level * _draw_factors(generator, own, paths))[..., None] * self.mean
        return generator.poisson(rate)


def compute_cdf(units: FloatArray | IntArray, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """Returns the probability that demand is at most so many units, cell by cell.

    Args:
        units: whole, >= -1; any shape.
        mean: of the demand, in the same shape.
        variance: the same; below the mean it counts as the mean.
    """
    some = mean > _LOWEST_MEAN
    found = (units >= 0).astype(np.float64)
    found[some] = accumulate_count(
        units[some].astype(np.float64), mean[some], np.maximum(variance, mean)[some]
    )
    return found


def compute_log_probability(
    units: FloatArray | IntArray, mean: FloatArray, variance: FloatArray
) -> FloatArray:
    """Returns the log of the probability of just so many units, cell by cell.

    Args:
        units: whole, >= 0; any shape.
        mean: of the demand, > 0, in the same shape.
        variance: the same; below the mean it counts as the mean.
    """
    from scipy.special import gammaln, xlogy

    # Poisson's is the limit of a size so large that the two do not differ.
    size = mean**2 / np.maximum(variance - mean, 1e-6 * mean)
    ways = gammaln(units + size) - gammaln(size) - gammaln(units + 1.0)
    found: FloatArray = ways - size * np.log1p(mean / size) + xlogy(units, mean / (size + mean))
    return found


def _draw_factors(generator: np.random.Generator, variance: FloatArray, paths: int) -> FloatArray:
    """Gamma draws of mean 1 and the variance, (paths, ...); 1 where nothing varies."""
    some = np.maximum(variance, 1e-12)
    drawn = generator.gamma(1 / some, some, (paths, *variance.shape))
    return np.where(variance > 1e-12, drawn, 1.0)
