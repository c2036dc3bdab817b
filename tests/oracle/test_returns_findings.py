"""What others found about returns in omni-channel retail, as directions that this model shows.

Source: Goedhart, Haijema & Akkerman (2023), Modelling the influence of returns for an omni-channel
retailer, European Journal of Operational Research 306(3):1248-1263, abstract:

- a higher online return rate lowers profit;
- a higher online return rate lowers the service of the offline channel;
- the length of the return window hardly matters.

Definitions here: one store serves both channels, walk-ins first, what it cannot serve is lost.
Every setting gets the best base-stock level of its own, tuned on other episodes; all settings
meet the same demand. Profit = price x (sold - returned) - unit cost x supplied + unit cost x
change in stock - costs, a period. Service = walk-ins served / walk-ins demanded.
"""

from functools import cache

import numpy as np

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.flows import Decisions
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, SeedArray, sum_channels
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.evaluation.statistics import compute_mean_interval

PRICE, UNIT_COST = 10.0, 6.0
LEVELS = np.arange(50, 90, 2)  # base-stock levels tried; demand over lead time + 1 is 60
WARM_UP, PERIODS, EPISODES = 60, 90, 150
LOW, HIGH, SHORT, LONG = 0.1, 0.4, 7, 28  # return rates; return windows in days


def make_scenario(return_rate: float, window: int) -> Scenario:
    """A store supplied through a DC that holds nothing; only online orders come back."""
    free = dict.fromkeys(("lost_sale", "late", "transport", "return_base"), 0.0)
    return Scenario.model_validate(
        {
            "name": "one_store",
            "network": {
                "dcs": [{"name": "dc", "supplier_lead_time": 0}],
                "stores": [{"name": "store", "parent": "dc", "lead_time": 2}],
            },
            "skus": [{"name": "s", "category": "c", "store_demand": 10, "online_demand": 10}],
            "categories": {"c": {"return_rate": return_rate}},
            "initial_store_cover": 2,
            "initial_dc_cover": 0,
            "demand": {"process": "seasonal_normal", "season_amplitude": 0, "noise": 0.6},
            "returns": {
                "delay": {"kind": "uniform", "low": 1, "high": window},
                "store_spread": 0,
                "store_factor": 0,
            },
            "fulfillment": {"patience": 0},
            "costs": free | {"holding_store": 0.15, "last_mile_store": 1.0, "return_restock": 2.0},
        }
    )


@cache
def simulate(return_rate: float, window: int, purpose: str) -> tuple[FloatArray, FloatArray]:
    """Returns profit a period and offline service, each (levels, episodes)."""
    scenario = make_scenario(return_rate, window)
    simulator = Simulator(scenario)
    costs = CostModel(scenario, simulator.network)
    seeds: SeedArray = np.tile(make_seeds(purpose, 0, EPISODES), len(LEVELS))
    level = np.repeat(LEVELS, EPISODES)[:, None, None]
    state = simulator.make_state(seeds)
    cells = (len(seeds), 1, 1)
    profit, served, demanded = (np.zeros(len(seeds)) for _ in range(3))
    for period in range(WARM_UP + PERIODS):
        order = np.maximum(level - count_positions(state, simulator.network).store, 0)
        decisions = Decisions(
            supplier_order=order,
            shipment=order,
            online_share=np.ones(cells),
            disposition=np.broadcast_to([1.0, 0.0, 0.0], (*cells, 3)),
        )
        before = state
        state, flows = simulator.simulate_period(state, decisions, simulator.sample_demand(state))
        if period < WARM_UP:
            continue
        net_sales = sum_channels(flows.served) - flows.returned
        # Units on their way back and forth are the retailer's, so they are valued too.
        held = [count_positions(s, simulator.network).store for s in (before, state)]
        value = PRICE * net_sales + UNIT_COST * (held[1] - held[0] - flows.supplied)
        profit += value[:, 0, 0] - sum(
            c.sum(axis=(1, 2)) for c in costs.compute_costs(flows).values()
        )
        served += flows.sold_store[:, 0, 0]
        demanded += flows.demand[:, 0, 0, 0]
    shape = (len(LEVELS), EPISODES)
    return (profit / PERIODS).reshape(shape), (served / demanded).reshape(shape)


def run_best(return_rate: float, window: int) -> tuple[FloatArray, FloatArray]:
    """Profit and offline service of the setting's tuned level on fresh episodes, (episodes,)."""
    tuned = simulate(return_rate, window, "tune")[0].mean(axis=1)
    best = int(tuned.argmax())
    assert 0 < best < len(LEVELS) - 1, "the best level lies on the edge of those tried"
    profit, service = simulate(return_rate, window, "test")
    return profit[best], service[best]


def test_profit__falls_with_the_online_return_rate() -> None:
    difference = compute_mean_interval(run_best(HIGH, SHORT)[0] - run_best(LOW, SHORT)[0])
    assert difference.high < 0


def test_offline_service__falls_with_the_online_return_rate() -> None:
    difference = compute_mean_interval(run_best(HIGH, SHORT)[1] - run_best(LOW, SHORT)[1])
    assert difference.high < 0


def test_return_window__hardly_matters() -> None:
    """Four times the window moves profit by less than 2% of what the return rate moves it by;
    the service, which the tuned level's granularity shifts too, by less than half."""
    profit, service = run_best(HIGH, SHORT)
    long_profit, long_service = run_best(HIGH, LONG)
    of_rate = compute_mean_interval(profit - run_best(LOW, SHORT)[0])
    of_window = compute_mean_interval(long_profit - profit)
    assert max(abs(of_window.low), abs(of_window.high)) < 0.02 * abs(of_rate.high)
    of_rate = compute_mean_interval(service - run_best(LOW, SHORT)[1])
    of_window = compute_mean_interval(long_service - service)
    assert max(abs(of_window.low), abs(of_window.high)) < 0.5 * abs(of_rate.mean)
