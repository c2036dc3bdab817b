"""Recorded demand, replayed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.errors import InputError
from envs.omnichannel.data import load_grocery_demand
from envs.omnichannel.demand_rules import Trace
from envs.omnichannel.scenario import Scenario, Sku, Store
from envs.omnichannel.types import FloatArray, IntArray, SeedArray, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.demand.process import Split


class TraceDemand:
    """Replays recorded daily sales of each store and SKU.

    The first `train_days` are for training, the rest for evaluation; means and the weekday
    profile come from the training days alone. A fixed share of the recorded units counts as
    ordered online, split by a seeded draw, because the source records one channel.
    """

    notice = 0

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

    def sample_log_level(self, seed: SeedArray) -> FloatArray:
        """None: the level is in the records, (B, 0, 0)."""
        return np.empty((len(seed), 0, 0))

    def step_log_level(self, state: State) -> FloatArray:
        """None, (B, 0, 0)."""
        return state.log_level

    def compute_uplift(self, state: State, ahead: int = 0) -> None:
        """Nothing is announced."""

    def expect_units(self, state: State, ahead: int = 0) -> FloatArray:
        """The recorded units of the day `ahead` days on, (B, S, K, C); the last day repeats."""
        total = self.units[np.minimum(state.day + ahead, len(self.units) - 1)]
        return np.stack([total * (1 - self.online_share), total * self.online_share], axis=-1)

    def sample_units(self, state: State) -> IntArray:
        """The recorded units of each copy's day, (B, S, K, C)."""
        total = self.units[state.day]
        uniform = draws.sample_uniform(
            state.seed, state.period, draws.ONLINE_SPLIT, total.shape[1:]
        )
        online = np.floor(total * self.online_share + uniform).astype(np.int64)
        return np.stack([total - online, online], axis=-1)


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
