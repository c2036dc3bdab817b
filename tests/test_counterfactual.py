from __future__ import annotations

import numpy as np
import pytest
import torch

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import Recording, record_episodes, simulate_branches
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Float32Array
from envs.omnichannel.world.draws import make_seeds
from marl.learning.branched.choice_network import ChoiceNetwork
from marl.learning.branched.labels import (
    Exploring,
    LabelMaker,
    pick_agents,
)
from marl.learning.branched.residual_policy import ResidualPolicy
from marl.policies.base import Setting
from marl.policies.choices import CHOICES, Dispatch
from marl.policies.families import FullTruck
from marl.policies.stock_value import StockValue

HORIZON = 5


def make_scenario() -> Scenario:
    data = load_scenario("volatile").model_dump(mode="json")
    return Scenario.model_validate({**data, "horizon": 30})


SCENARIO = make_scenario()
SETTING = Setting.from_scenario(SCENARIO)
RULE = FullTruck(SETTING, FullTruck.make_space(SETTING).initial)


def make_network(name: str, env: BatchedEnv) -> ChoiceNetwork:
    choice = CHOICES[name]
    features = env.layout.num_features + len(choice.features)
    return ChoiceNetwork(features, choice.num_options, (8,), is_joint=choice.is_joint)


def make_policy(*names: str, margin: float = 0.0) -> tuple[BatchedEnv, ResidualPolicy]:
    env = BatchedEnv(SCENARIO, 3)
    networks = {name: make_network(name, env) for name in names}
    return env, ResidualPolicy(SCENARIO, RULE, networks, margin)


def record(env: BatchedEnv, policy: ResidualPolicy, epsilon: float = 0.0) -> Recording:
    each = np.full(env.num_copies, epsilon)
    exploring = Exploring(policy, each, np.random.default_rng(0))
    return record_episodes(env, exploring, make_seeds("test", 0, env.num_copies))


@pytest.mark.parametrize("names", [(), ("dispatch",), ("dispatch", "supplier_order")])
def test_residual_policy__untrained_is_the_rule(names: tuple[str, ...]) -> None:
    env, policy = make_policy(*names)
    env.reset(make_seeds("test", 0, 3))
    for _ in range(12):
        expected = RULE.compute_targets(env.view)
        targets = policy.compute_targets(env.view)
        np.testing.assert_array_equal(targets.shipment_gap, expected.shipment_gap)
        np.testing.assert_array_equal(targets.supplier_gap, expected.supplier_gap)
        policy.run_period(env)


def test_residual_policy__an_option_must_beat_the_margin() -> None:
    env, policy = make_policy("dispatch")
    with torch.no_grad():
        policy.networks["dispatch"].head.bias[1] = 0.1  # hold; summed over 4 SKUs
    env.reset(make_seeds("test", 0, 3))
    plan = RULE.make_plan(env.view)
    assert (policy.choose(plan)["dispatch"] == 1).all()
    held = policy.act(plan, policy.choose(plan)).make_targets()
    assert (held.shipment_gap <= 0).all()
    policy.margin = 0.41
    assert (policy.choose(plan)["dispatch"] == 0).all()


def test_make_labels__are_what_a_hand_made_branch_costs() -> None:
    env, policy = make_policy("dispatch")
    recording = record(env, policy)
    maker = LabelMaker(env, policy)
    labels = maker.make_labels(recording, "dispatch", 6, HORIZON, np.random.default_rng(1))
    assert labels.savings.shape == (6, Dispatch.num_options)
    assert not labels.savings[:, 0].any()
    assert labels.savings[:, 1:].std() > 0

    # The same states, one at a time, without finding equal options first.
    rng = np.random.default_rng(1)
    entries = rng.choice(recording.list_entries(HORIZON), size=6)
    reference = RULE.make_plan(recording.see(env, entries))
    choice = policy.choices["dispatch"]
    stores = pick_agents(choice.weigh(reference), rng)
    for i, (entry, store) in enumerate(zip(entries, stores, strict=True)):
        costs = [
            play(env, recording, int(entry), int(store), option)
            for option in range(Dispatch.num_options)
        ]
        saved = (costs[0] - np.array(costs)) / maker.unit
        np.testing.assert_allclose(labels.savings[i], saved, rtol=1e-5, atol=1e-5)


