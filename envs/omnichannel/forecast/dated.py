"""Forecasts of assortments with dates: no demand before the first day on sale or after the last."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.scenario.assortment import Dates
from envs.omnichannel.types import BoolArray, FloatArray, IntArray, Known, Network, State


class DatedForecast:
    """Any forecast, of what is on sale alone; other days teach it nothing.

    Attributes:
        dates: in the calendar of the states that it is asked about.
    """

    def __init__(self, forecast: Forecast, dates: Dates, cycle: int) -> None:
        """Takes the forecast, when stores sell SKUs, and the periods of a week."""
        self.forecast, self.dates, self.cycle = forecast, dates, cycle
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
        """Returns what is known after a period, the same as before where nothing was on sale."""
        learnt = self.forecast.update(known, demand, state)
        return learn_where(self.dates.is_on_sale(state.day), known, learnt)

    def predict_day(self, known: Known, state: State) -> FloatArray:
        """Returns the expected units of the state's period, (B, S, K, C)."""
        on_sale = self.dates.is_on_sale(state.day)[..., None]
        return self.forecast.predict_day(known, state) * on_sale

    def predict_week(self, known: Known, state: State) -> FloatArray:
        """Returns expected units a period over the week from the state's on, (B, S, K, C)."""
        every = self.forecast.look_ahead(known, state)[:, self.cycle - 1]
        own = self.look_ahead(known, state)[:, self.cycle - 1]
        share = np.divide(own, every, out=np.zeros_like(own), where=every > 0)
        return self.forecast.predict_week(known, state) * share[..., None]

    def look_ahead(self, known: Known, state: State) -> FloatArray:
        """Returns the factors of smoothed demand over the next 1 to H days, (B, H, S, K)."""
        ahead = self.forecast.look_ahead(known, state)
        by_day = np.diff(ahead, axis=1, prepend=0.0)
        days = state.day[:, None] + np.arange(ahead.shape[1])
        return np.cumsum(by_day * self.dates.is_on_sale(days), axis=1)


def learn_where(teaches: BoolArray, known: Known, learnt: Known) -> Known:
    """Returns what was learnt where a period teaches, (B, S, K), and elsewhere what was known."""
    kept = {}
    for field in fields(Known):
        new, old = getattr(learnt, field.name), getattr(known, field.name)
        if new is not None and new.ndim >= teaches.ndim:
            own = teaches.reshape(teaches.shape + (1,) * (new.ndim - teaches.ndim))
            kept[field.name] = np.where(own, new, old)
    return replace(learnt, **kept)


def wrap_dates(forecast: Forecast, network: Network) -> Forecast:
    """Returns the forecast of what is on sale; the forecast itself where nothing comes or goes."""
    dates = network.dates
    return forecast if dates is None else DatedForecast(forecast, dates, network.cycle)
