"""The learner: running moments of a chain's demand, day by day, and the lives of its items."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Self, cast, get_args

import numpy as np

from envs.omnichannel.forecast import empirical, intermittent, moving_average
from envs.omnichannel.forecast.empirical import update_empirical
from envs.omnichannel.forecast.intermittent import update_intermittent
from envs.omnichannel.forecast.moments import update_moments
from envs.omnichannel.forecast.moving_average import update_window
from envs.omnichannel.forecast.variance_law import PULL, shrink_variance
from envs.omnichannel.forecast.weekdays import estimate_profile
from envs.omnichannel.scenario.demand import ForecastSettings, Recorded
from envs.omnichannel.types import WEEK, BoolArray, FloatArray, IntArray

_SETTLED = 4  # weeks; a SKU first sold within them is taken to have been there before the record
NEVER = -1  # a day that has not come
_SILENT_SALES = 15.0  # days of sale missed since the last one: chance exp(-15) if it still sold
_LONGEST_NEW = 4  # weeks of its own after which an item no longer counts as new


class Rates(NamedTuple):
    """How a day moves what is known: the method, and the least shares of a day's error."""

    level: float  # see `update_moments`
    variance: float  # the same
    method: Recorded = "running"
    window: int = 0  # days of the moving average, or of the sums of `empirical`

    @classmethod
    def from_settings(cls, settings: ForecastSettings, method: Recorded = "running") -> Self:
        """Reads them off a scenario.

        Args:
            settings: of the scenario.
            method: instead of one that learns from no record.
        """
        if settings.method in get_args(Recorded):
            method = cast(Recorded, settings.method)
        window = {"moving_average": settings.window, "empirical": settings.span}.get(method, 0)
        return cls(settings.smoothing, settings.variance_smoothing, method, window)

    @property
    def level_rate(self) -> float:
        """The rate of the exponential mean that is as sure as the method's level: 2 / (days + 1).

        The mean of so many days has the variance of one day by their number, the exponential one
        that of rate / (2 - rate).
        """
        return 2 / (self.window + 1) if self.method == "moving_average" else self.level

    @property
    def pull(self) -> float:
        """How far the variance of a cell that is known is drawn towards the law of all cells."""
        return 0.0 if self.method == "empirical" else PULL

    def count_memory(self, channels: int) -> int:
        """Returns how many numbers a cell remembers beside its moments."""
        if self.method == "moving_average":
            return moving_average.count_memory(channels, self.window)
        if self.method == "empirical":
            return empirical.count_memory(self.window)
        return intermittent.count_memory(channels) if self.method == "intermittent" else 0

    def update(
        self,
        smoothed: FloatArray,
        variance: FloatArray,
        weight: FloatArray,
        memory: FloatArray | None,
        units: FloatArray,
        factor: FloatArray,
        is_seen: BoolArray,
    ) -> None:
        """Learns from a day, in place; args as of the methods' own functions."""
        known, day = (smoothed, variance, weight), (units, factor, is_seen)
        if memory is None:
            update_moments(*known, *day, self.level, self.variance)
        elif self.method == "moving_average":
            update_window(*known, memory, *day, self.window, self.variance)
        elif self.method == "empirical":
            update_empirical(*known, memory, *day, self.level, self.variance, self.window)
        else:
            update_intermittent(*known, memory, *day, self.level, self.variance)


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the days so far say of the coming ones."""

    # Levels and spreads are zero where an item has ended.
    smoothed: FloatArray  # (S, K, C) units a day, weekday taken out
    variance: FloatArray  # (S, K) of their sum over the channels, drawn towards the pooled law
    weight: FloatArray  # (S, K) days that both rest on
    plain_mean: FloatArray  # (S, K, C) mean of all days so far
    plain_variance: FloatArray  # (S, K)
    profile: FloatArray  # (cycle, K) factor of the mean by weekday
    zero_share: FloatArray  # (S, K) share of days without a sale
    silent: IntArray  # (S, K) days without one since the last sale
    memory: FloatArray  # (S, K, M) what the method needs beside; M is 0 for `running`
    is_new: BoolArray  # (S, K) on sale, for less than four weeks
    has_ended: BoolArray  # (S, K) was sold, and has not been for so long that it cannot be chance


@dataclass(kw_only=True)
class Learner:
    """Everything that forecasts remember; `learn` adds a day, `read` tells what is known.

    It is the same in simulation, over a record and every morning, so that a forecast of a day does
    not depend on the way to it.
    """

    day: int  # the next one to learn; day 0 is weekday 0
    smoothed: FloatArray  # (S, K, C)
    variance: FloatArray  # (S, K) as it is, not yet drawn towards the law
    weight: FloatArray  # (S, K)
    plain_mean: FloatArray  # (S, K, C)
    plain_variance: FloatArray  # (S, K)
    sold: FloatArray  # (cycle, K) units by weekday, in all stores
    listed: FloatArray  # (cycle, K) days by weekday on which stores had the SKU, as a share of them
    first_sale: IntArray  # (K,) in any store; `NEVER`: none
    silent: IntArray  # (S, K) days without a sale since the last one, with something to sell
    sale_days: IntArray  # (S, K) days with a sale
    memory: FloatArray  # (S, K, M) what the method needs beside; M is 0 for `running`
    pull: float = PULL  # see `Rates.pull`

    @classmethod
    def start(
        cls,
        stores: int,
        skus: int,
        channels: int,
        *,
        cycle: int = WEEK,
        memory: int = 0,
        pull: float = PULL,
    ) -> Self:
        """Knows nothing yet; a week has `cycle` days, or is one period itself.

        Args:
            stores: S.
            skus: K.
            channels: C.
            cycle: periods a week.
            memory: M, as of `Rates.count_memory`.
            pull: as of `Rates.pull`.
        """
        return cls(
            day=0,
            smoothed=np.zeros((stores, skus, channels)),
            variance=np.zeros((stores, skus)),
            weight=np.zeros((stores, skus)),
            plain_mean=np.zeros((stores, skus, channels)),
            plain_variance=np.zeros((stores, skus)),
            sold=np.zeros((cycle, skus)),
            listed=np.zeros((cycle, skus)),
            first_sale=np.full(skus, NEVER),
            silent=np.zeros((stores, skus), np.int64),
            sale_days=np.zeros((stores, skus), np.int64),
            memory=np.zeros((stores, skus, memory)),
            pull=pull,
        )

    @property
    def cycle(self) -> int:
        """Periods a week."""
        return len(self.sold)

    @property
    def settled(self) -> int:
        """Periods in which what is sold for the first time may have been there before."""
        return _SETTLED * self.cycle

    def learn(self, units: FloatArray, rates: Rates, in_stock: BoolArray | None = None) -> None:
        """Adds the next day.

        A SKU that is not sold in the first four weeks is new: its zeros before the first sale are
        no demand. Until the four weeks are over nobody knows, so they count till then.

        Args:
            units: sold or demanded, (S, K, C).
            rates: of the scenario.
            in_stock: whether there was anything to sell, (S, K); a day without stock teaches
                nothing. None: there always was.
        """
        total = units.sum(axis=-1)
        by_sku = total.sum(axis=0)
        self.first_sale[(self.first_sale == NEVER) & (by_sku > 0)] = self.day
        if self.day == self.settled:
            self._forget((self.first_sale == NEVER) | (self.first_sale == self.day))
        is_listed = (self.first_sale != NEVER) | (self.day < self.settled)
        is_seen = np.broadcast_to(is_listed, total.shape)
        if in_stock is not None:
            is_seen = is_seen & in_stock
        before = self.weight.astype(np.int64)
        self._update(units, is_seen, rates)
        learnt = (
            self.weight.astype(np.int64) - before
        )  # closed days and empty shelves teach nothing
        weekday = self.day % self.cycle
        self.sold[weekday] += (total * is_seen).sum(axis=0)
        self.listed[weekday] += is_seen.mean(axis=0)
        self.silent = np.where(total > 0, 0, self.silent + learnt)
        self.sale_days += total > 0
        self.day += 1

    def read(
        self, is_new: BoolArray | None = None, has_ended: BoolArray | None = None
    ) -> Estimates:
        """Returns what the days so far say; nothing that is returned changes with later days.

        Args:
            is_new: as somebody else knows it, (S, K); None: `find_new`.
            has_ended: the same; None: `find_ended`.
        """
        is_new = self.find_new() if is_new is None else is_new
        has_ended = self.find_ended() if has_ended is None else has_ended
        level = self.smoothed.sum(axis=-1)
        drawn = shrink_variance(level, self.variance, self.weight, self.pull)
        # What is new has a level that is itself a guess: its spread is as much wider.
        drawn = drawn * np.where(is_new, 1 + self.cycle / np.maximum(self.weight, 1), 1.0)
        return Estimates(
            smoothed=np.where(has_ended[..., None], 0.0, self.smoothed),
            variance=np.where(has_ended, 0.0, drawn),
            weight=self.weight.copy(),
            plain_mean=np.where(has_ended[..., None], 0.0, self.plain_mean),
            plain_variance=np.where(has_ended, 0.0, self.plain_variance),
            profile=self.estimate_profile(),
            zero_share=np.maximum(1 - self.sale_days / np.maximum(self.weight, 1), 0.0),
            silent=self.silent.copy(),
            memory=np.where(has_ended[..., None], 0.0, self.memory),
            is_new=is_new,
            has_ended=has_ended,
        )

    def estimate_profile(self) -> FloatArray:
        """Returns the factor of the mean by weekday, (cycle, K)."""
        return estimate_profile(self.sold, self.listed)

    def find_new(self) -> BoolArray:
        """Returns which cells are on sale for less than four weeks, (S, K)."""
        came_later = self.first_sale >= self.settled
        return came_later & (self.weight > 0) & (self.weight < _LONGEST_NEW * self.cycle)

    def find_ended(self) -> BoolArray:
        """Returns which cells were sold, and for so long not that it cannot be chance, (S, K).

        Up to its last sale a cell had so many days with a sale in so many days. Where fifteen more
        were due since, and four weeks have passed, the item has ended in that store. Days of sale
        count and not units, because customers buy several at once, and days on which there was
        nothing to sell do not count.
        """
        days = np.maximum(self.weight - self.silent, 1)
        missed = self.sale_days / days * self.silent
        ended: BoolArray = (self.silent >= self.settled) & (missed >= _SILENT_SALES)
        return ended

    def _update(self, units: FloatArray, is_seen: BoolArray, rates: Rates) -> None:
        """Moves both kinds of moments; the plain ones give every day the same weight."""
        factor = self.estimate_profile()[self.day % self.cycle][None]
        day, seen = np.ascontiguousarray(units[None], np.float64), is_seen[None].copy()
        plain_weight = self.weight.copy()
        update_moments(
            self.plain_mean[None], self.plain_variance[None], plain_weight[None], day, factor, seen,
            0.0, 0.0,
        )  # fmt: skip
        memory = self.memory[None] if self.memory.size else None
        rates.update(
            self.smoothed[None], self.variance[None], self.weight[None], memory, day, factor, seen
        )

    def _forget(self, is_new: BoolArray) -> None:
        """Takes back what was learnt of the SKUs, (K,), that turn out not to be on sale yet."""
        for array in (self.smoothed, self.variance, self.weight, self.plain_mean, self.memory):
            array[:, is_new] = 0
        self.plain_variance[:, is_new] = 0
        self.listed[:, is_new] = 0

    def forget_cells(self, is_new: BoolArray) -> None:
        """Takes back what was learnt of cells, (S, K), whose present life begins today."""
        for array in (
            self.smoothed, self.variance, self.weight, self.plain_mean, self.plain_variance,
            self.silent, self.sale_days,
        ):  # fmt: skip
            array[is_new] = 0

    def get_arrays(self) -> dict[str, FloatArray | IntArray]:
        """Returns all arrays by name, for a file."""
        own = (field.name for field in fields(self) if field.name not in {"day", "pull"})
        return {name: getattr(self, name) for name in own}
