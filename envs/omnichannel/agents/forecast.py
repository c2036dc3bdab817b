"""Demand forecasts: strategies over (B, ...), one state array each, the smoothed demand.

All methods keep that array, which agents observe; they differ in what they predict.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from envs.omnichannel.scenario.demand import ForecastSettings
from envs.omnichannel.types import WEEK, FloatArray, IntArray, State
from envs.omnichannel.world.demand import DemandProcess

_LOWEST_SEASON = 0.05  # demand is divided by the season, so a smaller one would magnify its noise


class Forecast(Protocol):
    """What the environment asks of a forecast."""

    def make_smoothed(self, num_copies: int) -> FloatArray:
        """Returns the smoothed demand before any was seen, (B, S, K, C)."""

    def update(self, smoothed: FloatArray, demand: IntArray, state: State) -> FloatArray:
        """Returns the smoothed demand after the state's period, (B, S, K, C)."""

    def predict_day(self, smoothed: FloatArray, state: State) -> FloatArray:
        """Returns the expected units of the state's period, (B, S, K, C)."""

    def predict_week(self, smoothed: FloatArray, state: State) -> FloatArray:
        """Returns expected units a period over the week from the state's on, (B, S, K, C)."""


class SeasonalSmoothing:
    """Simple exponential smoothing of demand under a known seasonal profile.

    Source: Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., section 8.1,
    applied to demand divided by its season and by the promotions, which are announced. Closed days
    teach nothing.
    """

    def __init__(self, demand: DemandProcess, smoothing: float) -> None:
        self.process = demand
        self.mean = demand.mean
        # Repeated by channel, because broadcasting over so short a last axis is slow.
        known = np.repeat(demand.season[..., None], demand.mean.shape[-1], axis=-1)
        is_open = known > 0
        self.season = np.maximum(known, _LOWEST_SEASON)  # (days, S, K, C)
        self.known_season = self.season * is_open
        self.smoothing = smoothing
        self.has_closed_days = not is_open.all()
        days = np.arange(len(self.season))[:, None] + np.arange(WEEK)
        self.week_ahead = self.known_season[days % len(self.season)].mean(axis=1)

    def make_smoothed(self, num_copies: int) -> FloatArray:
        """Returns the smoothed demand before any was seen: the known mean, (B, S, K, C)."""
        return np.broadcast_to(self.mean, (num_copies, *self.mean.shape)).copy()

    def update(self, smoothed: FloatArray, demand: IntArray, state: State) -> FloatArray:
        """Returns the smoothed demand after a period, (B, S, K, C).

        Args:
            smoothed: before, (B, S, K, C).
            demand: units of the period, (B, S, K, C).
            state: of the period of the demand.
        """
        day = state.day % len(self.season)
        season = self.season[day]
        uplift = self.process.compute_uplift(state)
        if uplift is not None:
            season = season * np.maximum(uplift, _LOWEST_SEASON)
        updated = smoothed + self.smoothing * (demand / season - smoothed)
        return (
            np.where(self.known_season[day] > 0, updated, smoothed)
            if self.has_closed_days
            else updated
        )

    def predict_day(self, smoothed: FloatArray, state: State) -> FloatArray:
        """Returns smoothed demand times the day's season and promotion, (B, S, K, C)."""
        expected = smoothed * self.known_season[state.day % len(self.season)]
        uplift = self.process.compute_uplift(state)
        return expected if uplift is None else expected * uplift

    def predict_week(self, smoothed: FloatArray, state: State) -> FloatArray:
        """The same, averaged over the week from the day on; promotions only as far as announced."""
        expected = smoothed * self.week_ahead[state.day % len(self.week_ahead)]
        for ahead in range(min(self.process.notice + 1, WEEK)):
            uplift = self.process.compute_uplift(state, ahead)
            if uplift is not None:
                season = self.known_season[(state.day + ahead) % len(self.season)]
                expected += smoothed * season * (uplift - 1) / WEEK
        return expected


class KnownMean(SeasonalSmoothing):
    """The known mean in every period: what a planner without season or sales figures has."""

    def predict_day(self, smoothed: FloatArray, state: State) -> FloatArray:
        """Returns the known mean, (B, S, K, C)."""
        del state
        return np.broadcast_to(self.mean, smoothed.shape)

    def predict_week(self, smoothed: FloatArray, state: State) -> FloatArray:
        """The same."""
        return self.predict_day(smoothed, state)


class Oracle(SeasonalSmoothing):
    """The true expected demand, drift and unannounced promotions included: an upper bound."""

    def predict_day(self, smoothed: FloatArray, state: State) -> FloatArray:
        """Returns the expectation of the state's day, (B, S, K, C)."""
        del smoothed
        return self.process.expect_units(state)

    def predict_week(self, smoothed: FloatArray, state: State) -> FloatArray:
        """Returns the mean expectation of the coming week given today's drift, (B, S, K, C)."""
        del smoothed
        days = [self.process.expect_units(state, ahead) for ahead in range(WEEK)]
        return np.add.reduce(days) / WEEK


_METHODS = {"smoothing": SeasonalSmoothing, "mean": KnownMean, "oracle": Oracle}


def make_forecast(demand: DemandProcess, settings: ForecastSettings) -> Forecast:
    """Builds the scenario's forecast."""
    return _METHODS[settings.method](demand, settings.smoothing)
