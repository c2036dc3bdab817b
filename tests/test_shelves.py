"""Perishables: what expires when, by whose hand, and what that costs."""

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel import BatchedEnv
from envs.omnichannel.agents.observation import FEATURES
from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Demand, State
from envs.omnichannel.world.account.costs import TERMS, CostModel, Costs
from envs.omnichannel.world.account.metrics import MetricsAccumulator
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from tests.conftest import known


def make_scenario(**fulfillment: object) -> Scenario:
    """One DC, one store, lead times 1; milk keeps 3 days, salt forever."""
    sku = {"category": "food", "store_demand": 4, "online_demand": 1}
    return Scenario.model_validate(
        {
            "name": "dairy",
            "network": {
                "dcs": [{"name": "dc", "supplier_lead_time": 1}],
                "stores": [{"name": "shop", "parent": "dc", "lead_time": 1}],
            },
            "skus": [{"name": "milk", "shelf_life": 3} | sku, {"name": "salt"} | sku],
            "categories": {"food": {"return_rate": 0.5}},
            "returns": {"delay": {"kind": "uniform", "low": 1, "high": 1}, "store_spread": 0},
            "fulfillment": fulfillment,
        }
    )


def run_day(
    simulator: Simulator,
    state: State,
    walk_ins: int,
    online: int = 0,
    shipped: int = 0,
    rate: float = 0.0,
) -> tuple[State, Flows]:
    cells = (1, 1, 2)
    decisions = Decisions(
        supplier_order=np.zeros(cells, np.int64),
        shipment=np.full(cells, shipped),
        online_share=np.ones(cells),
        disposition=np.broadcast_to([1.0, 0.0, 0.0], (*cells, 3)),
    )
    half = np.full(cells, 0.5)
    demand = Demand(
        units=np.broadcast_to(np.array([walk_ins, online]), (*cells, 2)),
        return_rate=np.full(cells, rate),
        return_rounding=half,
        scrap_rounding=half,
    )
    return simulator.simulate_period(state, decisions, demand)


def make_state(simulator: Simulator, shelf: tuple[int, int, int]) -> State:
    """Milk by remaining days (1, 2, 3), as much salt, 20 of each at the DC."""
    state = simulator.make_state(make_seeds("test", 0, 1))
    units = sum(shelf)
    on_hand = np.array([[[20, 20], [units, units]]])
    milk = np.array(shelf)
    return replace(
        state, on_hand=on_hand, shelf=np.stack([milk, 0 * milk], axis=-1).reshape(1, 3, 1, 2)
    )


def get_milk(state: State) -> list[int]:
    return known(state.shelf)[0, :, 0, 0].tolist()


# 2, 3 and 4 units with 1, 2 and 3 days left; 4 sold, in the evening the last day's rest expires.
@pytest.mark.parametrize(
    ("rule", "wasted", "left"), [("fifo", 0, [1, 4, 0]), ("lifo", 2, [3, 0, 0])]
)
@pytest.mark.parametrize("channel", ["store", "picking"])
def test_age__oldest_or_freshest_first(
    channel: str, rule: str, wasted: int, left: list[int]
) -> None:
    simulator = Simulator(make_scenario(**{f"{channel}_issue": rule}))
    walk_ins, online = (4, 0) if channel == "store" else (0, 4)
    after, flows = run_day(simulator, make_state(simulator, (2, 3, 4)), walk_ins, online)
    assert flows.wasted.ravel().tolist() == [wasted, 0]
    assert get_milk(after) == left
    assert flows.on_hand[0, 1].tolist() == [9 - 4 - wasted, 5]


def test_age__walk_ins_take_before_pickers() -> None:
    """Walk-ins take 5 of the freshest: 4 and 1. Pickers take the oldest 3 of the 2, 2 left."""
    simulator = Simulator(make_scenario(store_issue="lifo", picking_issue="fifo"))
    after, flows = run_day(simulator, make_state(simulator, (2, 3, 4)), walk_ins=5, online=3)
    assert flows.wasted[0, 0, 0] == 0
    assert get_milk(after) == [1, 0, 0]


def test_age__a_unit_is_sold_on_its_last_day_and_wasted_that_evening() -> None:
    """Shipped on day 0, on the shelf on days 1, 2 and 3."""
    simulator = Simulator(make_scenario())
    state, _ = run_day(simulator, make_state(simulator, (0, 0, 0)), walk_ins=0, shipped=6)
    assert get_milk(state) == [0, 0, 6]
    wasted, sold = [], []
    for walk_ins in (0, 1, 2, 5):
        state, flows = run_day(simulator, state, walk_ins)
        wasted.append(int(flows.wasted[0, 0, 0]))
        sold.append(flows.sold_store[0, 0].tolist())
    assert wasted == [0, 0, 3, 0]
    assert sold == [[0, 0], [1, 1], [2, 2], [0, 3]]  # salt keeps


def test_simulate_period__perishables_that_came_back_are_scrapped() -> None:
    simulator = Simulator(make_scenario())
    state, _ = run_day(simulator, make_state(simulator, (0, 0, 8)), walk_ins=4, rate=0.5)
    _, flows = run_day(simulator, state, walk_ins=0)
    assert flows.returned.ravel().tolist() == [2, 2]
    assert flows.scrapped.ravel().tolist() == [2, 0]
    assert flows.restocked.ravel().tolist() == [0, 2]


def test_waste__has_a_cost_and_a_share_of_supply() -> None:
    data = make_scenario(store_issue="lifo").model_dump() | {"costs": {"waste": 0.7}}
    scenario = Scenario.model_validate(data)
    simulator = Simulator(scenario)
    _, flows = run_day(simulator, make_state(simulator, (5, 0, 4)), walk_ins=4)
    flows = replace(flows, supplied=np.array([[[20, 5]]]))
    costs = CostModel(scenario, simulator.network).compute_costs(flows)
    assert costs["waste"].tolist() == [[[0, 0], [3.5, 0]]]
    metrics = MetricsAccumulator(scenario, simulator.network, 1)
    metrics.add(flows, costs, np.zeros(1))
    computed = metrics.compute()
    assert computed["wasted"] == 5
    assert computed["waste_share"] == 5 / 25
    assert computed["cost/waste"] == pytest.approx(3.5)


def test_reward__pays_for_what_spoils() -> None:
    """30 of the store's units spoil for 0.5 each: alpha less 15 per unit of expected demand."""
    env = BatchedEnv(load_scenario("perishable"), 1)
    costs = Costs(np.zeros((len(TERMS), 1, 5, 4)))
    costs["waste"][0, 1, 0] = 15
    reward = env.reward_model
    lost = reward.compute_team_reward(reward.compute_loss(costs))
    assert lost[0] == pytest.approx(reward.weights.alpha - 15 / reward.team_scale)


def test_shelf__takes_no_room_without_perishables(tiny: Scenario) -> None:
    assert Simulator(tiny).make_state(make_seeds("test", 0, 2)).shelf is None
    assert BatchedEnv(tiny, 1).layout.num_features == len(FEATURES)


def test_observation__sees_what_expires_within_three_days() -> None:
    """Fresh stock of the first day: of the SKUs, only sushi (2 days) is about to expire."""
    env = BatchedEnv(load_scenario("perishable"), 2)
    env.reset(make_seeds("test", 0, 2))
    expiring = env.observe()[:, -2, :, -1]  # the last feature
    lives = [sku.shelf_life for sku in env.scenario.skus]
    assert lives == [2, 5, 10, None]
    assert (expiring[:, 0] > 0).all()
    assert not expiring[:, 1:].any()
