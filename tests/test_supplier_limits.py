"""Suppliers' minimums and budgets: orders are filled up by equal cover, cut or left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import IntArray
from envs.omnichannel.world.allocation.supplier_limits import SupplierLimits
from envs.omnichannel.world.draws import make_seeds
from envs.validation import validate_model
from marl.policies import make_policy


def make_scenario(*suppliers: dict[str, Any], **others: Any) -> Scenario:
    """`tiny` with suppliers, prices of 2 and 5, and weights of 1 and 3."""
    data = load_scenario("tiny").model_dump(mode="json", exclude_none=True)
    for sku, price, weight in zip(data["skus"], (2, 5), (1, 3), strict=True):
        sku |= {"unit_cost": price, "weight": weight}
    return validate_model(Scenario, data | {"suppliers": list(suppliers)} | others, "tiny")


def settle(
    scenario: Scenario,
    order: list[int],
    gap: list[float],
    rate: tuple[float, float] = (1, 1),
    left: float = np.inf,
) -> list[int]:
    """One DC's order of two SKUs."""
    limits = SupplierLimits.from_scenario(scenario, BatchedEnv(scenario, 1).network)
    assert limits is not None
    shape = (1, 1, 2)
    settled: IntArray = limits.settle(
        np.reshape(order, shape), np.reshape(gap, shape).astype(float),
        np.reshape(rate, shape).astype(float), np.zeros(shape, np.int64),
        np.full((1, len(scenario.suppliers or ())), left),
    )  # fmt: skip
    return settled[0, 0].tolist()


def test_minimum__is_reached_by_equal_cover() -> None:
    scenario = make_scenario({"name": "a", "minimum_units": 20})

    # Six and four are asked for; ten more are two and a half days of demand of (3, 1) a day.
    assert settle(scenario, [6, 4], [6, 4], rate=(3, 1)) == [14, 6]
    assert settle(scenario, [12, 9], [12, 9]) == [12, 9]
    assert settle(scenario, [0, 0], [-5, -5]) == [0, 0]


@pytest.mark.parametrize(
    ("rounding", "few", "half"),
    [("nearest", [0, 0], [10, 10]), ("up", [10, 10], [10, 10]), ("down", [0, 0], [0, 0])],
)
def test_minimum__is_filled_up_or_left_out(rounding: str, few: list[int], half: list[int]) -> None:
    scenario = make_scenario({"name": "a", "minimum_units": 20, "rounding": rounding})

    assert settle(scenario, [4, 5], [4, 4]) == few
    assert settle(scenario, [5, 5], [5, 5]) == half


def test_minimum__of_money_and_weight() -> None:
    by_value = make_scenario({"name": "a", "minimum_value": 30})
    by_weight = make_scenario({"name": "a", "minimum_weight": 20})

    # Worth 2 and 5: 4 + 3 are 23; one more of each are 30. Of weight 1 and 3 they come to 13.
    assert settle(by_value, [4, 3], [4, 3]) == [5, 4]
    assert settle(by_weight, [4, 3], [4, 3]) == [6, 5]


def test_minimum__is_filled_up_with_whole_packs() -> None:
    scenario = make_scenario(
        {"name": "a", "minimum_units": 30}, order_rules=[{"multiple": 6}, {"maximum": 12}]
    )
    assert settle(scenario, [12, 6], [12, 6]) == [0, 0]  # at most 12 of each: 24
    scenario = make_scenario({"name": "a", "minimum_units": 30}, order_rules=[{"multiple": 6}])
    assert settle(scenario, [12, 6], [12, 6]) == [18, 12]


def test_budget__cuts_what_lasts_longest() -> None:
    scenario = make_scenario({"name": "a", "weekly_budget": 40})

    # Worth 2 x 10 + 5 x 6 = 50 of 40 left: beyond their gaps the second lasts a day longer.
    assert settle(scenario, [10, 6], [10, 5], left=40) == [9, 4]
    assert settle(scenario, [10, 4], [10, 4], left=40) == [10, 4]
    assert settle(scenario, [10, 4], [10, 4], left=0) == [0, 0]


def test_budget__goes_before_the_minimum() -> None:
    scenario = make_scenario({"name": "a", "weekly_budget": 40, "minimum_value": 30})

    assert settle(scenario, [10, 6], [10, 6], left=20) == [0, 0]


