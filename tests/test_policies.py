from __future__ import annotations

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import ONLINE, STORE
from envs.omnichannel.world.draws import make_seeds
from marl.policies import BASELINES, FAMILIES, make_policy
from marl.policies.base import Setting, TargetRule
from marl.policies.classes import classify_lead_times

# Scenario tiny: lead times 2 (DC), 1 and 2 (stores); mean walk-in and online demand a period are
# 6 + 3 shirts and 3 + 2 lamps in store_0 and half of it in store_1. It starts with 18 and 10 in
# store_0, 9 and 5 in store_1, and 68 and 38 in the DC (5 days of 13.5 and 7.5, rounded).
TINY = load_scenario("tiny")
PARAMETERS = {
    "store_cover_0": 1.0,
    "store_cover_1": 2.0,
    "dc_cover_0": 8.0,
    "online_share": 0.5,
    "restock": 0.25,
    "consolidate": 0.8,
}


def make_env(copies: int = 2) -> BatchedEnv:
    env = BatchedEnv(TINY, copies)
    env.reset(make_seeds("test", 0, copies))
    return env


def test_before__targets_by_hand() -> None:
    targets = make_policy("before", TINY).compute_targets(make_env().view)
    # Stores: (lead time + 0.5) x walk-in demand - position, 1.5 x 6 - 18 and so on.
    np.testing.assert_allclose(targets.shipment_gap[0], [[-9, -5.5], [-1.5, -1.25]])
    # DC: 7 x 13.5 - (68 + 18 + 9) and 7 x 7.5 - (38 + 10 + 5).
    np.testing.assert_allclose(targets.supplier_gap[1], [[-0.5, -0.5]])
    assert not targets.online_share.any()
    np.testing.assert_array_equal(targets.disposition[1, 1, 1], [0, 1, 0])


def test_naive__tops_up_to_two_weeks_beyond_the_lead_time() -> None:
    targets = make_policy("naive", TINY).compute_targets(make_env().view)
    # Stores: (lead time + 14) x mean walk-in demand - position: 15 x 6 - 18 and so on.
    np.testing.assert_allclose(targets.shipment_gap[0], [[72, 35], [39, 19]])
    # DC: (2 + 2 + 14) x 13.5 - 95 and 18 x 7.5 - 53.
    np.testing.assert_allclose(targets.supplier_gap[1], [[148, 82]])
    assert not targets.online_share.any()
    np.testing.assert_array_equal(targets.disposition[1, 1, 1], [1, 0, 0])


def test_naive__orders_on_the_first_day_of_a_week_by_the_sales_it_saw() -> None:
    env, rule = make_env(), make_policy("naive", TINY)
    steps = [rule.run_period(env) for _ in range(7)]
    assert steps[0].flows.supplied.any()
    assert not any(step.flows.supplied.any() or step.flows.shipped.any() for step in steps[1:])
    sold = sum(step.flows.served for step in steps)
    mean = (sold + 21 * Setting.from_scenario(TINY).mean_demand) / 28
    targets = rule.compute_targets(env.view)
    position = count_positions(env.view, env.network).store
    days = np.array([15, 16])[:, None]
    np.testing.assert_allclose(targets.shipment_gap, days * mean[..., STORE] - position)


def test_naive__forgets_between_episodes() -> None:
    rule = make_policy("naive", TINY)
    rewards = []
    for _ in range(2):
        env = make_env()
        rewards.append(np.stack([rule.run_period(env).team_reward for _ in range(14)]))
    np.testing.assert_array_equal(rewards[0], rewards[1])


def test_order_up_to__targets_by_hand() -> None:
    targets = make_policy("order_up_to", TINY, PARAMETERS).compute_targets(make_env().view)
    # The stores' share of online orders counts: 2 days x (6 + 1.5) - 18, 4 days x 3.75 - 9.
    np.testing.assert_allclose(targets.shipment_gap[0], [[-3, -2], [6, 3]])
    np.testing.assert_allclose(targets.supplier_gap[0], [[13, 7]])
    np.testing.assert_allclose(targets.online_share, np.full((2, 2, 2), 0.5))
    # A quarter restocked, 80% of the other three quarters consolidated, the rest liquidated.
    np.testing.assert_allclose(targets.disposition[0, 0, 0], [0.25, 0.6, 0.15])


