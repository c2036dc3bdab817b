"""Packs and minimums against the best of all order sequences, where demand is known.

A location orders, waits for its lead time, sells what it has and loses the rest. The instances are
so small that every sequence of orders that the rules allow is tried: in plain arithmetic here, and
as one copy each in the simulator. The rule orders up to the known demand of so many days, whichever
number of days is best, so that only the rounding separates it from the optimum.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.draws import make_seeds

HOLDING, LOST = 1.0, 5.0  # money a unit left at the end of a day, and a unit lost
MOST_COVER = 4  # days


@dataclass(frozen=True)
class Instance:
    """A location with its demand by day and SKU, and what an order may be by SKU."""

    demand: list[list[int]]  # (T, K)
    packs: list[int]
    most: int  # packs of an order, of which all are tried
    lead_time: int = 1
    start: int = 4  # units of every SKU
    minimum: int = 0
    fixed: float = 0.0  # money an order line
    truck: float = 0.0  # money a truck of 12 units; 0: none are paid

    def make_scenario(self, rounding: str = "nearest") -> Scenario:
        """The same as a scenario."""
        data = load_scenario("lost_sales").model_dump(mode="json", exclude_none=True)
        data["network"]["stores"][0]["lead_time"] = self.lead_time
        data["costs"] |= {"holding_store": HOLDING, "lost_sale": LOST, "fixed_order": self.fixed}
        if self.truck:
            data["costs"] |= {"truck_capacity": 12, "truck_cost": self.truck}
        names = [f"sku_{k}" for k in range(len(self.packs))]
        data["skus"] = [data["skus"][0] | {"name": name} for name in names]
        data["order_rules"] = [
            {"skus": [name], "multiple": pack, "maximum": self.most * pack, "rounding": rounding}
            | ({"minimum": self.minimum} if self.minimum else {})
            for name, pack in zip(names, self.packs, strict=True)
        ]
        data["start"] = {"on_hand": {"location": dict.fromkeys(names, self.start)}}
        return Scenario.model_validate(data)

    def list_sequences(self) -> IntArray:
        """All orders that the rules allow, (N, T, K); none whose order would come after the end."""
        allowed = [
            [n * pack for n in range(self.most + 1) if n == 0 or n * pack >= self.minimum]
            for pack in self.packs
        ]
        days = len(self.demand) - self.lead_time
        orders = [np.array(day) for day in product(*allowed)]
        found = np.array([np.stack(days_orders) for days_orders in product(orders, repeat=days)])
        late = np.zeros((len(found), self.lead_time, len(self.packs)), np.int64)
        return np.concatenate([found, late], axis=1)

    def compute_costs(self, orders: IntArray) -> FloatArray:
        """What sequences of orders cost, by arithmetic, (N,)."""
        stock = np.full((len(orders), len(self.packs)), self.start)
        total = np.zeros(len(orders))
        for day, demand in enumerate(self.demand):
            if day >= self.lead_time:
                stock = stock + orders[:, day - self.lead_time]
            total += LOST * np.maximum(demand - stock, 0).sum(axis=1)
            stock = np.maximum(stock - demand, 0)
            total += HOLDING * stock.sum(axis=1) + self.fixed * (orders[:, day] > 0).sum(axis=1)
            if self.truck:
                total += self.truck * -(-orders[:, day].sum(axis=1) // 12)
        return total


def simulate(instance: Instance, scenario: Scenario, aim: Any, copies: int) -> Any:
    """Runs all copies; returns costs, (N,), and orders, (N, T, K).

    Args:
        instance: for the demand.
        scenario: of the instance.
        aim: day and positions, (N, K), -> gaps of the location, (N, K).
        copies: how many.
    """
    env = BatchedEnv(scenario, copies)
    env.reset(make_seeds("test", 0, copies))
    state, total, orders = env.state, np.zeros(copies), []
    shape = (copies, 1, len(instance.packs))
    for day, units in enumerate(instance.demand):
        position = count_positions(state, env.network).store[:, 0]
        gap = np.asarray(aim(day, position), np.float64)[:, None]
        targets = Targets(
            supplier_gap=gap,
            shipment_gap=gap,
            online_share=np.zeros(shape),
            disposition=np.full((*shape, 3), 1 / 3),
        )
        demand = env.simulator.sample_demand(state)
        walk_ins = np.zeros_like(demand.units)
        walk_ins[:, 0, :, 0] = units
        decisions = env.decide(targets)
        # A load is settled as a whole, and its DC passes on what the supplier sends.
        decisions = replace(decisions, supplier_order=decisions.shipment)
        state, flows = env.simulator.simulate_period(
            state, decisions, replace(demand, units=walk_ins)
        )
        orders.append(flows.supplied[:, 0])
        np.testing.assert_array_equal(flows.shipped, flows.supplied)
        costs = env.cost_model.compute_costs(flows)
        total += sum(money.sum(axis=(1, 2)) for money in costs.values())
    return total, np.stack(orders, axis=1)


def run_rule(instance: Instance, rounding: str) -> float:
    """The cost of ordering up to known demand, with the best number of days."""
    known = np.concatenate([instance.demand, np.zeros((MOST_COVER + 9, len(instance.packs)))])
    covers = np.arange(1, MOST_COVER + 1)

    def aim(day: int, position: IntArray) -> FloatArray:
        until = day + instance.lead_time + covers
        need = np.stack([known[day:end].sum(axis=0) for end in until])
        return np.where(day + instance.lead_time < len(instance.demand), need - position, 0)

    costs, _ = simulate(instance, instance.make_scenario(rounding), aim, len(covers))
    return float(costs.min())


# The costs of the optimum and of the rule by rounding: nearest, up, down. A truck is filled by all
# SKUs together, whatever the rounding of each is.
INSTANCES = {
    "packs": (Instance([[3], [7], [2], [9], [4], [6]], [6], 3), [12, 19, 12, 24]),
    "minimum": (
        Instance([[3], [7], [2], [9], [4], [6]], [6], 4, minimum=12, fixed=8),
        [52, 52, 54, 52],
    ),
    "maximum": (Instance([[3], [7], [2], [14], [4], [6]], [4], 2), [15, 19, 19, 19]),
    "slow lane": (Instance([[3], [7], [2], [9], [4], [6]], [5], 3, lead_time=2), [40, 48, 57, 43]),
    "two SKUs in trucks": (
        Instance([[3, 1], [7, 4], [2, 6], [5, 3], [4, 4]], [6, 4], 2, truck=10),
        [59, 74, 74, 74],
    ),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_optimum__is_feasible_and_costs_what_the_enumeration_says(name: str) -> None:
    """All sequences pass the order rules as they are, and cost the same as by arithmetic."""
    instance, (optimum, *_) = INSTANCES[name]
    orders = instance.list_sequences()

    costs, placed = simulate(
        instance, instance.make_scenario(), lambda day, _: orders[:, day], len(orders)
    )

    np.testing.assert_array_equal(placed, orders)
    np.testing.assert_allclose(costs, instance.compute_costs(orders))
    assert costs.min() == pytest.approx(optimum)


@pytest.mark.parametrize("name", INSTANCES)
def test_rounding__how_far_it_is_from_the_optimum(name: str) -> None:
    instance, (optimum, *by_rounding) = INSTANCES[name]

    costs = [run_rule(instance, rounding) for rounding in ("nearest", "up", "down")]

    assert costs == pytest.approx(by_rounding)
    assert min(costs) >= optimum - 1e-9
