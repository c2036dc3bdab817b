"""Demand forecasts: strategies over (B, ...), one state array each."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand import DemandProcess

WEEK = 7


class SeasonalSmoothing:
    """Simple exponential smoothing of the demand level under a known seasonal profile.

    Source: Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., section 8.1,
    applied to demand divided by its season.
    """

    def __init__(self, demand: DemandProcess, smoothing: float) -> None:
        self.mean = demand.mean
        self.smoothing = smoothing
        # Repeated by channel, because broadcasting over so short a last axis is slow.
        self.season = np.repeat(
            np.maximum(demand.season, 0.05)[..., None], demand.mean.shape[-1], axis=-1
        )  # (days, S, K, C)
        days = np.arange(len(self.season))[:, None] + np.arange(WEEK)
        self.week_ahead = self.season[days % len(self.season)].mean(axis=1)

    def make_level(self, num_copies: int) -> FloatArray:
        """Returns the level before any demand was seen: the known mean, (B, S, K, C)."""
        return np.broadcast_to(self.mean, (num_copies, *self.mean.shape)).copy()

    def update(self, level: FloatArray, demand: IntArray, day: IntArray) -> FloatArray:
        """Returns the level after a period's demand, (B, S, K, C).

        Args:
            level: before, (B, S, K, C).
            demand: units of the period, (B, S, K, C).
            day: calendar day of the demand, (B,).
        """
        season = self.season[day % len(self.season)]
        return level + self.smoothing * (demand / season - level)

    def predict(self, level: FloatArray, day: IntArray) -> FloatArray:
        """Returns expected units a period over the week from `day` on, (B, S, K, C)."""
        return level * self.week_ahead[day % len(self.week_ahead)]
