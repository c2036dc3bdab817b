"""Items that come and go: dates, launch quantities and phase-out, by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.assortment import Assortment
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from envs.validation import validate_model
from marl.evaluation.bounds.lower_bound import compute_reward_bounds
from marl.planning.planner import Planner
from marl.planning.rule_texts import tell_rules
from marl.planning.stock_count_file import read_stock_count
from marl.policies import make_policy
from marl.policies.base import Setting
from marl.policies.families import FAMILIES
from tests.daily_chain import DAYS, RECORD, learn, make_rule, write_scenario, write_stock
from tests.test_simulator_properties import check_conservation

LAMP = 1
# In store_1, two days from the DC, which is two days from its supplier.
LATE = {"stores": ["store_1"], "skus": ["lamp"], "from": 6, "until": 9, "launch": 10}


def change(name: str, **changes: Any) -> Scenario:
    data = load_scenario(name).model_dump(mode="json", exclude_none=True)
    return validate_model(Scenario, data | changes, name)


def make_scenario(*listings: dict[str, Any], **changes: Any) -> Scenario:
    """`tiny` with 3 lamps a day in store_0 and 1.5 in store_1, the same every day."""
    demand = {"process": "poisson", "season_amplitude": 0.0}
    return change("tiny", demand=demand, assortment={"dates": list(listings)}, **changes)


def make_env(scenario: Scenario, day: int, on_hand: list[list[int]]) -> BatchedEnv:
    """One copy on a day, with this stock in the DC and the stores."""
    env = BatchedEnv(scenario, 1)
    env.reset(make_seeds("test", 0, 1))
    now = np.array([day])
    state = replace(env.state, day=now, period=now, on_hand=np.array([on_hand]))
    env.restore(state, env.view.known, env.view.last_demand, env.goals)
    return env


def make_targets(supplier: list[list[float]], shipment: list[list[float]]) -> Targets:
    return Targets(
        supplier_gap=np.array([supplier]),
        shipment_gap=np.array([shipment]),
        online_share=np.zeros((1, 2, 2)),
        disposition=np.broadcast_to([1.0, 0.0, 0.0], (1, 2, 2, 3)),
    )


def order_lamps(
    day: int, supplier: float, shipment: float, *, held: int = 0, **changes: Any
) -> tuple[int, int]:
    """What the DC and store_1 order of lamps where a rule asks for so much."""
    env = make_env(make_scenario(LATE, **changes), day, [[50, 50], [9, 9], [9, held]])
    targets = make_targets([[0, supplier]], [[0, 0], [0, shipment]])
    decided = env.decide(targets, env.view)
    return int(decided.supplier_order[0, 0, LAMP]), int(decided.shipment[0, 1, LAMP])


@pytest.mark.parametrize(
    ("day", "supplier", "shipment"),
    [
        (1, 3, 0),  # a supplier's order would be in the store on day 5
        (2, 13, 0),  # it is there on day 6: the launch's 10 beside the 3
        (3, 13, 0),
        (4, 13, 10),  # what leaves the DC is there on day 6; the rule asked for 4
        (6, 13, 10),  # late, but the first day has not passed
        (7, 3, 4),  # the last shipment that arrives in time, on day 9
        (8, 3, 0),
    ],
)
def test_launch__is_ordered_so_that_it_is_there_on_the_first_day(
    day: int, supplier: int, shipment: int
) -> None:
    assert order_lamps(day, 3, 4) == (supplier, shipment)


def test_launch__counts_what_the_store_has() -> None:
    assert order_lamps(4, 0, 0, held=7) == (3, 3)
    assert order_lamps(4, 0, 0, held=12) == (0, 0)
    assert order_lamps(4, -20, 30) == (0, 30)  # a surplus of the echelon will do


def test_launch__is_whole_packs_and_no_less_than_the_minimum() -> None:
    packs: dict[str, Any] = {"order_rules": [{"to": ["store_1"], "multiple": 6}]}
    assert order_lamps(4, 0, 0, **packs) == (10, 12)
    least: dict[str, Any] = {"order_rules": [{"to": ["store_1"], "multiple": 6, "minimum": 24}]}
    assert order_lamps(4, 0, 0, **least) == (10, 24)


def test_dc__orders_no_more_once_no_store_can_sell_it() -> None:
    """Lamps end on day 9 everywhere: the DC's last order is that of day 6, by way of store_0."""
    ends = {"skus": ["lamp"], "until": 9}
    orders = []
    for day in range(5, 9):
        env = make_env(make_scenario(ends), day, [[0, 0], [0, 0], [0, 0]])
        targets = make_targets([[5, 5]], [[5, 5], [5, 5]])
        decided = env.decide(targets, env.view)
        orders.append(decided.supplier_order[0, 0].tolist())
    assert orders == [[5, 5], [5, 5], [5, 0], [5, 0]]


