from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import SeedArray
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.events.supply_cuts import CutSupply
from marl.policies.base import Setting
from marl.policies.families import FullTruck
from marl.policies.rollouts import Rollouts, choose_cheapest
from tests.conftest import known

VOLATILE = load_scenario("volatile")
SHORT = {"dispatch": 3, "supplier_order": 4}


def make_rule(scenario: Scenario, **parameters: float) -> FullTruck:
    setting = Setting.from_scenario(scenario)
    return FullTruck(setting, FullTruck.make_space(setting).initial | parameters)


def start(scenario: Scenario, seeds: SeedArray, periods: int = 0) -> BatchedEnv:
    env = BatchedEnv(scenario, len(seeds))
    env.reset(seeds)
    for _ in range(periods):
        make_rule(scenario).run_period(env)
    return env


def assert_equal(targets: Targets, expected: Targets) -> None:
    for field in fields(Targets):
        np.testing.assert_array_equal(
            getattr(targets, field.name), getattr(expected, field.name), err_msg=field.name
        )


def test_rollouts__without_options_are_the_rule() -> None:
    rule = make_rule(VOLATILE)
    env = start(VOLATILE, make_seeds("test", 0, 2), periods=3)
    rollouts = Rollouts(VOLATILE, rule, horizons={}, futures=2)
    assert_equal(rollouts.improve(rollouts.sampler.look(env)), rule.compute_targets(env.view))


def test_choose_cheapest__needs_more_than_the_margin() -> None:
    """The options save 0, 2 +- 1 (standard error 0.5), 3 +- 4 (standard error 2)."""
    first = np.array([10.0, 20.0, 30.0, 40.0])
    sure = first - np.array([2, 2, 2, 2]) - np.sqrt(3) / 2 * np.array([1, -1, 1, -1])
    unsure = first - 3 - np.sqrt(3) * 2 * np.array([1, -1, 1, -1])
    cost = np.stack([first, sure, unsure])[None]
    assert choose_cheapest(cost, margin=0).tolist() == [2]
    assert choose_cheapest(cost, margin=1).tolist() == [1]
    assert choose_cheapest(cost, margin=4.1).tolist() == [0]
    assert choose_cheapest(np.repeat(first[None, None], 3, axis=1), margin=0).tolist() == [0]


def make_certain(truck_cost: float, dc_cover: float) -> Scenario:
    """`tiny` with trucks and the same 9 + 5 and 4.5 + 2.5 units of demand every day."""
    data = load_scenario("tiny").model_dump(mode="json")
    data["demand"] |= {"noise": 0.0, "season_amplitude": 0.0}
    data["costs"] |= {"truck_capacity": 20, "truck_cost": truck_cost, "truck_cost_distance": 0}
    return Scenario.model_validate(data | {"initial_store_cover": 0, "initial_dc_cover": dc_cover})


@pytest.mark.parametrize(("truck_cost", "sends"), [(0.5, True), (5_000.0, False)])
def test_rollouts__a_truck_leaves_only_if_what_it_brings_is_worth_more(
    truck_cost: float, *, sends: bool
) -> None:
    scenario = make_certain(truck_cost, dc_cover=30)
    rule = make_rule(scenario, minimum_load=99.0 if sends else 0.0, urgent_cover=-1.0)
    env = start(scenario, make_seeds("test", 0, 1))
    load = rule.make_plan(env.view).load
    assert load is not None
    assert ((load > 0) != sends).all()  # the rule does the opposite
    rollouts = Rollouts(scenario, rule, horizons={"dispatch": 4}, futures=2, margin=0)
    sent = np.maximum(rollouts.improve(rollouts.sampler.look(env)).shipment_gap, 0).sum(axis=-1)
    assert ((sent > 0) == sends).all()


def test_rollouts__do_not_know_what_will_really_come() -> None:
    seeds = make_seeds("test", 0, 400)
    env = start(VOLATILE, seeds[:1], periods=5)
    supply = known(env.simulator.find(CutSupply))
    announced = supply.announce(seeds, np.full(400, 5))
    assert announced is not None
    same = seeds[(announced == announced[0]).all(axis=(1, 2))]
    assert len(same) > 1
    rollouts = Rollouts(VOLATILE, make_rule(VOLATILE), horizons=SHORT, futures=4, margin=0)
    targets = rollouts.improve(rollouts.sampler.look(env))
    env.state = replace(env.state, seed=same[1:2], log_drift=-known(env.state.log_drift))
    assert_equal(rollouts.improve(rollouts.sampler.look(env)), targets)
    rule = make_rule(VOLATILE).compute_targets(env.view)
    assert (targets.supplier_gap != rule.supplier_gap).any()  # so there was a decision


def test_rollouts__do_not_depend_on_the_other_copies() -> None:
    env = start(VOLATILE, make_seeds("test", 0, 3), periods=5)
    rollouts = Rollouts(VOLATILE, make_rule(VOLATILE), horizons=SHORT, futures=4)
    together = rollouts.improve(rollouts.sampler.look(env))
    for copy in range(3):
        one = slice(copy, copy + 1)
        assert_equal(rollouts.improve(rollouts.sampler.look(env).select(one)), together.select(one))


def test_rollouts__each_agent_knows_what_those_before_it_chose() -> None:
    """The DC holds less than a truck: one store's is worth its cost, a second would share it."""
    scenario = make_certain(truck_cost=5.0, dc_cover=0.6)
    rule = make_rule(scenario, minimum_load=99.0, urgent_cover=-1.0)
    env = start(scenario, make_seeds("test", 0, 1))
    rollouts = Rollouts(scenario, rule, horizons={"dispatch": 4}, futures=2, margin=0)
    sent = np.maximum(rollouts.improve(rollouts.sampler.look(env)).shipment_gap, 0).sum(axis=-1)
    assert (sent > 0).sum() == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"futures": 1}, "futures: 1 is not allowed; at least 2"),
        ({"horizons": {"price": 3}}, "horizons: 'price' is not known; allowed: dispatch"),
        ({"horizons": {"dispatch": 0}}, "horizons.dispatch: 0 is not allowed; at least 1"),
    ],
)
def test_rollouts__refuse_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Rollouts(VOLATILE, make_rule(VOLATILE), **settings)


def test_rollouts__dispatch_needs_trucks() -> None:
    scenario = load_scenario("paper")
    with pytest.raises(InputError, match=r"dispatch needs costs\.truck_capacity"):
        Rollouts(scenario, make_rule(scenario))
