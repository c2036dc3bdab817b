"""The optimum of the lost-sales system by value iteration, to measure a learner against.

State, after arrivals: the units on hand and the orders of the last L - 1 periods, oldest first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import TargetPolicy
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray, IntArray, View
from envs.omnichannel.world.draws import make_seeds
from marl.policies.base import Setting, TargetRule

OPTIMUM = "optimum"  # as a policy's name
_TAIL = 1e-4  # probability that demand exceeds the tables: no order or stock lies beyond
_TOLERANCE = 1e-9  # money a period
_MOST_VALUES = 10_000_000  # of states and orders

# What may differ from the built-in scenario `lost_sales`.
_FREE = frozenset({
    "name", "description", "horizon", "review_period", "initial_store_cover", "initial_dc_cover",
    "start", "observation", "actions", "before", "reward", "coordination", "forecast",
    "network.stores.0.name", "network.stores.0.lead_time", "network.stores.0.size",
    "network.dcs.0.name", "network.stores.0.parent", "skus.0.name", "skus.0.store_demand",
    "costs.lost_sale", "costs.holding_store",
})  # fmt: skip


@dataclass(frozen=True)
class LostSalesSystem:
    """One location with Poisson demand whose unmet part is lost."""

    lead_time: int  # periods, >= 1
    mean: float  # units a period
    penalty: float  # money a lost unit
    holding: float  # money a unit that is left at the end of a period

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> LostSalesSystem:
        """Reads a scenario that is `lost_sales` but for its numbers.

        Raises:
            InputError: names the first field that makes it another model.
        """
        model = load_scenario("lost_sales")
        found, allowed = (_flatten(s.model_dump(mode="json")) for s in (scenario, model))
        for field in (*allowed, *found):
            is_free = any(field == free or field.startswith(f"{free}.") for free in _FREE)
            if not is_free and found.get(field) != allowed.get(field):
                raise InputError(
                    f"{OPTIMUM}: {field}: {found.get(field)!r} is not allowed; "
                    f"{allowed.get(field)!r}, as in scenario lost_sales"
                )
        store, sku = scenario.network.stores[0], scenario.skus[0]
        if store.lead_time == 0:
            raise InputError(f"{OPTIMUM}: network.stores.0.lead_time: 0 is not allowed; 1 or more")
        return cls(
            lead_time=store.lead_time,
            mean=sku.store_demand * store.size,
            penalty=scenario.costs.lost_sale,
            holding=scenario.costs.holding_store,
        )


@dataclass(frozen=True)
class Solution:
    """The optimal policy and what it costs."""

    cost: float  # money a period, over an infinite horizon
    orders: IntArray  # (I + 1, Q + 1, ...), by the units on hand and the L - 1 open orders


class Model:
    """A lost-sales system as a Markov decision process.

    Args:
        system: its numbers.

    Raises:
        InputError: if the lead time or the demand needs tables that are too large.
    """

    def __init__(self, system: LostSalesSystem) -> None:
        from scipy.stats import poisson

        periods = system.lead_time
        self.most_order = int(poisson.isf(_TAIL, system.mean)) + 1
        most_stock = int(poisson.isf(_TAIL, (periods + 1) * system.mean)) + 1
        self.shape = (most_stock + 1, *[self.most_order + 1] * (periods - 1))
        size = np.prod(self.shape, dtype=np.float64) * (self.most_order + 1)
        if size > _MOST_VALUES:
            raise InputError(
                f"{OPTIMUM}: network.stores.0.lead_time: {periods} is not allowed with a mean "
                f"demand of {system.mean:g}; that takes {size:.1e} values, at most "
                f"{_MOST_VALUES:.0e}"
            )
        units = np.arange(most_stock + 1)
        # Probability of j units being left of i after demand, (I + 1, I + 1).
        self.left: FloatArray = poisson.pmf(units[:, None] - units[None, :], system.mean)
        self.left[:, 0] = poisson.sf(units - 1, system.mean)
        held = self.left @ units
        lost = system.mean - (units - held)
        cost = system.holding * held + system.penalty * lost
        self.cost = cost.reshape(-1, *[1] * (periods - 1))  # expected, money, by units on hand

    def look_ahead(self, values: FloatArray) -> FloatArray:
        """Expected value of the next state by state and order, (I + 1, ..., Q + 1).

        The oldest open order, or with a lead time of 1 the one placed now, joins what is left.
        """
        units = np.arange(len(self.left))
        arriving = np.arange(self.most_order + 1)[:, None]
        joined = np.minimum(units + arriving, units[-1])  # (Q + 1, I + 1)
        return np.stack([np.tensordot(self.left, values[row], axes=1) for row in joined], axis=1)


def solve(system: LostSalesSystem) -> Solution:
    """Finds the optimal orders by relative value iteration, to within 1e-9 money a period.

    Source: Zipkin 2008, Old and new methods for lost-sales inventory systems, Operations Research
    56(5), section 2; Puterman 1994, Markov decision processes, section 8.5.5 (the stopping rule).

    Raises:
        InputError: as of `Model`.
    """
    model = Model(system)

    def improve(values: FloatArray) -> FloatArray:
        least: FloatArray = model.look_ahead(values).min(axis=-1)
        return model.cost + least

    cost, values = _iterate(improve, model.shape)
    return Solution(cost, model.look_ahead(values).argmin(axis=-1))


def evaluate_orders(system: LostSalesSystem, orders: IntArray) -> float:
    """Returns what a policy costs a period, money, to within 1e-9: no simulation, no noise.

    Args:
        system: its numbers.
        orders: in every state, of the shape of `Solution.orders`; more than its tables hold is cut.
    """
    model = Model(system)
    chosen = np.minimum(orders, model.most_order)[..., None]

    def follow(values: FloatArray) -> FloatArray:
        return model.cost + np.take_along_axis(model.look_ahead(values), chosen, -1)[..., 0]

    return _iterate(follow, model.shape)[0]


def _iterate(
    step: Callable[[FloatArray], FloatArray], shape: tuple[int, ...]
) -> tuple[float, FloatArray]:
    """Repeats a step until it changes all values alike; returns that change and the values."""
    values, spread = np.zeros(shape), np.inf
    while spread > _TOLERANCE:
        change = step(values) - values
        spread = change.max() - change.min()
        values = values + change - change.ravel()[0]
    return float(change.max() + change.min()) / 2, values


def tabulate_orders(policy: TargetPolicy, scenario: Scenario) -> IntArray:
    """Returns what a policy orders in every state of a lost-sales system.

    The location gets what it asks for as far as its DC, which is empty, orders it.

    Args:
        policy: looks at nothing but stock and pipeline.
        scenario: of the system.
    """
    shape = Model(LostSalesSystem.from_scenario(scenario)).shape
    states = np.indices(shape).reshape(len(shape), -1)  # (L, R)
    env = BatchedEnv(scenario, states.shape[1])
    env.reset(make_seeds("tabulate", 0, states.shape[1]))
    on_hand, in_transit = env.state.on_hand.copy(), env.state.in_transit.copy()
    on_hand[:, 1, 0] = states[0]
    in_transit[:, : len(shape) - 1, 1, 0] = states[1:].T
    view = replace(env.view, on_hand=on_hand, in_transit=in_transit)
    targets = policy.compute_targets(view)
    decisions = env.decide(targets, view)
    order = np.minimum(decisions.shipment, decisions.supplier_order)
    return order.reshape(shape)


class Optimum(TargetRule):
    """Orders what is optimal in the long run.

    Raises:
        InputError: if the scenario is no lost-sales system.
    """

    name: ClassVar[str] = OPTIMUM

    def __init__(self, scenario: Scenario) -> None:
        self.solution = solve(LostSalesSystem.from_scenario(scenario))
        self.network = Setting.from_scenario(scenario).network

    def compute_targets(self, view: View) -> Targets:
        """Returns the order as both gaps: the supplier's stands for the location's."""
        first = self.network.num_dcs
        open_orders = view.in_transit[:, : self.solution.orders.ndim - 1, first, 0]
        known = np.concatenate([view.on_hand[:, first], open_orders], axis=1)
        limits = np.array(self.solution.orders.shape) - 1
        order = self.solution.orders[tuple(np.minimum(known, limits).T)]
        gap = order[:, None, None].astype(np.float64)
        share = np.zeros(gap.shape)
        return Targets(
            supplier_gap=gap,
            shipment_gap=gap,
            online_share=share,
            disposition=np.zeros((*gap.shape, 3)),
        )


def _flatten(data: Any, prefix: str = "") -> dict[str, Any]:
    """Nested fields as `a.0.b`; empty groups as themselves."""
    if isinstance(data, dict) and data:
        items = data.items()
    elif isinstance(data, list) and data:
        items = dict(enumerate(data)).items()
    else:
        return {prefix.removesuffix("."): data}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flatten(value, f"{prefix}{key}.")
    return flat
