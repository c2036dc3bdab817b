"""Order rules: packs, minimums and maximums of orders, from settings to what moves."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.draws import make_seeds
from envs.validation import validate_model


def make_lots(
    multiple: list[int], minimum: int = 0, maximum: int = 10**6, rounding: int = 0
) -> Lots:
    """Lots of one place."""
    packs = np.array([multiple])
    return Lots(
        multiple=packs,
        minimum=np.full_like(packs, minimum),
        maximum=np.full_like(packs, maximum),
        rounding=np.full_like(packs, rounding),
    )


def repeat(lots: Lots, places: int) -> Lots:
    """The lots of one place at several."""
    return Lots(
        multiple=np.repeat(lots.multiple, places, axis=0),
        minimum=np.repeat(lots.minimum, places, axis=0),
        maximum=np.repeat(lots.maximum, places, axis=0),
        rounding=np.repeat(lots.rounding, places, axis=0),
    )


def settle(gap: list[float], lots: Lots, *, jointly: bool = False) -> list[int]:
    """Orders of one place."""
    units: list[int] = lots.settle(np.array([[gap]]), jointly=jointly)[0, 0].tolist()
    return units


def add_rules(name: str, *rules: dict[str, Any]) -> Scenario:
    """A built-in scenario with these order rules."""
    data = load_scenario(name).model_dump(mode="json", exclude_none=True)
    return validate_model(Scenario, data | {"order_rules": list(rules)}, name)


@pytest.mark.parametrize(
    ("rounding", "orders"),
    [(0, [0, 0, 6, 6, 6, 12, 12]), (1, [0, 6, 6, 6, 12, 12, 12]), (2, [0, 0, 0, 6, 6, 6, 12])],
    ids=["nearest", "up", "down"],
)
def test_settle__rounds_to_packs_of_six(rounding: int, orders: list[int]) -> None:
    gaps = [-3.0, 2.9, 3.0, 6.0, 8.9, 9.0, 12.0]

    assert settle(gaps, make_lots([6] * 7, rounding=rounding)) == orders


def test_settle__does_not_order_a_pack_for_the_last_digit_of_a_float() -> None:
    third = sum([0.1] * 3) * 20  # 6.000000000000001

    assert third > 6
    assert settle([third], make_lots([6], rounding=1)) == [6]
    assert settle([6 - (third - 6)], make_lots([6], rounding=2)) == [6]


@pytest.mark.parametrize(
    ("rounding", "orders"),
    [(0, [0, 0, 24, 24, 30]), (1, [0, 24, 24, 24, 30]), (2, [0, 0, 0, 24, 24])],
    ids=["nearest", "up", "down"],
)
def test_settle__orders_the_minimum_or_nothing(rounding: int, orders: list[int]) -> None:
    gaps = [0.0, 11.9, 12.0, 24.0, 29.0]

    assert settle(gaps, make_lots([6] * 5, minimum=24, rounding=rounding)) == orders


def test_settle__stops_at_the_maximum_and_at_it_rounds_nothing_up() -> None:
    lots = make_lots([6] * 3, minimum=12, maximum=18, rounding=1)

    assert settle([18.0, 18.1, 500.0], lots) == [18, 18, 18]


def test_settle_jointly__fills_a_truck_without_passing_it() -> None:
    # The gaps come to 60, a full truck. Rounded up one by one, packs would come to 72.
    packs = make_lots([12, 12, 12], rounding=1)
    assert settle([20.0, 20.0, 20.0], packs) == [24, 24, 24]
    # Whole packs are 12 each; of the 24 left, two SKUs get a pack more.
    assert settle([20.0, 20.0, 20.0], packs, jointly=True) == [24, 24, 12]


def test_settle_jointly__adds_the_pack_that_was_cut_most() -> None:
    # Whole packs are 6, 0 and 10; the 9 left hold the pack of 6 (cut by 4.5 of 6) and then
    # nothing: 8 do not fit.
    assert settle([10.5, 3.5, 11.0], make_lots([6, 8, 10]), jointly=True) == [12, 0, 10]


def test_ration__sends_what_broken_packs_free_as_packs() -> None:
    lots = repeat(make_lots([6]), 3)
    # 20 units in proportion: 10, 6, 4. Whole packs are 6, 6, 0; 8 are free: a pack to the store
    # that was cut by most of one.
    shipped, requested = np.array([[[10], [6], [4]]]), np.array([[[30], [18], [12]]])

    units = lots.ration(shipped, requested, np.zeros(3, np.int64))

    # 4 of 6 are cut at the first store as at the third; the earlier one wins.
    assert units[0, :, 0].tolist() == [12, 6, 0]


def test_ration__sends_no_shipment_below_the_minimum() -> None:
    lots = repeat(make_lots([6], minimum=12), 2)
    shipped, requested = np.array([[[13], [7]]]), np.array([[[24], [18]]])

    units = lots.ration(shipped, requested, np.zeros(2, np.int64))

    assert units[0, :, 0].tolist() == [18, 0]  # 7 are freed, and hold a pack for the first store


def test_lots__later_rules_win_by_field_and_minimums_are_whole_packs() -> None:
    scenario = add_rules(
        "tiny",
        {"multiple": 6, "minimum": 8},
        {"to": ["dc_0"], "multiple": 12, "maximum": 100},
        {"skus": ["lamp"], "rounding": "up"},
    )

    lots = Lots.from_scenario(scenario)

    assert lots is not None
    lamp = scenario.sku_names.index("lamp")
    assert lots.multiple[0].tolist() == [12, 12]
    assert (lots.multiple[1:] == 6).all()
    assert lots.minimum[:, 0].tolist() == [12] * len(scenario.node_names)
    assert lots.maximum[0].tolist() == [96, 96]
    assert (lots.rounding[:, lamp] == 1).all()
    assert (lots.rounding[:, 1 - lamp] == 0).all()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"to": ["dc_9"], "multiple": 6}, r"order_rules.0.to: 'dc_9' is not known; allowed: dc_0"),
        ({"skus": ["milk"], "multiple": 6}, r"order_rules.0.skus: 'milk' is not known; allowed: "),
        (
            {"to": ["dc_0"]},
            r"nothing is stated; a multiple, minimum, maximum, rounding or layer is needed",
        ),
        ({"multiple": 0}, r"order_rules.0.multiple: 0 is not allowed"),
        (
            {"multiple": 6, "maximum": 5},
            r"a maximum of 5 is not allowed for \w+ to dc_0; at least 6",
        ),
        ({"minimum": 7, "multiple": 6, "maximum": 11}, r"a maximum of 11 .* at least 12"),
        ({"rounding": "half"}, r"order_rules.0.rounding"),
    ],
    ids=["to", "skus", "nothing", "zero", "pack", "minimum", "rounding"],
)
def test_rules_that_cannot_be__are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        add_rules("tiny", rule)


def is_lot(units: IntArray, lots: Lots) -> bool:
    """Whether orders or shipments are what these lots allow."""
    whole = units % lots.multiple == 0
    within = (units == 0) | ((units >= lots.minimum) & (units <= lots.maximum))
    return bool((whole & within).all())


RULE = st.fixed_dictionaries(
    {"multiple": st.integers(1, 12)},
    optional={
        "minimum": st.integers(1, 40),
        "rounding": st.sampled_from(["nearest", "up", "down"]),
    },
)


@pytest.mark.parametrize("name", ["tiny", "two_dcs", "scarce", "transshipment"])
@settings(max_examples=15)
@given(rules=st.lists(RULE, min_size=1, max_size=1), extra=RULE, seed=st.integers(0, 2**32))
def test_orders_and_shipments__are_lots_and_units_are_conserved(
    name: str, rules: list[dict[str, Any]], extra: dict[str, Any], seed: int
) -> None:
    extra = extra | {
        "maximum": 10 * extra["multiple"] + 60,
        "skus": [load_scenario(name).sku_names[0]],
    }
    scenario = add_rules(name, *rules, extra)
    env = BatchedEnv(scenario, 2)
    net, rng = env.network, np.random.default_rng(seed)
    lots = Lots.from_scenario(scenario)
    assert lots is not None
    dcs, stores = lots.take(slice(net.num_dcs)), lots.take(slice(net.num_dcs, net.num_nodes))
    env.reset(make_seeds("test", seed, 2))
    for _ in range(12):
        before = env.state.on_hand[:, : net.num_dcs]
        options = {
            m: rng.integers(module.num_options, size=(2, module.num_agents, net.num_skus))
            for m, module in env.layout.modules.items()
        }
        flows = env.step(options).flows
        assert is_lot(flows.requested, stores)
        assert is_lot(flows.shipped, stores)
        # Suppliers that confirm a part keep to packs.
        assert (flows.supplied % dcs.multiple == 0).all()
        assert (flows.supplied <= dcs.maximum).all()
        assert (flows.shipped <= flows.requested).all()
        assert (net.sum_by_dc(flows.shipped) <= before + flows.supplied).all()


@given(
    gap=st.lists(st.floats(-50, 200), min_size=1, max_size=6),
    multiple=st.integers(1, 30),
    minimum=st.integers(0, 60),
)
def test_settle__is_the_nearest_lot(gap: list[float], multiple: int, minimum: int) -> None:
    least = -(-minimum // multiple) * multiple
    lots = make_lots([multiple] * len(gap), minimum=least, maximum=multiple * 100)
    allowed = np.array([0, *range(max(least, multiple), multiple * 100 + 1, multiple)])

    units = settle(gap, lots)

    for wanted, ordered in zip(gap, units, strict=True):
        distance: FloatArray = np.abs(allowed - max(wanted, 0))
        assert abs(ordered - max(wanted, 0)) == pytest.approx(distance.min(), abs=1e-9)


def test_rules_that_change_nothing__change_no_digit() -> None:
    plain, ruled = load_scenario("volatile"), add_rules("volatile", {"multiple": 1})
    flows = []
    for scenario in (plain, ruled):
        env = BatchedEnv(scenario, 2)
        env.reset(make_seeds("test", 3, 2))
        rng = np.random.default_rng(5)
        for _ in range(30):
            options = {
                m: rng.integers(module.num_options, size=(2, module.num_agents, 4))
                for m, module in env.layout.modules.items()
            }
            last = env.step(options).flows
        flows.append(last)

    for a, b in zip(flows[0].ledger, flows[1].ledger, strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers__are_filled_up_when_they_are_nearly_full() -> None:
    rules = {"multiple": 6, "layer": 24, "layer_from": 0.75, "maximum": 60}
    lots = Lots.from_scenario(add_rules("tiny", {"to": ["dc_0"]} | rules))
    assert lots is not None
    dc = lots.take(slice(1))

    # Of 24 in a layer 18 are three quarters; the third layer is beyond the maximum of 60.
    gaps = [0.0, 12, 17, 20, 24, 38, 43, 60, 90]
    orders = [int(dc.settle(np.array([[[gap, 0.0]]]))[0, 0, 0]) for gap in gaps]
    assert orders == [0, 12, 24, 24, 24, 36, 48, 60, 60]
    store = lots.take(slice(1, None))
    assert store.settle(np.full((1, 2, 2), 17.0)).tolist() == [[[17, 17], [17, 17]]]


def test_layers__are_whole_packs() -> None:
    with pytest.raises(InputError, match="a layer of 20 is not allowed for shirt to dc_0; a mult"):
        add_rules("tiny", {"multiple": 6, "layer": 20})
