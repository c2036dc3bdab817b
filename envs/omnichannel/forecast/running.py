"""The running forecast of recorded demand: every episode begins with what the days before say."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.forecast.lives import Listing
from envs.omnichannel.forecast.sales_days import count_sales_days
from envs.omnichannel.forecast.strategies import begin_sales_days
from envs.omnichannel.scenario.demand import ForecastSettings
from envs.omnichannel.types import BoolArray, FloatArray, IntArray, Known, State, sum_channels


class Running:
    """Running means and variances under a weekday profile, all from days before.

    An episode that begins on a day of the record knows what the days before it say, and learns from
    every day that it lives through. Its weekday profile stays that of its first day.
    """

    def __init__(
        self,
        history: History,
        settings: ForecastSettings,
        days_ahead: int,
        *,
        in_stock: BoolArray | None = None,
        counts_sales_days: bool = False,
    ) -> None:
        """Takes what the record says.

        Args:
            history: of the record; of one entry, what is known today whatever the day.
            settings: of the scenario.
            days_ahead: H of `look_ahead`.
            in_stock: whether there was anything to sell on each day of the record, (D, S, K).
            counts_sales_days: whether agents see how often and how lately an item sells.
        """
        self.in_stock = in_stock
        self.rates = Rates.from_settings(settings)
        self.history = history
        self.counts_sales_days = counts_sales_days
        self.listing: Listing | None = None  # where items begin or end in the days ahead
        self.has_memory = history.memory.size > 0
        self.cycle = history.profile.shape[1]
        weekday = np.arange(self.cycle)[:, None] + np.arange(days_ahead)
        self._weekdays = weekday % self.cycle  # (7, H) of the days from each weekday on

    def begin(self, day: IntArray) -> Known:
        """Returns what the days before each episode's first one say, (B, ...)."""
        own = self._locate(day)
        return Known(
            smoothed=self.history.smoothed[own].astype(np.float64),
            variance=self.history.variance[own].astype(np.float64),
            weight=self.history.weight[own].astype(np.float64),
            origin=day,
            **begin_sales_days(self, day),
            memory=self.history.memory[own].astype(np.float64) if self.has_memory else None,
        )

    def read_sales_days(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns what the record says before the episodes, (B, S, K) each."""
        history, own = self.history, self._locate(origin)
        return history.zero_share[own].astype(np.float64), history.silent[own].astype(np.float64)

    def read_plain(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns mean and variance of all days before the episodes, (B, ...)."""
        history, own = self.history, self._locate(origin)
        return (
            history.plain_mean[own].astype(np.float64),
            history.plain_variance[own].astype(np.float64),
        )

    def update(self, known: Known, demand: IntArray, state: State) -> Known:
        """Returns what is known after the state's period, (B, ...)."""
        smoothed, variance = known.smoothed.copy(), known.variance.copy()
        weight = known.weight.copy()
        # Before its first sale a new item's zeros say nothing.
        is_seen = (weight > 0) | (sum_channels(demand) > 0)
        if self.in_stock is not None:  # an empty shelf says nothing
            is_seen &= self.in_stock[np.minimum(state.day, len(self.in_stock) - 1)]
        factor = self._read_factor(known, state)
        memory = None if known.memory is None else known.memory.copy()
        day = demand.astype(np.float64)
        self.rates.update(smoothed, variance, weight, memory, day, factor, is_seen)
        return Known(
            smoothed=smoothed,
            variance=variance,
            weight=weight,
            origin=known.origin,
            **count_sales_days(known, weight, demand, factor[:, None]),
            memory=memory,
        )

    def predict_day(self, known: Known, state: State) -> FloatArray:
        """Returns the level times the weekday's factor, (B, S, K, C)."""
        by_day = known.smoothed * self._read_factor(known, state)[:, None, :, None]
        if self.listing is None:
            return by_day
        return by_day * self.listing.pick(state.day, 1)[:, 0, ..., None]

    def predict_week(self, known: Known, state: State) -> FloatArray:
        """Returns the level: a week has every weekday once, (B, S, K, C)."""
        if self.listing is None:
            return known.smoothed
        share = self.look_ahead(known, state)[:, self.cycle - 1] / self.cycle
        return known.smoothed * share[..., None]

    def look_ahead(self, known: Known, state: State) -> FloatArray:
        """Returns the weekdays' factors, summed over the next 1 to H days, (B, H, S or 1, K)."""
        days = self._weekdays[state.day % self.cycle]  # (B, H)
        by_day = self.history.profile[self._locate(known.origin)[:, None], days]
        if self.listing is None:
            return np.cumsum(by_day, axis=1, dtype=np.float64)[:, :, None]
        on_sale = self.listing.pick(state.day, by_day.shape[1])
        return np.cumsum(by_day[:, :, None] * on_sale, axis=1, dtype=np.float64)

    def _read_factor(self, known: Known, state: State) -> FloatArray:
        """The weekday's factor of the state's day, (B, K)."""
        own = self._locate(known.origin)
        return self.history.profile[own, state.day % self.cycle].astype(np.float64)

    def _locate(self, day: IntArray) -> IntArray:
        """Entries of the history, (B,): beyond the record nothing more is known than at its end."""
        return np.minimum(day, len(self.history.smoothed) - 1)
