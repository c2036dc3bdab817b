"""Lives of items as a retailer states them: listed from, until, and what a new one resembles.

A record tells that an item was sold. It cannot tell that one is listed and not sold yet, that one
will end, or that one which sold nothing has not ended.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from envs.omnichannel.forecast.learner import NEVER, Estimates, Learner
from envs.omnichannel.types import BoolArray, FloatArray, IntArray

FOREVER = 1_000_000_000  # the last day of what has no end
_NEW = 4  # weeks in which a listed item is new
# As many weeks of its own weigh as much as what a new item resembles, and as those in which a unit
# is expected to be sold: what sells once a month says little in a week.
_SISTER_WEEKS = 1.0
_CATEGORY_WEEKS = 2 / 7
_LEAST = 1e-6  # units a day


@dataclass(frozen=True, kw_only=True)
class Lives:
    """What is stated of stores and SKUs. Days are those of the record, as of `Learner.day`."""

    is_given: IntArray  # (S, K) 1 where anything is stated
    first: IntArray  # (S, K) first day on sale; 0: it always was
    last: IntArray  # (S, K) last day on sale; `FOREVER`: no end is known
    sister: IntArray  # (S, K) SKU that a new item resembles; `NEVER`: its category
    category: IntArray  # (S, K) of the SKU

    @classmethod
    def start(cls, stores: int, skus: int) -> Self:
        """States nothing."""
        shape = stores, skus
        return cls(
            is_given=np.zeros(shape, np.int64),
            first=np.zeros(shape, np.int64),
            last=np.full(shape, FOREVER),
            sister=np.full(shape, NEVER),
            category=np.zeros(shape, np.int64),
        )

    def is_on_sale(self, day: int | IntArray) -> BoolArray:
        """Returns whether each item is listed, (S, K) of a day, (D, S, K) of days, (D, 1, 1)."""
        return (self.first <= day) & (day <= self.last)

    def prepare(self, learner: Learner, units: FloatArray) -> BoolArray:
        """Returns which cells may learn from the learner's next day, (S, K).

        On its first listed day a cell forgets what it was before. Then nothing on the shelf yet and
        nobody buying look alike, so for four weeks zeros before the first sale teach nothing.

        Args:
            learner: before the day.
            units: of the day, (S, K, C).
        """
        day, is_dated = learner.day, self.first > 0
        learner.forget_cells(is_dated & (self.first == day))
        was_sold = (learner.sale_days > 0) | (units.sum(axis=-1) > 0)
        return self.is_on_sale(day) & (
            ~is_dated | was_sold | (day >= self.first + _NEW * learner.cycle)
        )

    def find_ended(self, learner: Learner) -> BoolArray:
        """Returns what has ended, (S, K): as stated, else as the learner finds."""
        return np.where(self.is_given == 1, self.last < learner.day, learner.find_ended())

    def find_new(self, learner: Learner) -> BoolArray:
        """Returns what is listed for less than four weeks, (S, K), or will be."""
        is_new: BoolArray = learner.find_new() | (self._fade(learner) > 0)
        return is_new & ~self.find_ended(learner)

    def find_unsold(self, learner: Learner) -> BoolArray:
        """Returns what is stated to be listed, now or later, and was not sold yet, (S, K)."""
        return (self.is_given == 1) & (self.last >= learner.day) & (learner.sale_days == 0)

    def read(self, learner: Learner) -> Estimates:
        """Returns what the days so far say, new items lent the level of what they resemble."""
        fade, prior = self._fade(learner), self._borrow(learner)
        total = np.maximum(prior.sum(axis=-1), _LEAST)
        weeks = np.where(self.sister == NEVER, _CATEGORY_WEEKS, _SISTER_WEEKS)
        days = np.minimum(weeks * learner.cycle + 1 / total, _NEW * learner.cycle) * fade
        own = _count_days(learner, self.first)
        share = np.divide(days, days + own, out=np.zeros_like(days), where=days > 0)[..., None]
        lent = replace(
            learner,
            smoothed=learner.smoothed + share * (prior - learner.smoothed),
            plain_mean=learner.plain_mean + share * (prior - learner.plain_mean),
            weight=np.where(fade > 0, np.maximum(own, 1.0), learner.weight),
        )
        found = lent.read(self.find_new(learner), self.find_ended(learner))
        plain_variance = np.where(fade > 0, found.variance, found.plain_variance)
        return replace(
            found, plain_variance=plain_variance, profile=self._lend_profile(learner, found.profile)
        )

    def _fade(self, learner: Learner) -> FloatArray:
        """The part that lent levels still have, (S, K): 1 of what is new, 0 after four weeks."""
        starts = (self.is_given == 1) & (self.last >= learner.day)
        starts &= (self.first > 0) | (learner.sale_days == 0)
        age = _count_days(learner, self.first) / (_NEW * learner.cycle)
        return np.where(starts, np.clip(1 - age, 0.0, None), 0.0)

    def _borrow(self, learner: Learner) -> FloatArray:
        """The level of what each item resembles, (S, K, C)."""
        sold = np.asarray((learner.sale_days > 0) & ~self.find_ended(learner))
        level = learner.smoothed
        found = _average_category(level, sold & ~self.find_new(learner), self.category[0])
        s, k = np.nonzero(self.sister != NEVER)
        sister = self.sister[s, k]
        stores = sold.sum(axis=0)[:, None]  # (K, 1) that sell the SKU
        everywhere = _divide((level * sold[..., None]).sum(axis=0), stores)  # (K, C)
        is_here = sold[s, sister].reshape(-1, 1)
        here = np.where(is_here, level[s, sister], everywhere[sister])
        found[s, k] = np.where(stores[sister] > 0, here, found[s, k])
        return found

    def _lend_profile(self, learner: Learner, profile: FloatArray) -> FloatArray:
        """The profile by weekday, (cycle, K): a new item's begins as its sister's."""
        lent = profile.copy()
        for k in np.flatnonzero((self.sister != NEVER).any(axis=0)):
            stated = self.sister[:, k]
            own = min(learner.listed[:, k].sum() / learner.cycle / _NEW, 1.0)
            of_sister = profile[:, stated[stated != NEVER][0]]
            lent[:, k] = own * profile[:, k] + (1 - own) * of_sister
        return lent

    def get_arrays(self) -> dict[str, IntArray]:
        """Returns all arrays by name, for a file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _count_days(learner: Learner, first: IntArray) -> FloatArray:
    """Days that each cell knows of its present life, (S, K)."""
    since = np.maximum(learner.day - first - _NEW * learner.cycle, 0)
    is_quiet = (first > 0) & (learner.sale_days == 0)
    return np.where(is_quiet, np.minimum(learner.weight, since), learner.weight)


