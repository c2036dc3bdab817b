"""Fixed costs of orders: trucks that items share, and lots under uncertain demand.

Sources: Vanvuchelen, Gijsbrechts & Boute (2020), Computers in Industry 119:103239, setting 5 of
table 2 and figure 3; Dehaybe, Catanzaro & Chevalier (2024), EJOR 314(2):433-445, whose companion
code publishes the costs and their standard deviations over 1000 episodes.
"""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from envs.omnichannel.flows import Decisions
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from tests.oracle.base_stock import run_base_stock

DISCOUNT = 0.99

# The joint replenishment: money, and units. Of the paper's table 2, setting 5, the demand is that
# of item 1 uniform on 0 ... 5 and of item 2 on 0 ... 3; orders arrive before demand.
HOLDING, BACKORDER, TRUCK, CAPACITY, ITEM = 1.0, 19.0, 75.0, 6, (40.0, 10.0)
MOST_DEMAND = (5, 3)
STOCK = np.arange(-20, 31)  # by item: backorders below zero; beyond, states do not matter
MOST_ORDER = 25


@cache
def solve_joint_replenishment() -> tuple[FloatArray, IntArray]:
    """Discounted cost and optimal order by the stock of both items: (I, I), and (I, I, 2).

    Value iteration until the bounds of Puterman (1994), section 6.6, are a thousandth apart.
    """
    size = len(STOCK)
    expected, moved = [], []
    for most in MOST_DEMAND:
        left = STOCK[:, None] - np.arange(most + 1)
        cost = HOLDING * np.maximum(left, 0) + BACKORDER * np.maximum(-left, 0)
        expected.append(cost.mean(axis=1))
        step = np.zeros((size, size))
        rows = np.repeat(np.arange(size), most + 1)
        np.add.at(step, (rows, np.maximum(left - STOCK[0], 0).ravel()), 1 / (most + 1))
        moved.append(step)
    stay = expected[0][:, None] + expected[1]
    value, chosen = np.zeros((size, size)), np.zeros((size, size, 2), np.int64)
    while True:
        after = stay + DISCOUNT * (moved[0] @ value @ moved[1].T)
        least = np.full((size, size), np.inf)
        for a, b in product(range(MOST_ORDER + 1), repeat=2):
            fee = TRUCK * -(-(a + b) // CAPACITY) + ITEM[0] * (a > 0) + ITEM[1] * (b > 0)
            total = np.full((size, size), np.inf)
            total[: size - a, : size - b] = fee + after[a:, b:]
            better = total < least
            least, chosen[better] = np.where(better, total, least), (a, b)
        gain, value = least - value, least
        if np.ptp(gain) * DISCOUNT / (1 - DISCOUNT) < 1e-3:
            # The middle of the bounds on what is still to come.
            return value + gain.mean() * DISCOUNT / (1 - DISCOUNT), chosen


def make_joint_scenario() -> Scenario:
    """The same as a scenario, but for the costs by item, for which it has no field."""
    data = load_scenario("lost_sales").model_dump()
    data["network"]["stores"][0]["lead_time"] = 0
    data["fulfillment"]["store_unmet"] = "backorder"
    data["costs"] |= {"late": BACKORDER, "holding_store": HOLDING}
    data["costs"] |= {"truck_capacity": CAPACITY, "truck_cost": TRUCK}
    data["skus"] = [data["skus"][0] | {"name": name} for name in ("one", "two")]
    return Scenario.model_validate(data)


def run_joint_replenishment(orders: IntArray, copies: int, periods: int) -> FloatArray:
    """Discounted cost of following a table of orders from stocks of 5 and 0, (copies,)."""
    scenario, rng = make_joint_scenario(), np.random.default_rng(5)
    simulator = Simulator(scenario)
    model = CostModel(scenario, simulator.network)
    state = simulator.make_state(make_seeds("oracle", 0, copies))
    state = replace(state, on_hand=np.tile(np.array([[[0, 0], [5, 0]]]), (copies, 1, 1)))
    disposition = np.zeros((copies, 1, 2, 3))
    disposition[..., 0] = 1
    total = np.zeros(copies)
    for period in range(periods):
        net = state.on_hand[:, 1] - state.backorders.sum(axis=(1, 2))
        row = np.clip(net - STOCK[0], 0, len(STOCK) - 1)
        order = orders[row[:, 0], row[:, 1]]
        decisions = Decisions(
            supplier_order=order[:, None],
            shipment=order[:, None],
            online_share=np.zeros((copies, 1, 2)),
            disposition=disposition,
        )
        walk_ins = rng.integers(0, np.array(MOST_DEMAND) + 1, (copies, 2))
        demand = simulator.sample_demand(state)
        units = np.zeros_like(demand.units)
        units[:, 0, :, 0] = walk_ins
        state, flows = simulator.simulate_period(state, decisions, replace(demand, units=units))
        money = sum(term.sum(axis=(1, 2)) for term in model.compute_costs(flows).values())
        total += DISCOUNT**period * (money + (flows.supplied[:, 0] > 0) @ np.array(ITEM))
    return total


def test_joint_replenishment__the_optimum_fills_a_truck_with_one_item() -> None:
    """In stocks of 5 and 0 the paper's optimum orders 0 and 6, common heuristics 2 and 4.

    The simulator, told the optimal orders, costs what value iteration says: 7217.5 discounted;
    its standard error is 12, and after 900 periods 0.01% is still to come.
    """
    value, orders = solve_joint_replenishment()
    state = 5 - STOCK[0], 0 - STOCK[0]

    assert orders[state].tolist() == [0, 6]
    # Stocks that occur: there no order is at the end of its table.
    assert orders[np.ix_(STOCK >= -4, STOCK >= -4)].max() < MOST_ORDER

    costs = run_joint_replenishment(orders, copies=400, periods=900)
    error = costs.std(ddof=1) / np.sqrt(len(costs))
    assert error < 13
    assert costs.mean() == pytest.approx(value[state], abs=3 * error)


def test_joint_replenishment__the_heuristics_first_order_costs_more() -> None:
    value, orders = solve_joint_replenishment()
    state = 5 - STOCK[0], 0 - STOCK[0]
    other = orders.copy()
    other[state] = (2, 4)

    costs = run_joint_replenishment(other, copies=400, periods=900)

    assert costs.mean() > value[state] + 3 * costs.std(ddof=1) / np.sqrt(len(costs))


# The lot sizes: a forecast of 10 for 104 periods, lead time 2, demand normal with a cv of 0.2. A
# hundredth of the paper's unit is the simulator's, so that demand need not be rounded.
MEAN, DEVIATION, LEAD_TIME, PERIODS, FINE = 10.0, 2.0, 2, 104, 100
HOLD, SHORT, FIXED = 1.0, 25.0, 320.0
EPISODES = 1000  # that the published means and deviations are of
PUBLISHED = {"simple_s_S": (9124.25, 139.3), "rolling_dynamic_programme": (8445.67, 177.3)}


def find_simple_levels() -> tuple[float, float]:
    """Newsvendor level of the lead time and a period more, and the economic order quantity."""
    days = LEAD_TIME + 1
    reorder = days * MEAN + norm.ppf(SHORT / (SHORT + HOLD)) * DEVIATION * np.sqrt(days)
    return float(reorder), float(reorder + np.sqrt(2 * MEAN * FIXED / HOLD))


def solve_window(window: int = 32, beyond: int = 32) -> tuple[float, float]:
    """(s, S) of the first period by the dynamic programme of a forecast window, in whole units.

    Beyond the window its mean goes on for as long again. Every period's forecast is the same here,
    and so are the windows and the levels of all periods. Source: Scarf (1960), The optimality of
    (S, s) policies in the dynamic inventory problem.
    """
    position = np.arange(-100, 301)
    units = np.arange(31)
    chance = norm.cdf(units + 0.5, MEAN, DEVIATION) - norm.cdf(units - 0.5, MEAN, DEVIATION)
    days = LEAD_TIME + 1
    deviation = DEVIATION * np.sqrt(days)
    z = (position - days * MEAN) / deviation
    held = deviation * (z * norm.cdf(z) + norm.pdf(z))
    cost = HOLD * held + SHORT * (held - (position - days * MEAN))
    value = np.zeros(len(position))
    reorder = target = 0
    for _ in range(window + beyond - LEAD_TIME):
        slope = value[0] - value[1]
        tail = value[0] + slope * np.arange(len(units) - 1, 0, -1)
        ahead = np.concatenate([tail, value])
        at = np.arange(len(position))[:, None] + len(units) - 1 - units
        stay = cost + DISCOUNT * ahead[at] @ chance
        target = int(stay.argmin())
        reorder = int(np.flatnonzero(stay[: target + 1] <= stay[target] + FIXED)[0]) - 1
        value = np.minimum(stay, np.minimum.accumulate(stay[::-1])[::-1] + FIXED)
    return float(position[reorder]), float(position[target])


def run_lot_sizes(reorder: float, target: float, copies: int) -> FloatArray:
    """What an (s, S) policy costs in the simulator, (copies,), from 20 units on hand."""
    data = load_scenario("lost_sales").model_dump()
    data["network"]["stores"][0]["lead_time"] = LEAD_TIME
    data["fulfillment"]["store_unmet"] = "backorder"
    data["costs"] |= {"late": SHORT / FINE, "holding_store": HOLD / FINE, "fixed_order": FIXED}
    level = np.full((copies, 1), round(target * FINE))

    def sample(rng: np.random.Generator) -> IntArray:
        drawn = rng.normal(MEAN * FINE, DEVIATION * FINE, (copies, 1))
        return np.maximum(np.rint(drawn), 0).astype(np.int64)

    return run_base_stock(
        Scenario.model_validate(data),
        level[:, 0],
        level,
        PERIODS,
        sample,
        reorder_point=np.full((copies, 1), round(reorder * FINE)),
        start=np.tile([0, round(LEAD_TIME * MEAN * FINE)], (copies, 1)),
    )


@pytest.mark.parametrize("policy", sorted(PUBLISHED))
def test_lot_sizes__cost_what_the_companion_code_says(policy: str) -> None:
    """The mean is within three standard errors of both samples, the deviation within a tenth."""
    levels = find_simple_levels() if policy == "simple_s_S" else solve_window()
    mean, deviation = PUBLISHED[policy]

    costs = run_lot_sizes(*levels, copies=4000)

    error = np.hypot(deviation / np.sqrt(EPISODES), costs.std(ddof=1) / np.sqrt(len(costs)))
    assert costs.mean() == pytest.approx(mean, abs=3 * error)
    assert costs.std(ddof=1) == pytest.approx(deviation, rel=0.1)


def test_lot_sizes__levels() -> None:
    """The simple rule's are its formula by hand; the programme orders later and less."""
    assert find_simple_levels() == pytest.approx((36.127, 116.127), abs=1e-3)
    assert solve_window() == (27, 102)
