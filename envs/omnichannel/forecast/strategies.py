"""Demand forecasts in the simulator: strategies over (B, ...) that keep and read what is known.

All methods track demand, which agents observe; they differ in what they predict.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from envs.omnichannel.forecast.moments import LOWEST_FACTOR
from envs.omnichannel.forecast.sales_days import count_sales_days, expect_sales_days
from envs.omnichannel.scenario.demand import ForecastSettings
from envs.omnichannel.types import (
    WEEK,
    FloatArray,
    IntArray,
    Known,
    Network,
    State,
    sum_channels,
)
from envs.omnichannel.world.demand import DemandProcess

_KNOWN_DAYS = 365.0  # that a known mean is taken to rest on


class Forecast(Protocol):
    """What the environment asks of a forecast."""

    counts_sales_days: bool  # whether agents see how often and how lately an item sells

    def begin(self, day: IntArray) -> Known:
        """Returns what is known before the first day of an episode, (B, ...).

        Args:
            day: calendar day on which each episode begins, (B,).
        """

    def update(self, known: Known, demand: IntArray, state: State) -> Known:
        """Returns what is known after the state's period, whose demand was (B, S, K, C) units."""

    def predict_day(self, known: Known, state: State) -> FloatArray:
        """Returns the expected units of the state's period, (B, S, K, C)."""

    def predict_week(self, known: Known, state: State) -> FloatArray:
        """Returns expected units a period over the week from the state's on, (B, S, K, C)."""

    def look_ahead(self, known: Known, state: State) -> FloatArray:
        """Returns the factors of smoothed demand over the next 1 to H days, (B, H, S or 1, K)."""

    def read_sales_days(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns `zero_share` and `silent` of `Known` before an episode, (B, S, K) each."""

    def read_plain(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns mean, (B, S, K, C), and variance, (B, S, K), of all days before an episode.

        A spreadsheet knows no more: both stay as they are until the episode ends.
        """


def begin_sales_days(forecast: Forecast, day: IntArray) -> dict[str, FloatArray]:
    """Returns the fields of `Known` that tell of days without a sale; none where nobody asks."""
    if not forecast.counts_sales_days:
        return {}
    zero_share, silent = forecast.read_sales_days(day)
    return {"zero_share": zero_share, "silent": silent}


def count_days_ahead(network: Network) -> int:
    """Returns H, the days from an order until all that it can serve has been sold."""
    if network.schedule is not None:
        return max(network.schedule.longest_protection, network.cycle)
    suppliers, lanes = network.lead_time[: network.num_dcs], network.lane_lead_time
    return max(int(suppliers.max() + lanes.max()) + 1, network.cycle)


class SeasonalSmoothing:
    """Simple exponential smoothing of demand under a known seasonal profile.

    Source: Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., section 8.1,
    applied to demand divided by its season and by the promotions, which are announced. Closed days
    teach nothing. The variance of what the smoothed demand misses is smoothed likewise.
    """

    def __init__(
        self,
        demand: DemandProcess,
        settings: ForecastSettings,
        days_ahead: int = WEEK,
        cycle: int = WEEK,
        *,
        counts_sales_days: bool = False,
    ) -> None:
        self.process, self.cycle = demand, cycle
        self.counts_sales_days = counts_sales_days
        # Repeated by channel, because broadcasting over so short a last axis is slow.
        known = np.repeat(demand.season[..., None], demand.mean.shape[-1], axis=-1)
        is_open = known > 0
        self.season = np.maximum(known, LOWEST_FACTOR)  # (days, S, K, C)
        self.known_season = self.season * is_open
        self.smoothing = settings.smoothing
        self.variance_smoothing = settings.variance_smoothing
        self.has_closed_days = not is_open.all()
        days = np.arange(len(self.season))[:, None] + np.arange(cycle)
        self.week_ahead = self.known_season[days % len(self.season)].mean(axis=1)
        # Stores share their season: (days, H, 1, K).
        days = np.arange(len(self.season))[:, None] + np.arange(days_ahead)
        self._by_day = self.known_season[days % len(self.season)][:, :, :1, :, 0]
        self._ahead = np.cumsum(self._by_day, axis=1)

    def begin(self, day: IntArray) -> Known:
        """Returns the known mean and the process's own variance, which nothing was added to yet."""
        mean, variance = self.read_plain(day)
        return Known(
            smoothed=mean.copy(),
            variance=variance.copy(),
            weight=np.full(variance.shape, _KNOWN_DAYS),
            origin=day,
            **begin_sales_days(self, day),
        )

    def read_sales_days(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns what mean and variance let expect of days without a sale."""
        mean, variance = self.read_plain(origin)
        return expect_sales_days(sum_channels(mean), variance)

    def read_plain(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns the known mean and the process's own variance, (B, ...)."""
        variance = self.process.variance
        mean = self.process.mean_before(origin)
        return mean, np.broadcast_to(variance, (len(origin), *variance.shape))

    def update(self, known: Known, demand: IntArray, state: State) -> Known:
        """Returns what is known after a period.

        Args:
            known: before, (B, ...).
            demand: units of the period, (B, S, K, C).
            state: of the period of the demand.
        """
        day = state.day % len(self.season)
        season, smoothed = self.season[day], known.smoothed
        uplift = self.process.compute_uplift(state)
        if uplift is not None:
            season = season * np.maximum(uplift, LOWEST_FACTOR)
        missed = demand / season - smoothed
        error = sum_channels(missed)
        scatter = error * error * season[..., 0]  # of a day whose factor is one
        variance = known.variance + self.variance_smoothing * (scatter - known.variance)
        updated = smoothed + self.smoothing * missed
        if self.has_closed_days:
            is_open = self.known_season[day] > 0
            updated = np.where(is_open, updated, smoothed)
            variance = np.where(is_open[..., 0], variance, known.variance)
        return Known(
            smoothed=updated,
            variance=variance,
            weight=known.weight,
            origin=known.origin,
            **count_sales_days(known, known.weight, demand, self.known_season[day][..., 0]),
        )

    def predict_day(self, known: Known, state: State) -> FloatArray:
        """Returns smoothed demand times the day's season and promotion, (B, S, K, C)."""
        expected = known.smoothed * self.known_season[state.day % len(self.season)]
        uplift = self.process.compute_uplift(state)
        return expected if uplift is None else expected * uplift

    def predict_week(self, known: Known, state: State) -> FloatArray:
        """The same, averaged over the week from the day on; promotions only as far as announced."""
        smoothed = known.smoothed
        expected = smoothed * self.week_ahead[state.day % len(self.week_ahead)]
        for ahead in range(min(self.process.notice + 1, self.cycle)):
            uplift = self.process.compute_uplift(state, ahead)
            if uplift is not None:
                season = self.known_season[(state.day + ahead) % len(self.season)]
                expected += smoothed * season * (uplift - 1) / self.cycle
        return expected

    def look_ahead(self, known: Known, state: State) -> FloatArray:
        """Returns the season, with promotions as far as announced, summed over 1 to H days."""
        del known
        day = state.day % len(self._ahead)
        if self.process.compute_uplift(state) is None:
            ahead: FloatArray = self._ahead[day]
            return ahead
        by_day = self._by_day[day]
        for days_on in range(min(self.process.notice + 1, by_day.shape[1])):
            uplift = self.process.compute_uplift(state, days_on)
            if uplift is not None:
                by_day[:, days_on] *= uplift[..., 0]
        return np.cumsum(by_day, axis=1)


class KnownMean(SeasonalSmoothing):
    """The known mean in every period: what a planner without season or sales figures has."""

    def predict_day(self, known: Known, state: State) -> FloatArray:
        """Returns the known mean, (B, S, K, C)."""
        del state
        return self.process.mean_before(known.origin)

    def predict_week(self, known: Known, state: State) -> FloatArray:
        """The same."""
        return self.predict_day(known, state)


class Oracle(SeasonalSmoothing):
    """The true expected demand, drift and unannounced promotions included: an upper bound."""

    def predict_day(self, known: Known, state: State) -> FloatArray:
        """Returns the expectation of the state's day, (B, S, K, C)."""
        del known
        return self.process.expect_units(state)

    def predict_week(self, known: Known, state: State) -> FloatArray:
        """Returns the mean expectation of the coming week given today's drift, (B, S, K, C)."""
        del known
        days = [self.process.expect_units(state, ahead) for ahead in range(self.cycle)]
        return np.add.reduce(days) / self.cycle
