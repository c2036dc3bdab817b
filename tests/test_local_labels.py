"""Local credit: what many agents learn from one branch is what each would learn from its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import Recording, record_episodes
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import LOWEST_RATE, sum_channels
from envs.omnichannel.world.draws import make_seeds
from marl.learning.branched.choice_network import ChoiceNetwork
from marl.learning.branched.labels import LabelMaker
from marl.learning.branched.local_labels import LocalLabelMaker
from marl.learning.branched.residual_policy import ResidualPolicy
from marl.policies.base import Setting
from marl.policies.choices import CHOICES
from marl.policies.families import get_family

HORIZON = 5


def prepare(
    scenario: Scenario, family: str, *names: str
) -> tuple[BatchedEnv, ResidualPolicy, Recording]:
    """An untrained policy of some choices, and episodes of it."""
    env, setting = BatchedEnv(scenario, 3), Setting.from_scenario(scenario)
    rule = get_family(family)(setting, get_family(family).make_space(setting).initial)
    networks = {
        name: ChoiceNetwork(
            env.layout.num_features + len(CHOICES[name].features),
            CHOICES[name].num_options,
            (8,),
            is_joint=CHOICES[name].is_joint,
        )
        for name in names
    }
    policy = ResidualPolicy(scenario, rule, networks)
    return env, policy, record_episodes(env, policy, make_seeds("test", 0, 3))


def change(name: str, stores: int, **costs: float) -> Scenario:
    """A built-in scenario with its first stores alone, and other costs."""
    data: dict[str, Any] = load_scenario(name).model_dump(mode="json", exclude_none=True)
    data["network"]["stores"] = data["network"]["stores"][:stores]
    data["costs"] |= costs
    return Scenario.model_validate(data | {"horizon": 30})


def test_local_labels__of_a_single_store_are_the_networks_savings() -> None:
    # A unit costs as much in the DC as in the store, so that no rent is due beyond the branch; and
    # what the DC orders when, which sales that are lost change a little, costs nothing.
    costs = {"holding_store": 0.01, "holding_dc": 0.01, "fixed_order": 0.0}
    scenario = change("volatile", 1, **costs)
    env, policy, recording = prepare(scenario, "full_truck", "dispatch")
    made = [
        maker(env, policy).make_labels(recording, "dispatch", 30, HORIZON, np.random.default_rng(1))
        for maker in (LabelMaker, LocalLabelMaker)
    ]
    np.testing.assert_array_equal(made[0].features, made[1].features)
    assert made[0].savings.std() > 0
    maker = LocalLabelMaker(env, policy)
    found = made[1].savings * maker.local_unit / maker.unit
    np.testing.assert_allclose(found, made[0].savings, rtol=0.1, atol=0.5)
    assert np.corrcoef(found.ravel(), made[0].savings.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("name", "agents", "is_joint"),
    [("dispatch", 10, True), ("supplier_order", 30, False)],
)
def test_local_labels__many_agents_learn_from_each_state(
    name: str, agents: int, is_joint: bool
) -> None:
    env, policy, recording = prepare(load_scenario("grocer"), "safety_stock_fresh", name)
    maker = LocalLabelMaker(env, policy)
    labels = maker.make_labels(recording, name, 3, HORIZON, np.random.default_rng(1))
    options = CHOICES[name].num_options
    assert labels.savings.shape == (3 * agents, options)
    assert not labels.savings[:, 0].any()
    assert labels.savings[:, 1:].any(axis=0).all()
    assert np.isfinite(labels.savings).all()
    assert labels.features.ndim == 2 + is_joint


def test_expect_waste__what_the_days_left_will_not_sell() -> None:
    env, policy, _ = prepare(load_scenario("perishable"), "safety_stock_fresh", "supplier_order")
    env.reset(make_seeds("test", 0, 3))
    maker, end = LocalLabelMaker(env, policy), env.view
    assert end.shelf is not None
    end.shelf[...] = 0
    salad = env.scenario.sku_names.index("salad")
    end.shelf[0, 0, 1, salad] = 500  # on their last day
    end.shelf[1, 3, 1, salad] = 30  # with four days left
    units = end.shelf.sum(axis=1)
    rate = np.maximum(sum_channels(end.smoothed), LOWEST_RATE)
    money = maker._expect_waste(end, units, rate)
    assert money[0, 1, salad] == pytest.approx(0.5 * (500 - rate[0, 1, salad]), rel=1e-6)
    assert 0 < money[1, 1, salad] < 0.5 * 30
    assert not money[2].any()  # nothing there, nothing wasted
    assert not money[..., env.scenario.sku_names.index("rice")].any()
