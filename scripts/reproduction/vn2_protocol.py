"""The VN2 contest's protocol: eight weeks, six orders, costs of stock and of missed sales.

A week is: arrivals, sales as far as the stock goes, costs. An order that is made when week X has
closed arrives before the sales of week X + 3, so the orders made after weeks 0 to 5 decide the
costs of weeks 3 to 8, and nothing can change weeks 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from scripts.reproduction.vn2_files import WEEK, BoolArray, Contest

WEEKS, ORDERS = 8, 6
LEAD = 3  # weeks from the close after which an order is made to the week it arrives for
HOLDING, SHORTAGE = 0.2, 1.0  # a unit on hand at a week's end; a unit of demand not served
PROTECTED = 3  # weeks whose demand an order and all before it must meet: the last is its arrival's


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that an order may use: the weeks that have closed, and the stock after them."""

    sold: FloatArray  # (N, T) units a week
    in_stock: BoolArray  # (N, O), O <= T: flags end with the origin, as in the contest
    on_hand: FloatArray  # (N,) units
    coming: FloatArray  # (N, 2) units that arrive in the next week and in the one after it
    first_week: date
    products: IntArray  # (N,)
    classes: Mapping[str, IntArray]  # (N,) each: product group, department and so on

    @property
    def position(self) -> FloatArray:
        """Units on hand and on their way, (N,)."""
        return self.on_hand + self.coming.sum(1)

    def cut(self, weeks: int) -> Known:
        """Returns the sales and flags of the first weeks alone, as known when they had closed."""
        return replace(self, sold=self.sold[:, :weeks], in_stock=self.in_stock[:, :weeks])

    def get_units(self) -> FloatArray:
        """Returns the units of all closed weeks, (N, T), NaN where known to be out of stock.

        A week after the origin has no flag and counts as in stock.
        """
        units = self.sold.copy()
        units[:, : self.in_stock.shape[1]][~self.in_stock] = np.nan
        return units

    def number_weeks(self, first: int, last: int) -> IntArray:
        """Returns the ISO weeks of the year, 1 to 53, of weeks `first` to `last` - 1."""
        weeks = [(self.first_week + i * WEEK).isocalendar().week for i in range(first, last)]
        return np.array(weeks, np.int64)


class OrderRule(Protocol):
    """Decides what is ordered when a week has closed."""

    def __call__(self, known: Known) -> FloatArray:
        """Returns whole units, (N,), >= 0."""
        ...


def replay(contest: Contest, known_weeks: int, rule: OrderRule) -> FloatArray:
    """Returns the costs of the eight weeks after an origin, (8,).

    The contest's start stock is put at the end of the known weeks, wherever they end.

    Args:
        contest: the files; sales of the eight weeks are taken as demand.
        known_weeks: weeks up to the origin.
        rule: sees each week only after it has closed.
    """
    on_hand = contest.on_hand.copy()
    pipeline = [*contest.coming.T]
    costs = np.zeros(WEEKS)
    for week in range(WEEKS):
        closed = known_weeks + week
        if week < ORDERS:
            known = Known(
                sold=contest.sold[:, :closed],
                in_stock=contest.in_stock[:, :known_weeks],
                on_hand=on_hand,
                coming=np.stack(pipeline, 1),
                first_week=contest.first_week,
                products=contest.pairs[:, 1],
                classes=contest.classes,
            )
            pipeline.append(_check_order(rule(known)))
        else:
            pipeline.append(np.zeros_like(on_hand))
        stock = on_hand + pipeline.pop(0)
        demand = contest.sold[:, closed]
        served = np.minimum(stock, demand)
        on_hand = stock - served
        costs[week] = HOLDING * on_hand.sum() + SHORTAGE * (demand - served).sum()
    return costs


def compute_score(costs: FloatArray) -> float:
    """Returns the contest's score: the cost of the weeks that orders can change."""
    return float(costs[WEEKS - ORDERS :].sum())


def _check_order(order: FloatArray) -> FloatArray:
    if not (np.isfinite(order).all() and (order >= 0).all() and (order == np.rint(order)).all()):
        raise ValueError("an order must be whole units of at least 0")
    return order