def test_order_up_to__units_on_their_way_count() -> None:
    env = make_env()
    rule = make_policy("order_up_to", TINY, PARAMETERS)
    flows = rule.run_period(env).flows
    state = env.view
    ordered = flows.supplied[:, 0]
    np.testing.assert_array_equal(ordered, [[13, 7], [13, 7]])
    np.testing.assert_array_equal(state.in_transit[:, 0, 0], ordered)
    gap = rule.compute_targets(env.view).supplier_gap[:, 0]
    sold_and_waiting = flows.served.sum(axis=(1, 3)) + flows.waiting.sum(axis=1)
    # What the position lost is what the next order replaces.
    np.testing.assert_allclose(gap, sold_and_waiting)


def test_forecast_order_up_to__follows_the_forecast() -> None:
    view = make_env().view
    gap = make_policy("forecast_order_up_to", TINY, PARAMETERS).compute_targets(view).shipment_gap
    rate = view.forecast[..., STORE] + 0.5 * view.forecast[..., ONLINE]
    position = [[18, 10], [9, 5]]
    np.testing.assert_allclose(gap, np.array([2, 4])[:, None] * rate - position)
    assert not np.allclose(gap[0], gap[1])  # the copies start on other days of the season


def test_order_up_to__a_member_a_copy() -> None:
    view = make_env().view
    setting = Setting.from_scenario(TINY)
    other = {name: value / 2 for name, value in PARAMETERS.items()}
    both = {name: np.array([PARAMETERS[name], other[name]]) for name in PARAMETERS}
    together = FAMILIES["order_up_to"](setting, both).compute_targets(view)
    for copy, parameters in enumerate((PARAMETERS, other)):
        alone = make_policy("order_up_to", TINY, parameters).compute_targets(view)
        for field in ("supplier_gap", "shipment_gap", "online_share", "disposition"):
            np.testing.assert_allclose(getattr(together, field)[copy], getattr(alone, field)[copy])


@pytest.mark.parametrize("name", BASELINES)
def test_run_period__runs_one_period(name: str) -> None:
    env = make_env()
    policy: TargetRule = make_policy(name, TINY)
    assert policy.name == name
    step = policy.run_period(env)
    assert env.period == 1
    assert step.team_reward.shape == (2,)


@pytest.mark.parametrize(
    ("lead_times", "classes"),
    [([4], [0]), ([3, 1, 3], [1, 0, 1]), ([1, 2, 3], [0, 1, 2]), ([1, 2, 3, 9], [0, 1, 1, 2])],
)
def test_classify_lead_times__at_most_three(lead_times: list[int], classes: list[int]) -> None:
    np.testing.assert_array_equal(classify_lead_times(np.array(lead_times)), classes)


def test_make_space__one_cover_a_class() -> None:
    space = FAMILIES["order_up_to"].make_space(Setting.from_scenario(load_scenario("paper")))
    covers = ("store_cover_0", "store_cover_1", "store_cover_2", "dc_cover_0")
    assert space.names == ("online_share", *covers, "restock", "consolidate")
    assert all(p.low <= p.initial <= p.high for p in space.parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("best", None, "policy: 'best' is not known; allowed: before, naive, order_up_to, "),
        ("before", {"cover": 1.0}, "parameters: 'cover' is not known; allowed: none"),
        ("order_up_to", {**PARAMETERS, "x": 1.0}, "parameters: 'x' is not known; allowed: online_"),
        ("order_up_to", {"restock": 1.0}, "parameters: 'online_share' is missing; needed:"),
        ("order_up_to", {**PARAMETERS, "restock": np.nan}, "restock: nan must be a finite number"),
    ],
)
def test_make_policy__refuses_in_one_line(
    name: str, parameters: dict[str, float] | None, message: str
) -> None:
    with pytest.raises(InputError) as error:
        make_policy(name, TINY, parameters)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
