"""Drawn demand: an expectation by store, SKU, channel and day, and a distribution around it."""

from __future__ import annotations

import math

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Calendar, Drawn, Parametric
from envs.omnichannel.types import WEEK, FloatArray, IntArray, SeedArray, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.demand.cells import make_distribution, make_nominal
from envs.omnichannel.world.demand.process import Split

_HIGHEST = 1 - 2.0**-53  # the largest uniform below 1, so that ndtri of it is finite


class ParametricDemand:
    """Expected units = mean x season x weekday x drift x promotion; each factor can be absent.

    - Season: 1 + amplitude x sine, by SKU (eq. 1). Weekday: a profile with mean 1.
    - Drift: its log x follows x' = phi x + sd sqrt(1 - phi^2) z, stationary from the first day on;
      the factor exp(x - sd^2 / 2) has mean 1.
    - Promotions: in every `interval` days since the start of the episode each SKU has one, whose
      first day is uniform among those that leave it whole.
    - Correlation: a Gaussian copula (Nelsen 2006, An introduction to copulas, section 2.3). The
      normal score of a cell is sqrt(rho) f + sqrt(1 - rho) z with one f per SKU and day, so each
      cell keeps its distribution while stores and channels move together.

    Episodes start on a random day of the calendar; where the assortment has dates, on its first.
    """

    def __init__(self, scenario: Scenario, process: Drawn) -> None:
        self.distribution = make_distribution(scenario, process)
        self.nominal = make_nominal(scenario, process)  # before it is rounded and clipped
        self.mean = self.distribution.compute_mean(self.nominal)
        self.season = _make_season(scenario, process)
        self._is_dated = scenario.dates is not None
        self.drift, self.promotions = process.drift, process.promotions
        self.notice = self.promotions.notice if self.promotions else 0
        self.correlation = process.correlation
        self.scale, self.variance = self.mean, self._compute_variance()
        # (days, S, K, C); contiguous, for days are picked from them all the time
        self._expected = self._drawn = np.ascontiguousarray(self.mean * self.season[..., None])
        if (self.nominal != self.mean).any():
            self._drawn = np.ascontiguousarray(self.nominal * self.season[..., None])
        # What is closed has no noise either; without a calendar nothing is.
        self._open = None if process.calendar is None else (self.season > 0)[..., None]

    def sample_start(self, seed: SeedArray, horizon: int, split: Split) -> IntArray:
        """Any day of the calendar; training and evaluation differ by their seeds alone."""
        del horizon, split
        if self._is_dated:
            return np.zeros(len(seed), np.int64)
        start = draws.sample_uniform(seed, np.zeros(len(seed), np.int64), draws.START, ())
        return (start * len(self.season)).astype(np.int64)

    def mean_before(self, day: IntArray) -> FloatArray:
        """The mean, whatever the day, (B, S, K, C)."""
        return np.broadcast_to(self.mean, (len(day), *self.mean.shape))

    def sample_log_drift(self, seed: SeedArray) -> FloatArray | None:
        """Draws from the stationary distribution, (B, S, K); None without drift."""
        if self.drift is None:
            return None
        return self.drift.sd * self._sample_shock(seed, np.zeros(len(seed), np.int64))

    def step_log_drift(self, state: State) -> FloatArray | None:
        """The AR(1) step to the next day, (B, S, K); None without drift."""
        if self.drift is None or state.log_drift is None:
            return None
        scale = self.drift.sd * math.sqrt(1 - self.drift.phi**2)
        shock = self._sample_shock(state.seed, state.period + 1)
        return self.drift.phi * state.log_drift + scale * shock

    def compute_uplift(self, state: State, ahead: int = 0) -> FloatArray | None:
        """The factor of the promotions `ahead` days on, (B, 1, K, 1); None without any."""
        if self.promotions is None:
            return None
        rules, period = self.promotions, state.period + ahead
        uniform = draws.sample_uniform(
            state.seed, period // rules.interval, draws.PROMOTION, self.mean.shape[1:2]
        )
        first = np.floor(uniform * (rules.interval - rules.length + 1))  # (B, K)
        since = (period % rules.interval)[:, None] - first
        factor = np.where((since >= 0) & (since < rules.length), rules.uplift, 1.0)
        return factor[:, None, :, None]

    def expect_units(self, state: State, ahead: int = 0) -> FloatArray:
        """Given today's drift, the expectation of the day `ahead` days on, (B, S, K, C)."""
        expected = self._expected[(state.day + ahead) % len(self._expected)]
        base = self._compute_base(state, ahead)
        return expected if base is None else expected * base

    def sample_units(self, state: State) -> IntArray:
        """Draws the demand of the state's day, (B, S, K, C) units."""
        return self.invert_units(state, self._sample_uniform(state))

    def invert_units(self, state: State, uniform: FloatArray) -> IntArray:
        """Returns the demand of the state's day at given quantiles, given its drift.

        Args:
            state: of every copy, (B, ...).
            uniform: in (0, 1), (B, S, K, C).
        """
        day = state.day % len(self._expected)
        expected, base = self._drawn[day], self.nominal
        factor = self._compute_base(state, 0)
        if factor is not None:
            expected, base = expected * factor, base * factor
        if self._open is not None:
            base = base * self._open[day]
        return self.distribution.invert(uniform, expected, base)

    def _compute_base(self, state: State, ahead: int) -> FloatArray | None:
        """Drift times promotion, what multiplies the known mean and season; None without both."""
        factor = self.compute_uplift(state, ahead)
        if self.drift is None or state.log_drift is None:
            return factor
        kept = self.drift.phi**ahead
        # E[exp(x')] given x: what the shocks up to then add is in the mean of 1 already.
        drift = np.exp(kept * state.log_drift - (kept * self.drift.sd) ** 2 / 2)[..., None]
        return drift if factor is None else drift * factor

    def _compute_variance(self) -> FloatArray:
        """Of a day's total at the mean, given the drift, (S, K): channels may move together."""
        own = self.distribution.compute_variance(self.nominal)
        deviation = np.sqrt(own).sum(axis=-1)
        total: FloatArray = own.sum(axis=-1)
        return (1 - self.correlation) * total + self.correlation * deviation**2

    def _sample_shock(self, seed: SeedArray, period: IntArray) -> FloatArray:
        from scipy.special import ndtri

        cells = self.mean.shape[:2]
        return ndtri(draws.sample_uniform(seed, period, draws.DEMAND_DRIFT, cells))

    def _sample_uniform(self, state: State) -> FloatArray:
        seed, period = state.seed, state.period
        uniform = draws.sample_uniform(seed, period, draws.DEMAND, self.mean.shape)
        if not self.correlation:
            return uniform
        from scipy.special import ndtr, ndtri

        shared = draws.sample_uniform(seed, period, draws.DEMAND_FACTOR, self.mean.shape[1:2])
        factor = math.sqrt(self.correlation) * ndtri(shared)[:, None, :, None]
        score = factor + math.sqrt(1 - self.correlation) * ndtri(uniform)
        return np.minimum(ndtr(score), _HIGHEST)


def _make_season(scenario: Scenario, process: Parametric) -> FloatArray:
    """The known factor by calendar day, (days, S, K): sine times weekday."""
    phase = np.array([sku.season_phase for sku in scenario.skus])
    period = process.season_period
    angle = 2 * np.pi * np.arange(period) / period
    season = 1 + process.season_amplitude * np.sin(angle[:, None] + phase)  # (days, K)
    if process.calendar is not None:
        days = np.arange(math.lcm(period, WEEK))
        weekday = _make_weekdays(process.calendar)[days % WEEK]
        season = season[days % period] * weekday[:, None]
    shape = (len(season), len(scenario.network.stores), len(phase))
    return np.broadcast_to(season[:, None, :], shape)


def _make_weekdays(calendar: Calendar) -> FloatArray:
    """The profile with mean 1, closed weekdays 0, (7,)."""
    weights = np.array(calendar.weekdays)
    weights[calendar.closed] = 0
    return weights / weights.mean()
