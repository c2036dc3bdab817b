"""Demand processes (eq. 1): strategies that draw a period's units for all copies at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from scipy.special import ndtri

from envs.errors import InputError
from envs.omnichannel.data import load_grocery_demand
from envs.omnichannel.scenario import Scenario, SeasonalNormal, Sku, Store, Trace
from envs.omnichannel.types import FloatArray, IntArray, SeedArray
from envs.omnichannel.world import draws

Split = Literal["train", "evaluate"]


class DemandProcess(Protocol):
    """What the simulator, the forecast and the reward's scale need to know of demand."""

    mean: FloatArray  # (S, K, C) expected units a period, known to all
    season: FloatArray  # (days, S, K) known factor of the mean by calendar day

    def sample_start(self, seed: SeedArray, horizon: int, split: Split) -> IntArray:
        """Draws the calendar day on which each episode begins, (B,)."""

    def sample_units(self, seed: SeedArray, period: IntArray, day: IntArray) -> IntArray:
        """Draws a period's demand, (B, S, K, C) units."""


class SeasonalNormalDemand:
    """Eq. 1: base + seasonal sine (a share of base) + normal noise (sd a share of base).

    Rounded to units and clipped at zero. All copies start on a random day of the season.
    """

    def __init__(self, scenario: Scenario, process: SeasonalNormal) -> None:
        base = scenario.base_demand  # (K, C)
        size = np.array([store.size for store in scenario.network.stores])
        self.mean = size[:, None, None] * np.array(base, dtype=np.float64)
        self.noise = process.noise * self.mean
        phase = np.array([sku.season_phase for sku in scenario.skus])
        angle = 2 * np.pi * np.arange(process.season_period) / process.season_period
        season = 1 + process.season_amplitude * np.sin(angle[:, None] + phase)  # (days, K)
        shape = (process.season_period, len(size), len(phase))
        self.season = np.broadcast_to(season[:, None, :], shape)
        self._expected = self.mean * self.season[..., None]  # (days, S, K, C)

    def sample_start(self, seed: SeedArray, horizon: int, split: Split) -> IntArray:
        """Any day of the season; training and evaluation differ by their seeds alone."""
        del horizon, split
        start = draws.sample_uniform(seed, np.zeros(len(seed), np.int64), draws.START, ())
        return (start * len(self.season)).astype(np.int64)

    def sample_units(self, seed: SeedArray, period: IntArray, day: IntArray) -> IntArray:
        """Draws a period's demand, (B, S, K, C) units."""
        uniform = draws.sample_uniform(seed, period, draws.DEMAND, self.mean.shape)
        units = np.rint(self._expected[day % len(self._expected)] + self.noise * ndtri(uniform))
        return np.maximum(units, 0, out=units).astype(np.int64)


class TraceDemand:
    """Replays recorded daily sales of each store and SKU.

    The first `train_days` are for training, the rest for evaluation; means and the weekday
    profile come from the training days alone. A fixed share of the recorded units counts as
    ordered online, split by a seeded draw, because the source records one channel.
    """

    def __init__(self, scenario: Scenario, process: Trace) -> None:
        _, stores, skus, units = load_grocery_demand()
        store_index = _index_of(scenario.network.stores, stores, "network.stores")
        sku_index = _index_of(scenario.skus, skus, "skus")
        self.units = units[:, store_index][:, :, sku_index].astype(np.int64)  # (days, S, K)
        self.train_days = process.train_days
        self.online_share = process.online_share
        held_back = len(units) - process.train_days
        if scenario.horizon > min(held_back, process.train_days):
            raise InputError(
                f"horizon: {scenario.horizon} is not allowed; at most "
                f"{min(held_back, process.train_days)} (days of the shorter part of the trace)"
            )
        train = self.units[: process.train_days]
        daily = train.mean(axis=0)  # (S, K)
        self.mean = np.stack([daily * (1 - self.online_share), daily * self.online_share], -1)
        self.season = _weekday_profile(train, len(self.units))

    def sample_start(self, seed: SeedArray, horizon: int, split: Split) -> IntArray:
        """A day from which the whole episode stays inside the part that `split` names."""
        first, end = (0, self.train_days)
        if split == "evaluate":
            first, end = self.train_days, len(self.units)
        start = draws.sample_uniform(seed, np.zeros(len(seed), np.int64), draws.START, ())
        return first + (start * (end - horizon + 1 - first)).astype(np.int64)

    def sample_units(self, seed: SeedArray, period: IntArray, day: IntArray) -> IntArray:
        """The recorded units of each copy's day, (B, S, K, C)."""
        total = self.units[day]
        uniform = draws.sample_uniform(seed, period, draws.ONLINE_SPLIT, total.shape[1:])
        online = np.floor(total * self.online_share + uniform).astype(np.int64)
        return np.stack([total - online, online], axis=-1)


def make_demand(scenario: Scenario) -> DemandProcess:
    """Builds the scenario's demand process."""
    if isinstance(scenario.demand, Trace):
        return TraceDemand(scenario, scenario.demand)
    return SeasonalNormalDemand(scenario, scenario.demand)


def _index_of(entries: Sequence[Store | Sku], known: list[str], field: str) -> list[int]:
    """Positions of the scenario's names in the data, or one line on the first unknown one."""
    positions = []
    for i, entry in enumerate(entries):
        if entry.name not in known:
            raise InputError(
                f"{field}.{i}.name: {entry.name!r} is not in the demand data; "
                f"allowed: {', '.join(known)}"
            )
        positions.append(known.index(entry.name))
    return positions


def _weekday_profile(train: IntArray, days: int) -> FloatArray:
    """Factor of the mean by weekday, pooled over stores, (days, S, K)."""
    weekday = np.arange(days) % 7
    by_day = train.sum(axis=1) / np.maximum(train.sum(axis=1).mean(axis=0), 1e-9)  # (train, K)
    profile = np.stack([by_day[weekday[: len(train)] == d].mean(axis=0) for d in range(7)])
    shape = (days, *train.shape[1:])
    return np.broadcast_to(profile[weekday][:, None, :], shape)