def _average_category(level: FloatArray, is_usual: BoolArray, category: IntArray) -> FloatArray:
    """The mean level of each SKU's category in its store, (S, K, C).

    Where no other item of the category is sold, it is that of all stores, then of all SKUs.

    Args:
        level: (S, K, C).
        is_usual: what counts, (S, K).
        category: (K,).
    """
    members = np.eye(int(category.max(initial=0)) + 1)[category]  # (K, G)
    usual = is_usual.astype(np.float64)
    sums = np.einsum("skc,sk,kg->sgc", level, usual, members)
    counts = (usual @ members)[..., None]  # (S, G, 1)
    of_all = _divide(sums.sum(axis=1, keepdims=True), counts.sum(axis=1, keepdims=True))
    of_stores = np.where(
        counts.sum(axis=0) > 0, _divide(sums.sum(axis=0), counts.sum(axis=0)), of_all
    )
    found: FloatArray = np.where(counts > 0, _divide(sums, counts), of_stores)[:, category]
    return found


def _divide(sums: FloatArray, counts: FloatArray | IntArray) -> FloatArray:
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Which items are on sale on the days from a morning on."""

    day: int  # of the state that begins with the morning
    on_sale: BoolArray  # (D, S, K)

    @classmethod
    def from_lives(cls, lives: Lives, learner: Learner, days: int) -> Self | None:
        """Returns the coming days' listing; None where nothing begins or ends in them."""
        ahead = learner.day + np.arange(days)
        on_sale = lives.is_on_sale(ahead[:, None, None])
        is_constant = (on_sale == on_sale[0]).all() and (on_sale[0] | (lives.last < ahead[0])).all()
        return None if is_constant else cls(day=learner.day % learner.cycle, on_sale=on_sale)

    def pick(self, day: IntArray, days: int) -> BoolArray:
        """Returns what is on sale on so many days from each copy's day on, (B, days, S, K)."""
        ahead = (day - self.day)[:, None] + np.arange(days)
        return self.on_sale[np.clip(ahead, 0, len(self.on_sale) - 1)]
