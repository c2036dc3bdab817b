"""One warehouse, three retailers: published base-stock costs and a worked transition.

Source: Kaynov et al. (2024), Deep reinforcement learning for one-warehouse multi-retailer
inventory management, IJPE 267:109088, table A.3, the column base stock with min-shortage
allocation, as public reimplementations carry it. Total cost over 100 periods. The start is not
published: here all locations at their levels, pipelines empty; it and the rounding of a ration
move the cost by more than the standard error, so the bound is 2.5%.
"""

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from tests.oracle.base_stock import make_decisions, make_demand, make_state, run_base_stock


def make_instance(unmet: str, lead_time: int, stores: int = 3) -> Scenario:
    data = load_scenario("owmr").model_dump()
    data["network"]["dcs"][0]["supplier_lead_time"] = lead_time
    data["network"]["stores"] = data["network"]["stores"][:stores]
    data["fulfillment"]["store_unmet"] = unmet
    return Scenario.model_validate(data)


def run_levels(scenario: Scenario, levels: list[tuple[int, int]], copies: int) -> FloatArray:
    """Total cost of (echelon, retailer) levels on the same demand, (levels, copies)."""
    warehouse = np.repeat([w for w, _ in levels], copies)
    store = np.repeat([s for _, s in levels], copies)[:, None].repeat(3, axis=1)
    seeds = np.tile(make_seeds("oracle", 0, copies), len(levels))
    costs = run_base_stock(scenario, warehouse, store, periods=100, seeds=seeds)
    return costs.reshape(len(levels), copies)


@pytest.mark.parametrize(
    ("unmet", "lead_time", "levels", "published"),
    [
        pytest.param("lost", 1, (35, 10), 1366.51, id="no. 6"),
        pytest.param("lost", 2, (44, 10), 1408.08, id="no. 7"),
        pytest.param("partial", 2, (42, 6), 1109.96, id="no. 11"),
    ],
)
def test_owmr__base_stock_costs_what_was_published(
    unmet: str, lead_time: int, levels: tuple[int, int], published: float
) -> None:
    costs = run_levels(make_instance(unmet, lead_time), [levels], copies=1000)[0]
    assert costs.std(ddof=1) / np.sqrt(len(costs)) < 0.004 * published
    assert costs.mean() == pytest.approx(published, rel=0.025)


def test_owmr__complete_backordering_costs_what_was_published() -> None:
    """No. 1, 1609.47; its levels are not published, so the best of a neighbourhood stands."""
    scenario = make_instance("backorder", 2)
    levels = [(w, s) for w in range(45, 51) for s in range(9, 12)]
    best = levels[int(run_levels(scenario, levels, copies=100).mean(axis=1).argmin())]
    costs = run_levels(scenario, [best], copies=2000)[0]
    assert costs.std(ddof=1) / np.sqrt(len(costs)) < 0.0025 * 1609.47
    assert costs.mean() == pytest.approx(1609.47, rel=0.025)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unmet", "lead_time", "published", "around"),
    [
        pytest.param("lost", 1, 1366.51, (34, 9), id="no. 6"),
        pytest.param("lost", 2, 1408.08, (44, 9), id="no. 7"),
        pytest.param("partial", 2, 1109.96, (43, 6), id="no. 11"),
    ],
)
def test_owmr__the_best_levels_cost_what_was_published(
    unmet: str, lead_time: int, published: float, around: tuple[int, int]
) -> None:
    """The levels found here, not those of others: the optimum of the policy class agrees too."""
    scenario = make_instance(unmet, lead_time)
    levels = [(around[0] + w, around[1] + s) for w in range(-3, 4) for s in range(-2, 3)]
    best = levels[int(run_levels(scenario, levels, copies=500).mean(axis=1).argmin())]
    costs = run_levels(scenario, [best], copies=4000)[0]
    assert costs.mean() == pytest.approx(published, rel=0.025)


def test_owmr__worked_transition() -> None:
    """Before arrivals: warehouse 2, pipeline 3, 1; retailers 1 and 2, pipelines 1 and 0.

    A `State` is taken after arrivals: 5, 2 and 2 on hand, 1 on its way. Order 4, ship 2 and 2,
    demand 2 and 1: holding 0.5 x 1 + 1 x 1, no shortage.
    """
    scenario = make_instance("lost", 2, stores=2)
    simulator = Simulator(scenario)
    state = make_state(simulator, np.array([[5, 2, 2]]))
    in_transit = state.in_transit.copy()
    in_transit[0, 0, 0, 0] = 1
    state = replace(state, in_transit=in_transit)
    decisions = make_decisions(np.array([[4]]), np.array([[2, 2]]))
    demand = make_demand(simulator.sample_demand(state), np.array([[2, 1]]))
    after, flows = simulator.simulate_period(state, decisions, demand)
    assert flows.shipped.ravel().tolist() == [2, 2]
    assert flows.on_hand.ravel().tolist() == [1, 0, 1]
    # The next arrivals are the pipelines' heads: 1 for the warehouse, 2 for each retailer.
    assert (after.on_hand - flows.on_hand).ravel().tolist() == [1, 2, 2]
    assert after.in_transit[0, 0].ravel().tolist() == [4, 0, 0]
    costs = CostModel(scenario, simulator.network).compute_costs(flows)
    assert costs["holding"].sum() == 1.5
    assert costs["lost_sales"].sum() == 0
    assert sum(money.sum() for money in costs.values()) == 1.5
