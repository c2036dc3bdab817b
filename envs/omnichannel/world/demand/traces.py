"""Recorded demand, replayed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.omnichannel.data import load_grocery_demand
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.scenario.goods import Sku
from envs.omnichannel.scenario.network import Store
from envs.omnichannel.types import (
    ONLINE,
    STORE,
    BoolArray,
    FloatArray,
    IntArray,
    SeedArray,
    State,
    sum_channels,
)
from envs.omnichannel.world import draws
from envs.omnichannel.world.demand.process import Split
from envs.omnichannel.world.demand.recorded import Counts, RecordedDemand, choose_kind
from envs.omnichannel.world.demand.trace_file import load_trace

_Kind = TypeVar("_Kind", bound=np.generic)

_BURN_IN = 8  # weeks that are known before the first episode begins, where there are so many
_LEAST_KNOWN = 4  # periods; of days a whole week, so that every weekday has been seen


class TraceDemand:
    """Replays recorded daily sales of each store and SKU.

    The first `train_days` are for training, the rest for evaluation. No episode begins before
    `burn_in` days are known: what is known at its beginning comes from the days before it. Where
    the records tell the channels apart, they are replayed as they are. Otherwise a fixed share
    counts as ordered online, split by a seeded draw.

    A few hundred training days repeat in every episode, and whoever learns from them learns them
    by heart. With `resample_weeks` each store's training day is drawn anew: from its days of the
    same weekday, so many weeks around, with all SKUs together, as baskets are. Level, weekday and
    scatter stay what they were. What begins an episode and what is held back stay as recorded.
    Source: Paparoditis & Politis 2002, Local block bootstrap, C. R. Mathematique 335(11).
    """

    notice = 0

    def __init__(self, scenario: Scenario, process: Trace) -> None:
        recorded = load_records(process)
        store_index = _index_of(scenario.network.stores, recorded.stores, "network.stores")
        sku_index = _index_of(scenario.skus, recorded.skus, "skus")
        self.first_day, self.step, self.cycle = recorded.first_day, recorded.step, scenario.cycle
        if process.first_day not in {None, recorded.first_day}:
            raise InputError(
                f"demand.first_day: {process.first_day} is not allowed; the record begins on "
                f"{recorded.first_day}"
            )
        if len(recorded.units) > 1 and recorded.step != scenario.days_a_period:
            found, other = ("week", "day") if recorded.step > 1 else ("day", "week")
            raise InputError(
                f"period: '{other}' is not allowed; the demand's record has a row a {found}, so "
                f"period: {found} is needed"
            )
        units = _select(recorded.units, process.last_day, store_index, sku_index)
        self.channels = scenario.channels
        self._own, self._own_channels = units, recorded.channels  # (D, S, K, recorded channels)
        self._spread(units[:0])  # the scenario has those channels
        self.carried, self.dates = scenario.carried, scenario.dates  # (S, K)
        self._check_assortment(scenario)
        in_stock = recorded.in_stock
        self.in_stock = self._leave_out(
            None
            if in_stock is None
            else _select(in_stock, process.last_day, store_index, sku_index)
        )
        self.train_days = process.train_days
        self.online_share = process.online_share
        self.resample_weeks = process.resample_weeks
        if self.online_share and recorded.channels != ["store"]:
            raise InputError(
                f"demand.online_share: {self.online_share} is not allowed; 0 is needed, because "
                f"the records have the channels {', '.join(recorded.channels)}"
            )
        self.held_back = held_back = len(units) - process.train_days
        if held_back < 0:
            raise InputError(
                f"demand.train_days: {process.train_days} is not allowed; at most {len(units)}, "
                "which the records have"
            )
        least = count_least_known(self.cycle)
        longest = min(held_back or process.train_days, process.train_days - least)
        if scenario.horizon > longest:
            raise InputError(
                f"horizon: {scenario.horizon} is not allowed; at most {longest} (the record has "
                f"{held_back} held-back days, and {process.train_days} training days of which the "
                f"first {least} are known before any episode begins)"
            )
        self.scale = self._average(units[: process.train_days])
        self.burn_in = min(_BURN_IN * self.cycle, process.train_days - scenario.horizon)
        known = units[: self.burn_in]
        self.mean = self._average(known, self.in_stock)  # (S, K, C)
        by_sku = known.sum(axis=-1)
        self.variance = by_sku.var(axis=0)  # (S, K)
        self.season = _weekday_profile(by_sku, len(units), self.cycle)

    def _check_assortment(self, scenario: Scenario) -> None:
        """Refuses sales of what a store does not carry: demand is never dropped unsaid."""
        stores, skus = scenario.store_names, scenario.sku_names
        if self.dates is not None:
            for day, units in enumerate(self._own):  # all days at once may be gigabytes
                early = units.sum(axis=-1) * ~self.dates.is_on_sale(np.array(day))
                for s, k in np.argwhere(early):
                    raise InputError(
                        f"assortment.dates: {stores[s]!r} sells {early[s, k]} units of "
                        f"{skus[k]!r} on day {day} of the demand's record, so it is on sale then"
                    )
        if self.carried is None:
            return
        sold = self._own.sum(axis=(0, 3)) * ~self.carried
        for s, k in np.argwhere(sold):
            raise InputError(
                f"assortment: {stores[s]!r} sells {sold[s, k]} units of {skus[k]!r} in the "
                "demand's record, so it carries it"
            )

    def _leave_out(self, in_stock: BoolArray | None) -> BoolArray | None:
        """Where there was anything to sell, (D, S, K): nothing of what a store does not carry."""
        if self.carried is not None:
            every = np.broadcast_to(self.carried, (self.num_days, *self.carried.shape))
            in_stock = every if in_stock is None else every & in_stock
        if self.dates is not None:
            shape = self._own.shape[:3]
            in_stock = np.ones(shape, np.bool_) if in_stock is None else in_stock.copy()
            for day in range(len(in_stock)):
                in_stock[day] &= self.dates.is_on_sale(np.array(day))
        return in_stock

    @cached_property
    def recorded(self) -> FloatArray:
        """Units by channel that each recorded day was to bring, (D, S, K, C)."""
        return self._share_out(self.units)

    def read_day(self, day: int) -> FloatArray:
        """Returns one day of `recorded`, (S, K, C), without making the others."""
        return self._share_out(self._spread(self._own[day]))

    @cached_property
    def units(self) -> Counts:
        """Units of all recorded days by the scenario's channels, (D, S, K, C)."""
        return self._spread(self._own)

    @property
    def num_days(self) -> int:
        """Days, or weeks, that are recorded."""
        return len(self._own)

    @cached_property
    def _sold(self) -> Counts:
        """Units sold before each day and before the one after the last, (D + 1, S, K, recorded)."""
        kind = choose_kind(int(self._own.sum(axis=0).max(initial=0)))
        sold = np.zeros((self.num_days + 1, *self._own.shape[1:]), kind)
        np.cumsum(self._own, axis=0, dtype=kind, out=sold[1:])
        return sold

    @cached_property
    def _stocked(self) -> Counts:
        """Days with stock up to each day, (D, S, K)."""
        days = self.in_stock if self.in_stock is not None else np.ones((self.num_days, 1, 1), bool)
        return np.cumsum(days, axis=0, dtype=choose_kind(self.num_days))

    def _spread(self, units: NDArray[Any]) -> NDArray[Any]:
        """Units by recorded channel, (..., recorded), by the scenario's channels, (..., C)."""
        return _spread_channels(units, self._own_channels, self.channels)

    def _average(self, units: Counts, in_stock: BoolArray | None = None) -> FloatArray:
        """The mean day of the first ones, or of those of them with stock, (S, K, C)."""
        if in_stock is None:
            return self._share_out(self._spread(units.mean(axis=0)))
        days = np.maximum(in_stock[: len(units)].sum(axis=0), 1)[..., None]
        return self._share_out(self._spread(units.sum(axis=0))) / days

    def find_date(self, day: int) -> date:
        """Returns the date of a day of the record or after it; of a week, its first day."""
        return self.first_day + timedelta(day * self.step)

    def spread(self, units: IntArray, recorded: list[str]) -> FloatArray:
        """Returns what recorded units, (D, S, K, recorded channels), were to be by channel."""
        return self._share_out(_spread_channels(units, recorded, self.channels))

    def mean_before(self, day: IntArray) -> FloatArray:
        """The mean of the days before on which there was stock, (B, S, K, C)."""
        own = np.minimum(day, self.num_days)
        days = np.maximum(own, 1)[:, None, None, None]
        if self.in_stock is not None:
            days = np.maximum(self._stocked[days[:, 0, 0, 0] - 1], 1)[..., None]
        return self._share_out(self._spread(self._sold[own])) / days

    def sample_start(self, seed: SeedArray, horizon: int, split: Split) -> IntArray:
        """A day from which the whole episode stays inside the part that `split` names.

        Where nothing is held back, both parts are the training days.
        """
        first, end = (self.burn_in, self.train_days)
        if split == "evaluate" and self.held_back:
            first, end = self.train_days, self.num_days
        start = draws.sample_uniform(seed, np.zeros(len(seed), np.int64), draws.START, ())
        return first + (start * (end - horizon + 1 - first)).astype(np.int64)

    def sample_log_drift(self, seed: SeedArray) -> None:
        """None: drift is in the records."""

    def step_log_drift(self, state: State) -> None:
        """None."""

    def compute_uplift(self, state: State, ahead: int = 0) -> None:
        """Nothing is announced."""

    def expect_units(self, state: State, ahead: int = 0) -> FloatArray:
        """The recorded units of the day `ahead` days on, (B, S, K, C); the last day repeats."""
        return self._share_out(self._read_day(state.day + ahead))

    def sample_units(self, state: State) -> IntArray:
        """The recorded units of each copy's day, (B, S, K, C)."""
        recorded = self._pick_day(state).astype(np.int64)
        if not self.online_share:
            return recorded
        total = sum_channels(recorded)
        uniform = draws.sample_uniform(
            state.seed, state.period, draws.ONLINE_SPLIT, total.shape[1:]
        )
        online = np.floor(total * self.online_share + uniform).astype(np.int64)
        units = np.zeros_like(recorded)
        units[..., STORE], units[..., ONLINE] = total - online, online
        return units

    def _read_day(self, day: IntArray) -> Counts:
        """The recorded units of days, (B, S, K, C); the last day repeats."""
        return self._spread(self._own[np.minimum(day, self.num_days - 1)])

    def _pick_day(self, state: State) -> Counts:
        """The recorded units of each copy's day, or of training days like it, (B, S, K, C)."""
        weeks, stores = self.resample_weeks, self._own.shape[1]
        if weeks is None:
            return self._read_day(state.day)
        day = np.minimum(state.day, self.num_days - 1)[:, None]
        uniform = draws.sample_uniform(state.seed, state.period, draws.RESAMPLED_DAY, (stores,))
        first = day - np.minimum(weeks, day // self.cycle) * self.cycle
        last = day + np.minimum(weeks, (self.train_days - 1 - day) // self.cycle) * self.cycle
        drawn = first + (uniform * ((last - first) // self.cycle + 1)).astype(np.int64) * self.cycle
        return self._spread(
            self._own[np.where(day < self.train_days, drawn, day), np.arange(stores)]
        )

    def _share_out(self, units: NDArray[Any]) -> FloatArray:
        """Expected units by channel, (..., C), of recorded ones, (..., C)."""
        if not self.online_share:
            return units.astype(np.float64)
        total = units.sum(axis=-1)
        expected = np.zeros(units.shape)
        expected[..., STORE] = total * (1 - self.online_share)
        expected[..., ONLINE] = total * self.online_share
        return expected


def count_least_known(cycle: int) -> int:
    """Returns the periods of a record that are known before any episode begins.

    Args:
        cycle: periods a week.
    """
    return max(cycle, _LEAST_KNOWN)


def load_records(process: Trace) -> RecordedDemand:
    """Returns the records that a trace replays.

    Raises:
        InputError: if the trace's file cannot be read.
    """
    if process.file is not None:
        return load_trace(Path(process.file), process.digest)
    dates, stores, skus, units = load_grocery_demand()
    return RecordedDemand(dates[0].item(), stores, skus, ["store"], units[..., None])


def _select(
    recorded: NDArray[_Kind], last_day: int | None, stores: list[int], skus: list[int]
) -> NDArray[_Kind]:
    """The days that are read of the scenario's stores and SKUs, (D, S, K, ...)."""
    days = recorded[:last_day]
    for axis, chosen in ((1, stores), (2, skus)):
        if chosen != list(range(days.shape[axis])):  # else there is nothing to copy
            days = days.take(chosen, axis=axis)
    return days


def _spread_channels(
    units: NDArray[Any], recorded: Sequence[str], channels: tuple[str, ...]
) -> NDArray[Any]:
    """Recorded units, (days, S, K, recorded channels), on the scenario's channels, (..., C)."""
    for channel in recorded:
        if channel not in channels:
            raise InputError(
                f"skus: no SKU has {channel}_demand above 0, and the records have that channel"
            )
    if [*recorded] == [*channels]:
        return units
    spread = np.zeros((*units.shape[:-1], len(channels)), units.dtype)
    spread[..., [channels.index(channel) for channel in recorded]] = units
    return spread


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


def _weekday_profile(train: IntArray, days: int, cycle: int) -> FloatArray:
    """Factor of the mean by weekday, pooled over stores, (days, S, K)."""
    weekday = np.arange(days) % cycle
    mean = train.sum(axis=1).mean(axis=0)
    by_day = train.sum(axis=1) / np.maximum(mean, 1e-9)  # (train, K)
    profile = np.stack([by_day[weekday[: len(train)] == d].mean(axis=0) for d in range(cycle)])
    profile[:, mean == 0] = 1.0  # not closed: never sold yet
    shape = (days, *train.shape[1:])
    return np.broadcast_to(profile[weekday][:, None, :], shape)
