"""Shelf rules: what stores show, what shelves and the rooms behind them hold, by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.agents.shelf_rules import ShelfRules
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import STORE
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.allocation.shelf_space import ShelfSpace
from envs.omnichannel.world.draws import make_seeds
from envs.validation import validate_model
from marl.planning.rule_texts import tell_rules
from marl.policies import make_policy
from marl.policies.base import Setting
from marl.policies.families import FAMILIES, OrderUpTo, ReorderPoint
from tests.conftest import known

MOST = 10**15


def change(name: str, **changes: Any) -> Scenario:
    data = load_scenario(name).model_dump(mode="json", exclude_none=True)
    return validate_model(Scenario, data | changes, name)


def limit(
    orders: list[int],
    stock: list[int],
    shelf: list[int],
    room: int,
    pack: int = 1,
    minimum: int = 0,
) -> list[int]:
    """Orders of one store that its shelves and room hold."""
    cells = (1, len(orders))
    space = ShelfSpace(
        presentation=np.zeros(cells, np.int64),
        maximum=np.array([shelf]),
        capacity=np.array([room]),
        cost=np.zeros(1),
    )
    lots = Lots(*(np.full(cells, n) for n in (pack, minimum, MOST, 0)))
    found: list[int] = space.limit(np.array([[orders]]), np.array([[stock]]), lots)[0, 0].tolist()
    return found


def test_limit__leaves_orders_that_fit() -> None:
    # 5 + 8 - 10 = 3 and 2 + 9 - 10 = 1 units go to the room of 4.
    assert limit([8, 9], [5, 2], [10, 10], room=4) == [8, 9]


def test_limit__cuts_the_highest_stacks_to_one_height() -> None:
    # Stacks of 9, 5 and 1 for a room of 7: at a height of 3 they are 3, 3 and 1, which come to 7.
    assert limit([9, 5, 1], [10, 10, 10], [10, 10, 10], room=7) == [3, 3, 1]
    # A unit less of room: a height of 2 makes 2, 2 and 1; the unit that is left goes to the first.
    assert limit([9, 5, 1], [10, 10, 10], [10, 10, 10], room=6) == [3, 2, 1]


def test_limit__cuts_whole_packs_and_keeps_one_that_still_fits() -> None:
    # Packs of 6 onto shelves of 10 with 8 and 7: 12 and 12 would be stacks of 10 and 9. At a height
    # of 8 one pack each is left, of 4 and 3; no second pack fits into what is left of the room, 1.
    assert limit([12, 12], [8, 7], [10, 10], room=8, pack=6) == [6, 6]
    # A height of 4 is too much for a room of 6. At 3 the second SKU's pack is left, and beside it
    # the first one's stack of 4 does not fit.
    assert limit([12, 12], [8, 7], [10, 10], room=6, pack=6) == [0, 6]


def test_limit__leaves_out_what_falls_below_the_minimum() -> None:
    assert limit([18, 6], [10, 0], [10, 10], room=8, pack=6, minimum=12) == [0, 0]
    assert limit([18, 12], [10, 0], [10, 10], room=12, pack=6, minimum=12) == [0, 12]


def test_limit__lets_an_over_full_room_be_and_fills_the_shelves() -> None:
    # 20 units are in a room of 5 already, for instance because they came back.
    assert limit([4, 9], [30, 4], [10, 10], room=5) == [0, 6]


@given(
    cells=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 30)),
        min_size=1,
        max_size=5,
    ),
    room=st.integers(0, 60),
    pack=st.integers(1, 9),
    minimum=st.integers(0, 4),
)
def test_limit__fills_no_room_beyond_its_capacity(
    cells: list[tuple[int, int, int]], room: int, pack: int, minimum: int
) -> None:
    asked, stock, shelf = (np.array(column) for column in zip(*cells, strict=True))
    orders = asked // pack * pack
    orders = np.where(orders >= minimum * pack, orders, 0)

    kept = np.array(
        limit(orders.tolist(), stock.tolist(), shelf.tolist(), room, pack, minimum * pack)
    )

    before, after = (np.maximum(units - shelf, 0).sum() for units in (stock, stock + kept))
    assert after <= max(room, before)
    assert (kept <= orders).all()
    assert (kept % pack == 0).all()
    assert ((kept == 0) | (kept >= minimum * pack)).all()
    # No pack was cut that there is room for.
    for k in range(len(cells)):
        more = max(pack, minimum * pack - kept[k])
        if kept[k] + more <= orders[k]:
            longer = kept.copy()
            longer[k] += more
            assert np.maximum(stock + longer - shelf, 0).sum() > max(room, before)


def make_env(scenario: Scenario, on_hand: list[list[int]]) -> BatchedEnv:
    """One copy of `tiny` with this stock in the DC and the stores, known and true, none coming."""
    env = BatchedEnv(scenario, 1)
    env.reset(make_seeds("test", 0, 1))
    state = replace(env.state, on_hand=np.array([on_hand]))
    env.restore(state, env.view.known, env.view.last_demand, env.goals)
    return env


def make_targets(supplier: list[list[float]], shipment: list[list[float]]) -> Targets:
    return Targets(
        supplier_gap=np.array([supplier]),
        shipment_gap=np.array([shipment]),
        online_share=np.zeros((1, 2, 2)),
        disposition=np.broadcast_to([1.0, 0.0, 0.0], (1, 2, 2, 3)),
    )


def test_presentation__raises_the_targets_of_stores_and_of_their_dc() -> None:
    """`tiny` without season: 6 shirts and 3 lamps a day walk into store 0, half into store 1.

    Lead times are 1 and 2 days. Store 0 aims at 6 x 1 + 4 = 10 shirts, store 1 at 3 x 2 + 4 = 10.
    Of the whole demand, online included, 9 and 4.5 shirts a day, the DC's echelon must last
    2 days to the DC and 2 (1.5 half to even) on: 13.5 x 4 + 8 = 62 shirts.
    """
    scenario = change(
        "tiny",
        demand={"process": "poisson", "season_amplitude": 0.0},
        shelf_rules=[{"skus": ["shirt"], "presentation": 4}],
    )
    env = make_env(scenario, [[20, 20], [3, 0], [12, 0]])

    decided = env.decide(make_targets([[0, 0]], [[0, 0], [0, 0]]), env.view)

    assert decided.shipment[0].tolist() == [[7, 0], [0, 0]]
    # On hand are 35 shirts in all.
    assert decided.supplier_order[0].tolist() == [[27, 0]]


def test_presentation__lowers_no_target() -> None:
    scenario = change("tiny", shelf_rules=[{"presentation": 1}])
    env = make_env(scenario, [[90, 90], [3, 3], [3, 3]])

    decided = env.decide(make_targets([[9, 9]], [[70, 70], [70, 70]]), env.view)

    assert decided.shipment[0].tolist() == [[70, 70], [70, 70]]
    assert decided.supplier_order[0].tolist() == [[9, 9]]


def test_maximum__limits_what_is_there_on_its_way_and_in_inspection() -> None:
    """Shelves of 10 without a room: 4 on hand and 3 on their way leave 3; lamps are not limited."""
    scenario = change(
        "tiny",
        shelf_rules=[{"to": ["store_0"], "skus": ["shirt"], "maximum": 10}],
        back_room=[{"to": ["store_0"], "capacity": 0}],
    )
    env = make_env(scenario, [[90, 90], [4, 4], [4, 4]])
    in_transit = env.state.in_transit.copy()
    in_transit[0, 0, 1, 0] = 3
    state = replace(env.state, in_transit=in_transit)
    env.restore(state, env.view.known, env.view.last_demand, env.goals)

    decided = env.decide(make_targets([[0, 0]], [[50, 50], [50, 50]]), env.view)

    assert decided.shipment[0].tolist() == [[3, 50], [50, 50]]


def test_back_room__costs_what_the_shelves_do_not_hold() -> None:
    """25 shirts on a shelf of 10 are 15 in the room at 0.25; lamps have no limit."""
    scenario = change(
        "tiny",
        shelf_rules=[{"skus": ["shirt"], "maximum": 10}],
        back_room=[{"cost": 0.25}, {"to": ["store_1"], "cost": 0.5}],
    )
    env = make_env(scenario, [[0, 0], [25, 25], [12, 0]])
    on_hand = np.array([[[0, 0], [25, 25], [12, 0]]])
    flows = env.apply(make_targets([[0, 0]], [[0, 0], [0, 0]])).flows
    costs = env.cost_model.compute_costs(replace(flows, on_hand=on_hand))

    assert costs["back_room"][0].tolist() == [[0, 0], [15 * 0.25, 0], [2 * 0.5, 0]]


def test_rules_that_state_nothing_new__change_no_digit() -> None:
    runs = []
    for rules in ({}, {"shelf_rules": [{"presentation": 0}], "back_room": None}):
        scenario = change("tiny", **rules)
        env = BatchedEnv(scenario, 3)
        env.reset(make_seeds("test", 5, 3))
        policy = make_policy("full_truck", scenario)
        runs.append([policy.run_period(env) for _ in range(scenario.horizon)])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.team_reward, b.team_reward)
        np.testing.assert_array_equal(a.flows.on_hand, b.flows.on_hand)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shelf_rules": [{"to": ["dc_0"], "maximum": 3}]},
            r"shelf_rules.0.to: 'dc_0' is not known; allowed: store_0, store_1",
        ),
        (
            {"shelf_rules": [{"skus": ["sock"], "maximum": 3}]},
            r"shelf_rules.0.skus: 'sock' is not known; allowed: shirt, lamp",
        ),
        (
            {"shelf_rules": [{"to": ["store_0"]}]},
            r"nothing is stated; a presentation or maximum is needed",
        ),
        ({"shelf_rules": [{"maximum": 0}]}, r"shelf_rules.0.maximum: 0 is not allowed"),
        (
            {"shelf_rules": [{"presentation": 5}, {"maximum": 3}]},
            r"a presentation of 5 is not allowed for shirt in store_0; at most 3",
        ),
        (
            {"shelf_rules": [{"maximum": 3}], "back_room": [{"to": ["x"], "cost": 1}]},
            r"back_room.0.to: 'x' is not known",
        ),
        (
            {"shelf_rules": [{"maximum": 3}], "back_room": [{"to": ["store_0"]}]},
            r"nothing is stated; a capacity or cost is needed",
        ),
        (
            {"back_room": [{"cost": 1}]},
            r"back_room: not allowed where shelves hold everything; a maximum in shelf_rules is",
        ),
    ],
)
def test_rules_that_cannot_be__are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        change("tiny", **changes)
    assert "\n" not in str(error.value).strip()


@pytest.mark.parametrize("name", ["tiny", "two_dcs", "volatile", "transshipment"])
@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32),
    pack=st.integers(1, 12),
    shelf=st.integers(1, 40),
    room=st.integers(0, 30),
    trucks=st.booleans(),
)
def test_orders__leave_stores_within_their_rooms(
    name: str, seed: int, pack: int, shelf: int, room: int, trucks: bool
) -> None:
    plain = load_scenario(name)
    scenario = change(
        name,
        order_rules=[{"multiple": pack}],
        shelf_rules=[{"presentation": min(shelf, 5), "maximum": shelf}],
        back_room=[{"capacity": room, "cost": 0.1}],
        initial_store_cover=0,
        records=None,  # their errors would be in the rooms, too
        costs={"truck_capacity": 30, "truck_cost": 2.0} if trucks else {},
        # What comes back finds its room, whatever is ordered.
        categories={name: {"return_rate": 0.0} for name in plain.categories},
        returns=plain.returns.model_dump(exclude_none=True) | {"store_spread": 0.0},
    )
    env = BatchedEnv(scenario, 2)
    env.reset(make_seeds("test", seed, 2))
    space, rng = known(ShelfSpace.from_scenario(scenario)), np.random.default_rng(seed)
    first = env.network.num_dcs
    for _ in range(10):
        options = {
            m: rng.integers(module.num_options, size=(2, module.num_agents, env.network.num_skus))
            for m, module in env.layout.modules.items()
        }
        step = env.step(options)
        stores = env.state.on_hand[:, first:] + env.state.in_transit.sum(axis=1)[:, first:]
        assert (space.count_back_room(stores).sum(axis=-1) <= room).all()
        assert (step.flows.requested % pack == 0).all()


def test_rules_of_thumb__keep_presentations() -> None:
    """With presentations of 8, a rule that would hold almost nothing keeps more on its shelves."""
    found = []
    for rules in (None, [{"presentation": 8}]):
        scenario = change("tiny", shelf_rules=rules, horizon=60)
        env = BatchedEnv(scenario, 20)
        env.reset(make_seeds("test", 1, 20))
        space = OrderUpTo.make_space(Setting.from_scenario(scenario))
        covers = {"store_cover_0": 0.0, "store_cover_1": 0.0}
        policy = make_policy("order_up_to", scenario, space.initial | covers)
        for _ in range(scenario.horizon):
            flows = policy.run_period(env).flows
        found.append(flows.on_time[..., STORE].sum() / flows.demand[..., STORE].sum())
        assert (ShelfRules.from_scenario(scenario, env.network) is None) == (rules is None)
    assert found[1] > found[0] + 0.05


def test_rules_of_thumb__load_trucks_with_what_is_to_be_shown_and_fits() -> None:
    """A truck of 30 for a store that has all that it covers: the presentation of 12 is the load.

    It holds a third of the truck or more, so that it leaves, but fewer than the shelf's 9 units
    that fit of shirts.
    """
    rules = [{"presentation": 12}, {"skus": ["shirt"], "presentation": 9, "maximum": 9}]
    plans = []
    for shown in (None, rules):
        scenario = change(
            "tiny",
            shelf_rules=shown,
            back_room=shown and [{"capacity": 0}],
            costs={"truck_capacity": 30, "truck_cost": 9.0},
        )
        env = make_env(scenario, [[99, 99], [0, 0], [0, 0]])
        setting = Setting.from_scenario(scenario)
        own = {"store_cover_0": -1.0, "store_cover_1": -2.0, "minimum_load": 0.3}
        space = ReorderPoint.make_space(setting)
        plans.append(ReorderPoint(setting, space.initial | own).make_plan(env.view))

    assert known(plans[0].load).tolist() == [[0, 0]]
    assert known(plans[1].load).min() >= 21
    assert plans[1].shipment_gap[0, :, 0].tolist() == [9, 9]
    assert (plans[1].shipment_gap[0, :, 1] >= 12).all()


def test_rules_of_thumb__fill_trucks_with_what_stores_can_put_away() -> None:
    """Of a truck of 60, shirts take the 5 for which there is a shelf, so lamps take 55."""
    scenario = change(
        "tiny",
        shelf_rules=[{"skus": ["shirt"], "maximum": 8}],
        back_room=[{"capacity": 0}],
        costs={"truck_capacity": 60, "truck_cost": 9.0},
    )
    setting = Setting.from_scenario(scenario)
    family = FAMILIES["full_truck"]
    own = family.make_space(setting).initial | {"minimum_load": 0.0, "round_up": 0.0}
    env = make_env(scenario, [[200, 200], [3, 0], [3, 0]])

    decided = env.decide(family(setting, own).compute_targets(env.view), env.view)

    assert decided.shipment[0].tolist() == [[5, 55], [5, 55]]


def test_rule_texts__say_what_a_store_shows_and_holds() -> None:
    """15 shirts are on hand and 5 are asked for: 20 on a shelf of 12 leave 8 for the room."""
    scenario = change(
        "tiny",
        shelf_rules=[{"to": ["store_0"], "skus": ["shirt"], "presentation": 4, "maximum": 12}],
        back_room=[{"capacity": 30}],
    )
    env = make_env(scenario, [[9, 9], [15, 0], [0, 0]])

    shipment = np.array([[5, 1], [0, 0]])
    texts = tell_rules(env, shipment)

    assert texts == {
        "store_0": {
            "shirt": "shows at least 4; the shelf holds 12; 8 in the back room if nothing is sold, "
            "8 of 30 with all SKUs"
        }
    }
    assert tell_rules(make_env(load_scenario("tiny"), [[9, 9], [0, 0], [0, 0]]), shipment) == {}
