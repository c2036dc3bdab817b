"""Histories: estimates from the days of a record before each one, where every episode begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from envs.omnichannel.forecast.moments import update_moments
from envs.omnichannel.forecast.variance_law import shrink_variance
from envs.omnichannel.forecast.weekdays import roll_profiles
from envs.omnichannel.types import WEEK, BoolArray, FloatArray, IntArray

_OLD = 28  # days; a SKU first sold within them is taken to have been there before the record


@dataclass(frozen=True, kw_only=True)
class History:
    """Estimates from the days before each day of a record, (D + 1, ...).

    Entry t rests on the days before t and on nothing else, so that whoever begins on day t knows
    what a retailer would.
    """

    smoothed: FloatArray  # (D + 1, S, K, C) units a day, weekday taken out
    variance: FloatArray  # (D + 1, S, K) of their sum over the channels
    weight: FloatArray  # (D + 1, S, K) days that both rest on
    plain_mean: FloatArray  # (D + 1, S, K, C) mean of all days so far
    plain_variance: FloatArray  # (D + 1, S, K) of all days so far, weekday taken out
    profile: FloatArray  # (D + 1, 7, K) factor of the mean by weekday

    @classmethod
    def roll(
        cls,
        units: FloatArray,
        *,
        level_rate: float,
        variance_rate: float,
        in_stock: BoolArray | None = None,
    ) -> Self:
        """Learns from a record day by day.

        Args:
            units: of each day, (D, S, K, C); day 0 is weekday 0.
            level_rate: see `update_moments`.
            variance_rate: the same.
            in_stock: whether there was anything to sell, (D, S, K); days without stock teach
                nothing. None: there always was.
        """
        days, stores, skus, channels = units.shape
        listed = find_listing(units.sum(axis=(1, 3)))  # (K,)
        profile = roll_profiles(units.sum(axis=(1, 3)), listed)
        running = _Roll(stores, skus, channels, level_rate, variance_rate)
        plain = _Roll(stores, skus, channels, 0.0, 0.0)
        by_day: list[tuple[FloatArray, ...]] = []
        for day in range(days + 1):
            by_day.append((*running.read(), *plain.read(shrink=False)))
            if day == days:
                break
            if day == _OLD:
                for roll in (running, plain):
                    roll.forget(listed >= _OLD)
            is_seen = np.broadcast_to((listed <= day) | (day < _OLD), (1, stores, skus))
            if in_stock is not None:
                is_seen = is_seen & in_stock[day]
            for roll in (running, plain):
                roll.learn(units[day], profile[day, day % WEEK], is_seen)
        arrays = [np.stack(found) for found in zip(*by_day, strict=True)]
        names = ("smoothed", "variance", "weight", "plain_mean", "plain_variance")
        return cls(profile=profile, **dict(zip(names, arrays, strict=False)))


class _Roll:
    """Moments of one copy, updated day by day."""

    def __init__(
        self, stores: int, skus: int, channels: int, level_rate: float, variance_rate: float
    ) -> None:
        self.smoothed = np.zeros((1, stores, skus, channels))
        self.variance, self.weight = np.zeros((2, 1, stores, skus))
        self.rates = level_rate, variance_rate

    def learn(self, units: FloatArray, factor: FloatArray, is_seen: BoolArray) -> None:
        """Adds a day: its units, (S, K, C), and the factor known for it, (K,)."""
        update_moments(
            self.smoothed, self.variance, self.weight, np.ascontiguousarray(units[None], float),
            np.ascontiguousarray(factor[None]), np.ascontiguousarray(is_seen), *self.rates,
        )  # fmt: skip

    def forget(self, is_new: BoolArray) -> None:
        """Takes back what was learnt of the SKUs, (K,), that turn out not to be on sale yet."""
        for array in (self.smoothed, self.variance, self.weight):
            array[:, :, is_new] = 0

    def read(self, *, shrink: bool = True) -> tuple[FloatArray, ...]:
        """Level, variance and weight now."""
        level, variance, weight = self.smoothed[0].copy(), self.variance[0], self.weight[0].copy()
        if shrink:
            return level, shrink_variance(level.sum(axis=-1), variance, weight), weight
        return level, variance.copy(), weight


def find_listing(units: FloatArray) -> IntArray:
    """Returns the day from which on each SKU counts as listed, (K,).

    Args:
        units: of each day in all stores, (D, K).

    A SKU that is not sold in the first four weeks is new: its zeros before the first sale are no
    demand. Until the four weeks are over nobody knows, so estimates count them till then.
    """
    sold = units > 0
    first = np.where(sold.any(axis=0), sold.argmax(axis=0), len(units))
    return np.where(first < _OLD, 0, first).astype(np.int64)