def test_demand__is_that_of_the_days_on_sale() -> None:
    """All other units are those of the scenario without dates, and episodes begin on day 0."""
    seeds = make_seeds("test", 2, 5)
    dated = Simulator(make_scenario(LATE))
    plain = Simulator(change("tiny", demand={"process": "poisson", "season_amplitude": 0.0}))
    state = dated.make_state(seeds)
    assert state.day.tolist() == [0] * 5
    assert (state.on_hand[:, 2, LAMP] == 0).all()
    for day in range(12):
        now = np.full(5, day)
        state = replace(state, day=now, period=now)
        units, every = (s.sample_demand(state).units for s in (dated, plain))
        expected = every.copy()
        if not 6 <= day <= 9:
            expected[:, 1, LAMP] = 0
        np.testing.assert_array_equal(units, expected)
        assert every[:, 1, LAMP].sum() > 0


def test_forecast__knows_the_dates_and_learns_on_days_on_sale_alone() -> None:
    """2.5 lamps a day are expected in store_1, online included, on 4 of the days 6 to 9.

    On day 0 the coming week has one of them; on day 4 the days 6 to 9 of 4 to 10.
    """
    scenario = make_scenario(LATE)
    for day, days in ((0, 1), (4, 4), (8, 2), (10, 0)):
        env = make_env(scenario, day, [[50, 50], [9, 9], [9, 9]])
        forecast = env.view.forecast[0, 1, LAMP].sum()
        assert forecast == pytest.approx(2.5 * days / 7)
        assert env.view.ahead[0, 0, 1, LAMP] == (1 if 6 <= day <= 9 else 0)
        assert env.view.ahead[0, -1, 1, LAMP] == days
        before = env.view.smoothed[0, 1, LAMP].copy()
        env.apply(make_targets([[0, 0]], [[0, 0], [0, 0]]))
        is_same = (env.view.smoothed[0, 1, LAMP] == before).all()
        assert is_same == (not 6 <= day <= 9)


def test_hand_worked_life_of_a_lamp() -> None:
    """Store_1 of `tiny`, a rule that asks for nothing: launch, sale and sell-off by itself.

    The DC has 50 lamps. On day 4, two days before the first, 10 leave for the store. They are there
    on day 6 and no earlier; nothing else ever arrives, and nothing is asked for after day 9.
    """
    env = make_env(make_scenario(LATE), 0, [[50, 50], [9, 9], [9, 0]])
    shipped, on_hand, demand = [], [], []
    for _ in range(13):
        on_hand.append(int(env.state.on_hand[0, 2, LAMP]))
        flows = env.apply(make_targets([[0, 0]], [[0, 0], [0, 0]])).flows
        shipped.append(int(flows.shipped[0, 1, LAMP]))
        demand.append(int(flows.demand[0, 1, LAMP].sum()))

    assert shipped == [0, 0, 0, 0, 10, *[0] * 8]
    assert on_hand[:7] == [0, 0, 0, 0, 0, 0, 10]
    assert all(demand[6:10])
    assert not any(demand[:6] + demand[10:])


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_rules_of_thumb__order_what_is_on_sale_when_it_arrives(family: str) -> None:
    scenario = make_scenario(LATE, costs={"truck_capacity": 20, "truck_cost": 2.0}, horizon=14)
    env = BatchedEnv(scenario, 4)
    env.reset(make_seeds("test", 3, 4))
    policy = make_policy(family, scenario)
    asked = []
    for _ in range(14):
        flows = policy.run_period(env).flows
        asked.append(flows.requested[:, 1, LAMP])
    requested = np.array(asked)
    assert (requested[4] >= 10).all()
    assert not requested[:4].any()
    assert not requested[8:].any()


def test_loads__leave_out_what_may_not_be_ordered() -> None:
    """A truck that is filled up takes no lamps for store_1 before day 4, or after day 7."""
    scenario = make_scenario(LATE, costs={"truck_capacity": 20, "truck_cost": 2.0})
    setting = Setting.from_scenario(scenario)
    family = FAMILIES["full_truck"]
    own = family.make_space(setting).initial | {"minimum_load": 0.0, "round_up": 0.0}
    for day, is_loaded in ((3, False), (5, True), (8, False)):
        env = make_env(scenario, day, [[90, 90], [0, 0], [0, 0]])
        targets = family(setting, own).compute_targets(env.view)
        assert (targets.shipment_gap[0, 1, LAMP] > 0) == is_loaded
        loads = np.maximum(targets.shipment_gap[0], 0).sum(axis=-1)
        np.testing.assert_allclose(loads % 20, 0, atol=1e-9)


@given(
    first=st.integers(0, 9),
    days=st.integers(0, 9),
    launch=st.integers(1, 30),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=15)