def play(env: BatchedEnv, recording: Recording, entry: int, store: int, option: int) -> float:
    """Costs of the branch in an environment of its own, with its stock's value taken off."""
    view = recording.see(env, np.array([entry]))
    plan = RULE.make_plan(view)
    assert plan.load is not None
    plan.load[0, store] = Dispatch(SETTING).list_options(plan)[0, store, option]
    branch = simulate_branches(
        env, recording, np.array([entry]), plan.make_targets(), HORIZON, RULE
    )
    stores = branch.state.on_hand[0, 1:].sum(axis=-1) + branch.state.in_transit[0, :, 1:].sum(
        axis=(0, 2)
    )
    return float(branch.loss[0] - (stores * StockValue(env).by_store).sum())


def test_make_labels__each_choice_has_its_shape() -> None:
    env, policy = make_policy("dispatch", "supplier_order")
    recording = record(env, policy, epsilon=0.3)
    maker = LabelMaker(env, policy, "learned")
    rng = np.random.default_rng(0)
    features = {n: env.layout.num_features + len(CHOICES[n].features) for n in CHOICES}
    dispatch = maker.make_labels(recording, "dispatch", 5, HORIZON, rng)
    assert dispatch.features.shape == (5, 4, features["dispatch"])
    order = maker.make_labels(recording, "supplier_order", 5, HORIZON, rng)
    assert order.features.shape == (5, features["supplier_order"])
    assert order.savings.shape == (5, 8)


def test_make_labels__continuation_says_who_decides_after_the_branch() -> None:
    env, policy = make_policy("dispatch", "supplier_order")
    with torch.no_grad():
        policy.networks["dispatch"].head.bias[1] = 0.1  # hold
        policy.networks["supplier_order"].head.bias[1] = 0.1  # order nothing
    recording = record(env, policy)

    def label(continuation: str, name: str) -> Float32Array:
        maker = LabelMaker(env, policy, continuation)
        return maker.make_labels(recording, name, 4, 16, np.random.default_rng(0)).savings

    for name in policy.choices:
        found = {c: label(c, name) for c in ("rule", "own", "learned")}
        assert (found["rule"] != found["own"]).any()
        assert (found["own"] != found["learned"]).any()


def test_stock_value__of_a_full_truck() -> None:
    env = BatchedEnv(SCENARIO, 1)
    value = StockValue(env).by_store
    # Distance 1: a truck of 9 for 120 units and 0.01 x 2 x 0.7 a unit.
    assert value[0] == pytest.approx(9 / 120 + 0.014)
    assert value[9] == pytest.approx(15 / 120 + 0.028)


def test_restrict__the_rule_decides_what_is_left_out() -> None:
    env, policy = make_policy("dispatch", "supplier_order")
    with torch.no_grad():
        policy.networks["dispatch"].head.bias[1] = 0.1  # hold
        policy.networks["supplier_order"].head.bias[1] = 0.1  # order nothing
    env.reset(make_seeds("test", 0, 3))
    rule, both = RULE.compute_targets(env.view), policy.compute_targets(env.view)
    orders = policy.restrict("supplier_order").compute_targets(env.view)
    np.testing.assert_array_equal(orders.supplier_gap, both.supplier_gap)
    np.testing.assert_array_equal(orders.shipment_gap, rule.shipment_gap)
    assert (both.shipment_gap != rule.shipment_gap).any()


def test_exploring__epsilon_departs_from_the_rule() -> None:
    env, policy = make_policy("dispatch")
    quiet, loud = (record(env, policy, epsilon) for epsilon in (0.0, 0.5))
    assert (quiet.states.on_hand != loud.states.on_hand).any()
    np.testing.assert_array_equal(quiet.demand.units, loud.demand.units)


def test_pick_agents__by_weight() -> None:
    weights = np.tile([0.0, 1.0, 3.0], (4000, 1))
    picked = np.bincount(pick_agents(weights, np.random.default_rng(0)), minlength=3)
    assert picked[0] == 0
    assert picked[2] / 4000 == pytest.approx(0.75, abs=0.03)
