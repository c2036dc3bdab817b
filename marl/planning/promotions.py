"""Promotions ahead: what a planner announces, and the forecast that counts on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.omnichannel.forecast.dated import learn_where
from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.types import FloatArray, IntArray, Known, State

EVERYWHERE = -1


@dataclass(frozen=True, kw_only=True)
class Promotions:
    """What is promoted when; days are those of the scenario's calendar."""

    first: IntArray  # (R,)
    last: IntArray  # (R,) the day itself is still promoted
    store: IntArray  # (R,) of the network's stores; -1: all
    sku: IntArray  # (R,)
    uplift: FloatArray  # (R,) factor of demand
    unknown: int = 0  # rows of stores and SKUs that the scenario does not have

    def list_notes(self) -> list[str]:
        """Returns what a planner should know of the file."""
        notes = [f"promotions that the forecast counts on: {len(self.sku)} rows"]
        if self.unknown:
            left = "rows of promotions of unknown stores or SKUs are left out"
            notes.append(f"{left}: {self.unknown}")
        return notes

    def count_factors(self, days: IntArray, stores: int, skus: int) -> FloatArray:
        """Returns the factor of demand on days, (D, S, K); of two rows the later one counts.

        Args:
            days: of the scenario's calendar, (D,).
            stores: S.
            skus: K.
        """
        factor = np.ones((len(days), stores, skus))
        for row, sku in enumerate(self.sku):
            own = slice(None) if self.store[row] == EVERYWHERE else self.store[row]
            for day in np.flatnonzero((days >= self.first[row]) & (days <= self.last[row])):
                factor[day, own, sku] = self.uplift[row]
        return factor


class PromotedForecast:
    """Any forecast, times the announced promotions; promoted days teach it nothing.

    Attributes:
        shift: days of the scenario's calendar before day 0 of the states that it is asked about.
    """

    def __init__(
        self, forecast: Forecast, promotions: Promotions, shape: tuple[int, int], cycle: int
    ) -> None:
        """Takes the forecast, what is promoted, (S, K), and the periods of a week."""
        self.forecast, self.promotions = forecast, promotions
        self.shape, self.cycle, self.shift = shape, cycle, 0
        self.counts_sales_days = forecast.counts_sales_days

    def begin(self, day: IntArray) -> Known:
        """Returns what is known before the first day of an episode, (B, ...)."""
        return self.forecast.begin(day)

    def read_sales_days(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns `zero_share` and `silent` of `Known` before an episode, (B, S, K) each."""
        return self.forecast.read_sales_days(origin)

    def read_plain(self, origin: IntArray) -> tuple[FloatArray, FloatArray]:
        """Returns mean and variance of all days before an episode, (B, ...)."""
        return self.forecast.read_plain(origin)

    def update(self, known: Known, demand: IntArray, state: State) -> Known:
        """Returns what is known after a period, the same as before where it was promoted."""
        learnt = self.forecast.update(known, demand, state)
        return learn_where(self._count(state.day) == 1, known, learnt)

    def predict_day(self, known: Known, state: State) -> FloatArray:
        """Returns the expected units of the state's period, (B, S, K, C)."""
        return self.forecast.predict_day(known, state) * self._count(state.day)[..., None]

    def predict_week(self, known: Known, state: State) -> FloatArray:
        """Returns expected units a period over the week from the state's on, (B, S, K, C)."""
        usual = self.forecast.look_ahead(known, state)[:, self.cycle - 1]
        own = self.look_ahead(known, state)[:, self.cycle - 1]
        share = np.divide(own, usual, out=np.ones_like(own), where=usual > 0)
        return self.forecast.predict_week(known, state) * share[..., None]

    def look_ahead(self, known: Known, state: State) -> FloatArray:
        """Returns the factors of smoothed demand over the next 1 to H days, (B, H, S, K)."""
        ahead = self.forecast.look_ahead(known, state)
        days = state.day[:, None] + np.arange(ahead.shape[1])
        by_day = np.diff(ahead, axis=1, prepend=0.0) * self._count(days)
        return np.cumsum(by_day, axis=1)

    def _count(self, days: IntArray) -> FloatArray:
        # All copies live through the same days.
        own, back = np.unique(days + self.shift, return_inverse=True)
        return self.promotions.count_factors(own, *self.shape)[back.reshape(days.shape)]