def test_orders__of_any_agents_arrive_on_sale(
    first: int, days: int, launch: int, seed: int
) -> None:
    listing = {"skus": ["lamp"], "from": first, "until": first + days, "launch": launch}
    scenario = make_scenario(listing)
    env, rng = BatchedEnv(scenario, 2), np.random.default_rng(seed)
    env.reset(make_seeds("test", seed, 2))
    lanes = env.network.lane_lead_time
    for day in range(scenario.horizon):
        options = {
            m: rng.integers(module.num_options, size=(2, module.num_agents, 2))
            for m, module in env.layout.modules.items()
        }
        flows = env.step(options).flows
        for s, lane in enumerate(lanes):
            if not first <= day + lane <= first + days:
                assert not flows.requested[:, s, LAMP].any()
            if day == first - lane:
                assert (flows.requested[:, s, LAMP] >= launch).all()
        if not first <= day <= first + days:
            assert not flows.demand[:, :, LAMP].any()
    check_conservation(scenario, seed % 1000, copies=2, periods=12)


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ({"stores": ["dc_0"], "from": 3}, r"assortment.dates.0.stores: 'dc_0' is not known; allow"),
        (
            {"skus": ["sock"], "from": 3},
            r"assortment.dates.0.skus: 'sock' is not known; allowed",
        ),
        ({"skus": ["lamp"]}, r"nothing is stated; from, until or launch is needed"),
        ({"from": 5, "until": 4}, r"until 4 is not allowed for shirt in store_0; at least 5"),
        ({"launch": 4}, r"a launch of 4 is not allowed for shirt in store_0 without from"),
        ({"from": -1}, r"assortment.dates.0.from: -1 is not allowed"),
        ({"from": 3, "launch": 0}, r"assortment.dates.0.launch: 0 is not allowed"),
    ],
)
def test_dates_that_cannot_be__are_refused(listing: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make_scenario(listing)
    assert "\n" not in str(error.value).strip()


def test_dates__survive_a_file_and_are_off_by_default() -> None:
    scenario = make_scenario(LATE)
    data = scenario.model_dump(mode="json", exclude_none=True)
    assert data["assortment"]["dates"] == [LATE]
    again = validate_model(Scenario, data, "again")
    assert again == scenario
    assert scenario.hash() != load_scenario("tiny").hash()
    plain = BatchedEnv(load_scenario("tiny"), 1)
    plain.reset(make_seeds("test", 0, 1))
    assert plain.view.starts_in is None
    assert plain.listing is None


def test_record__with_sales_outside_of_the_dates_is_refused() -> None:
    name = load_scenario("retail").sku_names[0]
    dates = {"dates": [{"skus": [name], "from": 40}]}
    with pytest.raises(InputError, match=r"assortment.dates: .* sells \d+ units of .* on day \d+ "):
        BatchedEnv(change("retail", assortment=dates), 1)


def test_bounds__are_refused() -> None:
    with pytest.raises(InputError, match=r"assortment\.dates: not allowed for bounds"):
        compute_reward_bounds(make_scenario(LATE), make_seeds("test", 0, 1), "train")


def test_rule_texts__say_when_an_item_comes_and_goes() -> None:
    nothing = np.zeros((2, 2), np.int64)
    texts = {}
    for day in (1, 7, 12):
        env = make_env(make_scenario(LATE), day, [[50, 50], [9, 9], [9, 0]])
        texts[day] = tell_rules(env, nothing)["store_1"]["lamp"]
    assert texts == {
        1: "on sale in 5 days, then with at least 10, the last time in 8",
        7: "on sale for 3 days more, this one included",
        12: "no longer on sale",
    }


@pytest.mark.parametrize(("until", "is_ordered"), [(DAYS, False), (DAYS + 90, True)])
def test_recommend__counts_days_of_the_record(tmp_path: Path, until: int, is_ordered: bool) -> None:
    """What ends in Berlin on the day of the stock count is not ordered for it any more."""
    plain = load_scenario(write_scenario(tmp_path, RECORD))
    dates = Assortment.model_validate(
        {"dates": [{"stores": ["Berlin"], "skus": ["launched"], "until": until}]}
    )
    scenario = plain.model_copy(update={"assortment": dates})
    learnt = learn(scenario, tmp_path, RECORD, DAYS)
    for forecast in (None, learnt.state):
        planner = Planner(make_rule(scenario), scenario, num_futures=3, forecast=forecast)
        count = read_stock_count(write_stock(tmp_path / "stock.csv", DAYS), planner.schema)
        found = planner.recommend(count)
        units = {
            (row.node, row.sku): row.units for row in found.decisions if row.decision == "shipment"
        }
        own = planner.today.view
        assert own.ends_in is not None
        assert own.ends_in[0].min() == until - DAYS
        outlook = planner.today.view.forecast.sum(axis=-1)[0]
        sku, store = scenario.sku_names.index("launched"), scenario.store_names.index("Berlin")
        assert (outlook[store, sku] > 2) == is_ordered
        days = until - DAYS + 1
        text = f"on sale for {days} days more, this one included"
        assert found.rules == {"Berlin": {"launched": text}}
        assert found.explain("Berlin", "launched").endswith(f"\n  rules      {text}")
        assert (units["Berlin", "launched"] > 0) == is_ordered
