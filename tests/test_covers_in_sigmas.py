"""Order options in standard deviations of the demand until the next order arrives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from envs.omnichannel.agents.decisions.shipment import Shipment
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import Runner
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.agents import Actions, Observation
from envs.omnichannel.types import ModuleOptions
from envs.omnichannel.world.draws import make_seeds
from marl.planning.export import export_policy
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.stock_count_file import read_stock_count
from tests.conftest import WritePolicy
from tests.test_export import make_run

# z of the stores -1 to 4.5, of the echelon -2 to 6.5, of the push 1 to 3.5; three online shares.
CHOSEN = {"ordering_high": 4, "ordering_low": 6, "shipping_high": 7, "shipping_low": 4}
SHARE = 0.5  # of both shippers


def use_sigmas(tiny: Scenario) -> Scenario:
    return tiny.model_copy(update={"actions": Actions(unit="sigmas")})


def make_env(tiny: Scenario) -> BatchedEnv:
    """In a hand-made state; of the first SKU stores sell 6 + 3 and 2 + 1 a day."""
    env = BatchedEnv(use_sigmas(tiny), 1)
    env.reset(make_seeds("test", 0, 1))
    shape = env.view.variance.shape
    smoothed, variance = np.ones((*shape, 2)), np.ones(shape)
    smoothed[0, :, 0] = [[6, 3], [2, 1]]
    variance[0, :, 0] = [12, 4]
    env.view = replace(
        env.view,
        on_hand=np.array([[[45, 0], [20, 0], [11, 0]]]),
        in_transit=np.zeros_like(env.view.in_transit),
        backorders=np.zeros_like(env.view.backorders),
        smoothed=smoothed,
        forecast=smoothed * 1.5,
        variance=variance,
        ahead=np.cumsum([1.0, 2, 2, 0, 1, 1, 0])[None, :, None, None] * np.ones(2),
    )
    return env


def make_options(**chosen: int) -> ModuleOptions:
    agents = {"ordering_low": 3, "shipping_low": 2, "return_low": 2}
    names = ("ordering_high", "ordering_low", "shipping_high", "shipping_low", "return_high",
             "return_low")  # fmt: skip
    return {m: np.full((1, agents.get(m, 1), 2), chosen.get(m, 0)) for m in names}


def test_average__in_sigmas_by_hand(tiny: Scenario) -> None:
    env = make_env(tiny)
    found = env.coordinator.compute_targets(make_options(**CHOSEN), env.view)
    # Echelon: 12 a day for 6 days' worth, variance 16 a day; z 1 and 2; 45 + 20 + 11 in position.
    assert found.supplier_gap[0, 0, 0] == pytest.approx(72 + 1.5 * 96**0.5 - 76)
    # Store 0 serves 7.5 of 9 a day for 3 days' worth, store 1 2.5 of 3 for 5 days' worth. Thinned:
    # share² (variance - mean) + share mean.
    served = 5 / 6
    deviation = [
        (3 * (served**2 * 3 + served * 9)) ** 0.5, (5 * (served**2 * 1 + served * 3)) ** 0.5
    ]  # fmt: skip
    z = (1 + 2 + 2.5 + 1.5) / 4  # covers 1 and 2, push 2.5 and 1.5; the DC holds enough
    assert found.online_share[0, :, 0] == pytest.approx([SHARE, SHARE])
    assert found.shipment_gap[0, :, 0] == pytest.approx(
        [22.5 + z * deviation[0] - 20, 12.5 + z * deviation[1] - 11]
    )


def test_propose__a_push_is_kept_within_what_the_dc_holds(tiny: Scenario) -> None:
    env = make_env(tiny)
    env.view.on_hand[0, 0, 0] = 9  # positions were not counted yet
    options, share = make_options(**CHOSEN), np.full((1, 2, 2), SHARE)
    found = env.coordinator.propose(options, env.view, share)["shipment_gap"]
    served = 5 / 6
    deviation = np.array(
        [(3 * (served**2 * 3 + served * 9)) ** 0.5, (5 * (served**2 * 1 + served * 3)) ** 0.5]
    )
    plain = np.array([22.5 - 20, 12.5 - 11])
    for proposer, z in ((0, 1.0), (1, 2.0), (3, 1.5)):
        assert found[proposer, 0, :, 0] == pytest.approx(plain + z * deviation)
    pushed = plain + 2.5 * deviation
    assert found[2, 0, :, 0] == pytest.approx(pushed * 9 / pushed.sum())


def test_average__one_option_covers_a_fast_and_a_slow_seller_alike(tiny: Scenario) -> None:
    """Of 10,000 days the same share is covered, whatever an item sells."""
    rng, z = np.random.default_rng(0), 6
    short = []
    for level in (100.0, 20.0):
        env = make_env(tiny)
        smoothed = np.full_like(env.view.smoothed, level / 2)
        env.view = replace(
            env.view,
            on_hand=np.zeros_like(env.view.on_hand),
            smoothed=smoothed,
            forecast=smoothed,
            variance=smoothed.sum(axis=-1),
            ahead=np.arange(1.0, 8)[None, :, None, None] * np.ones(2),
        )
        all_stores = make_options(ordering_high=z, ordering_low=z, shipping_high=5, shipping_low=5)
        found = env.coordinator.propose(all_stores, env.view, np.ones((1, 2, 2)))
        target = found["shipment_gap"][0, 0, 0, 0]
        short.append(float((rng.poisson(2 * level, 10_000) > target).mean()))
    assert short == pytest.approx([0.02, 0.02], abs=0.01)


def test_list_goals__shows_what_is_held(tiny: Scenario) -> None:
    decision = next(d for d in make_env(tiny).coordinator.decisions if isinstance(d, Shipment))
    covers, pushes = decision.list_goals()
    assert covers[[0, 6]].tolist() == [-1.5, 0]  # -1 and 2 sigmas
    assert pushes[[0, -1]].tolist() == [-0.5, 0.75]  # 1 and 3.5


def test_actions__left_out_grids_are_those_of_the_unit(tiny: Scenario) -> None:
    actions = Actions.model_validate({"unit": "sigmas", "push_cover": [2]})
    assert actions.store_cover[:2] == [-1, -0.5]
    assert actions.push_cover == [2]
    assert actions.initial_cover == 4
    assert Actions.model_validate({"unit": "days"}) == Actions()
    assert Actions.model_validate(actions.model_dump()) == actions
    with pytest.raises(ValidationError, match="'days' or 'sigmas'"):
        Actions.model_validate({"unit": "weeks"})
    assert use_sigmas(tiny).hash() != tiny.hash()


def test_export__orders_in_sigmas_as_the_learner_does(tiny: Scenario, tmp_path: Path) -> None:
    seeing = use_sigmas(tiny).model_copy(update={"observation": Observation(spread=True)})
    run, learned = make_run(tmp_path / "run", seeing)
    export_policy(run.path, tmp_path / "policy.onnx")
    exported = OnnxPolicy.load(tmp_path / "policy.onnx")
    assert exported.adapt(tiny) == seeing  # the file brings the unit and what its agents see
    policies: list[Runner] = [learned, exported]
    envs = [BatchedEnv(seeing, 20) for _ in range(2)]
    for env in envs:
        env.reset(make_seeds("parity", 0, 20))
    for _ in range(tiny.horizon):
        steps = [p.run_period(env) for p, env in zip(policies, envs, strict=True)]
        np.testing.assert_array_equal(steps[0].flows.requested, steps[1].flows.requested)
        np.testing.assert_array_equal(steps[0].flows.supplied, steps[1].flows.supplied)


def test_recommend__proposes_in_sigmas(
    tiny: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    scenario = use_sigmas(tiny)
    planner = Planner(OnnxPolicy.load(write_policy(scenario, CHOSEN)), tiny)
    path = tmp_path / "state.csv"
    path.write_text(STATE, encoding="utf-8")
    found = planner.recommend(read_stock_count(path, planner.schema))
    env = planner.today
    order = next(d for d in found.decisions if (d.decision, d.sku) == ("order", "shirt"))
    level, variance = env.view.smoothed[0].sum(axis=-1), env.view.variance[0]
    days = env.view.ahead[0, 4, 0, 0]  # supplier 2, way 2, review 1
    mean, deviation = level[:, 0].sum() * days, (variance[:, 0].sum() * days) ** 0.5
    assert order.proposals["ordering_high"] == pytest.approx(mean + deviation - 16)
    assert order.proposals["ordering_low"] == pytest.approx(mean + 2 * deviation - 16)


STATE = """\
day,node,sku,on_hand
3,dc_0,shirt,10
3,dc_0,lamp,500
3,store_0,shirt,4
3,store_0,lamp,40
3,store_1,shirt,2
3,store_1,lamp,40
"""
