"""Limits of suppliers: what an order of many SKUs comes to at least, and a week's at most."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.calendars import WEEKDAYS
from envs.omnichannel.scenario.order_rules import ROUNDINGS
from envs.omnichannel.types import BoolArray, FloatArray, IntArray, Network
from envs.omnichannel.world.allocation.lots import Lots

_NEAREST, _DOWN = ROUNDINGS.index("nearest"), ROUNDINGS.index("down")
NOBODY = -1  # in place of a supplier, where nothing is ordered
_SLACK = 1e-9  # of a minimum or a budget, which sums of floats may be off by


class SupplierLimits(NamedTuple):
    """What J suppliers ask for, of K SKUs."""

    cost: FloatArray  # (J, K) money a unit
    weight: FloatArray  # (J, 3, K) of a unit towards each minimum: units, money, weight
    minimum: FloatArray  # (J, 3) of a DC's order on a day that is not zero
    budget: FloatArray  # (J,) money a week, of all DCs
    rounding: IntArray  # (J,) index of `ROUNDINGS`: what becomes of orders below the minimum
    first_weekday: int  # of day 0
    lots: Lots  # (W, K) of the DCs

    @classmethod
    def from_scenario(cls, scenario: Scenario, network: Network) -> Self | None:
        """Returns the limits; None where no supplier has any."""
        suppliers, skus = scenario.suppliers or (), scenario.skus
        if network.schedule is None or not any(s.has_limits for s in suppliers):
            return None
        own = np.array([sku.unit_cost or 0.0 for sku in skus])
        cost = np.repeat(own[None], len(suppliers), axis=0)
        for j, supplier in enumerate(suppliers):
            for k, sku in enumerate(skus):
                cost[j, k] = (supplier.unit_cost or {}).get(sku.name, cost[j, k])
        weights = np.array([sku.weight or 0.0 for sku in skus])
        same = np.ones_like(cost)
        asked = [(s.minimum_units, s.minimum_value, s.minimum_weight) for s in suppliers]
        budgets = [s.weekly_budget for s in suppliers]
        return cls(
            cost=cost,
            weight=np.stack([same, cost, same * weights], axis=1),
            minimum=np.array([[0.0 if m is None else m for m in row] for row in asked]),
            budget=np.array([np.inf if b is None else b for b in budgets]),
            rounding=np.array([ROUNDINGS.index(s.rounding) for s in suppliers]),
            first_weekday=network.schedule.first_weekday,
            lots=make_lots(scenario).take(slice(network.num_dcs)),
        )

    def settle(
        self,
        order: IntArray,
        gap: FloatArray,
        rate: FloatArray,
        supplier: IntArray,
        left: FloatArray,
    ) -> IntArray:
        """Returns orders that keep to the suppliers' limits, units, (B, W, K).

        An order beyond what is left of the budget loses lots where the cover beyond the target is
        longest. One below the minimum is filled up where it is shortest, so that all SKUs of the
        supplier get the same number of days more, or is left out: `nearest` fills up from half of
        the minimum on.

        Args:
            order: in lots, (B, W, K).
            gap: target - inventory position, units, signed, (B, W, K).
            rate: units a day, above zero, (B, W, K).
            supplier: who gets each order, below 0 one without limits, (B, W, K).
            left: of the budgets, money, (B, J).
        """
        table = self.lots.multiple, self.lots.minimum, self.lots.maximum
        settled = np.ascontiguousarray(order).copy()
        _settle(
            settled, gap, rate, supplier, left.copy(),
            self.cost, self.weight, self.minimum, self.rounding, *table,
        )  # fmt: skip
        return settled

    def count_left(self, spent: FloatArray, day: IntArray) -> FloatArray:
        """Returns what is left of the budgets on a day, money, (B, J).

        Args:
            spent: in the week until the day, (B, J).
            day: of the calendar, (B,).
        """
        return np.maximum(self.budget - self.carry_over(spent, day), 0)

    def carry_over(self, spent: FloatArray, day: IntArray) -> FloatArray:
        """Returns what was spent in the week of a day before it: nothing on Mondays."""
        monday = (self.first_weekday + day) % len(WEEKDAYS) == 0
        return np.where(monday[:, None], 0.0, spent)

    def add_up(self, order: IntArray, supplier: IntArray) -> FloatArray:
        """Returns the money of orders, (B, W, K), by supplier, (B, J)."""
        found = [
            np.where(supplier == j, order, 0).sum(axis=1) @ self.cost[j]
            for j in range(len(self.cost))
        ]
        return np.stack(found, axis=1)


def make_lots(scenario: Scenario) -> Lots:
    """Returns the lots of all nodes; single units without order rules."""
    found = Lots.from_scenario(scenario)
    if found is not None:
        return found
    shape = len(scenario.node_names), len(scenario.skus)
    ones = np.ones(shape, np.int64)
    return Lots(ones, np.zeros_like(ones), np.full_like(ones, np.iinfo(np.int64).max), 0 * ones)


@compiled
def _settle(
    order: IntArray,
    gap: FloatArray,
    rate: FloatArray,
    supplier: IntArray,
    left: FloatArray,
    cost: FloatArray,
    weight: FloatArray,
    minimum: FloatArray,
    rounding: IntArray,
    pack: IntArray,
    least: IntArray,
    most: IntArray,
) -> None:
    """Changes orders, (B, W, K), and what is left of the budgets, (B, J), in place."""
    copies, dcs, skus = order.shape
    for b in range(copies):
        for w in range(dcs):
            for j in range(len(cost)):
                own = supplier[b, w] == j
                limits = pack[w], least[w], most[w]
                _cut(order[b, w], gap[b, w], rate[b, w], own, cost[j], left[b, j], limits)
                _fill(
                    order[b, w], gap[b, w], rate[b, w], own, cost[j], left[b, j], limits,
                    weight[j], minimum[j], rounding[j],
                )  # fmt: skip
                for k in range(skus):
                    if own[k]:
                        left[b, j] -= order[b, w, k] * cost[j, k]


@compiled
def _cut(
    order: IntArray,
    gap: FloatArray,
    rate: FloatArray,
    own: BoolArray,
    cost: FloatArray,
    left: float,
    limits: tuple[IntArray, IntArray, IntArray],
) -> None:
    """Takes lots off an order, (K,), until its money is within what is left."""
    pack, least, _ = limits
    while True:
        money, worst, longest = 0.0, -1, -np.inf
        for k in range(len(order)):
            if own[k] and order[k] > 0:
                money += order[k] * cost[k]
                beyond = (order[k] - gap[k]) / rate[k]
                if cost[k] > 0 and beyond > longest:
                    worst, longest = k, beyond
        if worst < 0 or money <= left + _SLACK:
            return
        fewer = order[worst] - pack[worst]
        order[worst] = fewer if fewer >= max(least[worst], 1) else 0


@compiled
def _fill(
    order: IntArray,
    gap: FloatArray,
    rate: FloatArray,
    own: BoolArray,
    cost: FloatArray,
    left: float,
    limits: tuple[IntArray, IntArray, IntArray],
    weight: FloatArray,
    minimum: FloatArray,
    rounding: int,
) -> None:
    """Adds lots to an order, (K,), until it comes to the minimum; or leaves it out."""
    pack, least, most = limits
    total, money = np.zeros(len(minimum)), 0.0
    for k in range(len(order)):
        if own[k]:
            total += order[k] * weight[:, k]
            money += order[k] * cost[k]
    reached = 1.0
    for i in range(len(minimum)):
        if minimum[i] > 0:
            reached = min(reached, total[i] / minimum[i])
    if total[0] == 0 or reached >= 1 - _SLACK:
        return
    is_worth_it = rounding != _DOWN and (rounding != _NEAREST or reached >= 0.5)
    while is_worth_it and (total < minimum - _SLACK * np.maximum(minimum, 1)).any():
        best, shortest = -1, np.inf
        for k in range(len(order)):
            more = max(pack[k], least[k] - order[k])
            fits = own[k] and order[k] + more <= most[k] and money + more * cost[k] <= left + _SLACK
            helps = ((weight[:, k] > 0) & (total < minimum)).any()
            beyond = (order[k] + more - gap[k]) / rate[k]
            if fits and helps and beyond < shortest:
                best, shortest = k, beyond
        if best < 0:
            is_worth_it = False
        else:
            more = max(pack[best], least[best] - order[best])
            order[best] += more
            money += more * cost[best]
            total += more * weight[:, best]
    if not is_worth_it:
        for k in range(len(order)):
            if own[k]:
                order[k] = 0