def test_budget__holds_from_monday_on() -> None:
    scenario = make_scenario({"name": "a", "weekly_budget": 120}, horizon=60)
    env = BatchedEnv(scenario, 4)
    env.reset(make_seeds("limits", 0, 4))
    rule = make_policy("forecast_order_up_to", scenario)
    spent, most = np.zeros(4), 0.0
    for _ in range(60):
        spent[env.state.day % 7 == 0] = 0
        step = rule.run_period(env)
        spent += step.flows.supplied[:, 0] @ np.array([2.0, 5.0])
        most = max(most, spent.max())
        assert (spent <= 120).all()
        assert env.state.spent is not None
        np.testing.assert_allclose(env.state.spent[:, 0], spent)
    assert most > 100


@given(
    order=st.lists(st.integers(0, 60), min_size=2, max_size=2),
    minimum=st.integers(1, 80),
    value=st.integers(1, 200),
    left=st.integers(0, 300),
    pack=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_limits__hold_exactly(
    order: list[int], minimum: int, value: int, left: int, pack: int
) -> None:
    supplier = {"name": "a", "minimum_units": minimum, "minimum_value": value, "weekly_budget": 300}
    scenario = make_scenario(
        supplier, order_rules=[{"multiple": pack, "maximum": 60 // pack * pack}]
    )
    packed = [units // pack * pack for units in order]

    found = settle(scenario, packed, [float(u) for u in packed], left=left)

    money = 2 * found[0] + 5 * found[1]
    assert money <= left
    assert found == [0, 0] or (sum(found) >= minimum and money >= value)
    assert all(units % pack == 0 and units <= 60 for units in found)


@pytest.mark.parametrize(
    ("supplier", "words"),
    [
        ({"name": "a", "minimum_weight": 5}, "weight of 'shirt' is missing"),
        ({"name": "a", "minimum_value": 5}, "unit_cost of 'shirt' is missing"),
        ({"name": "a", "weekly_budget": 5}, "unit_cost of 'shirt' is missing"),
        ({"name": "a", "minimum_units": 0}, "minimum_units"),
    ],
)
def test_limits__refuse(supplier: dict[str, Any], words: str) -> None:
    data = load_scenario("tiny").model_dump(mode="json", exclude_none=True)
    with pytest.raises(InputError, match=words):
        validate_model(Scenario, data | {"suppliers": [supplier]}, "tiny")


def test_prices__of_a_supplier_cost_what_they_are_above_the_skus_own() -> None:
    dear = {"name": "dear", "order_days": ["mon"], "unit_cost": {"shirt": 3.5, "lamp": 4}}
    scenario = make_scenario(dear, {"name": "plain"})
    env = BatchedEnv(scenario, 2)
    env.reset(make_seeds("limits", 0, 2))
    rule, seen = make_policy("forecast_order_up_to", scenario), 0
    for _ in range(14):
        is_monday = env.state.day % 7 == 0
        step = rule.run_period(env)
        order = step.flows.supplied[:, 0]
        # Shirts cost 2 and lamps 5: 1.5 more and 1 less.
        premium = is_monday[:, None] * order * [1.5, -1.0]
        lines = scenario.costs.fixed_order * (order > 0)
        np.testing.assert_allclose(step.costs["ordering"][:, 0], lines + premium)
        seen += int(order[is_monday].sum())
    assert seen > 0


def test_minimum__is_not_filled_up_with_what_ends_before_it_arrives() -> None:
    dates = {"assortment": {"dates": [{"skus": ["lamp"], "until": 9}]}}
    rules = {"order_rules": [{"skus": ["shirt"], "maximum": 30}]}  # so that lamps would be next
    supplier = {"name": "mill", "minimum_units": 45, "rounding": "up"}
    env = BatchedEnv(make_scenario(supplier, **dates, **rules), 2)
    env.reset(make_seeds("limits", 0, 2))
    rule = make_policy("forecast_order_up_to", env.scenario)
    lamps = [int(rule.run_period(env).flows.supplied[:, 0, 1].sum()) for _ in range(14)]

    # Two days to the DC and one to the nearest store: the last order is that of day 6.
    assert sum(lamps[:7]) > 0
    assert lamps[7:] == [0] * 7
