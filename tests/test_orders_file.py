"""A policy file of ordering agents decides as the networks that it was made of."""

from pathlib import Path

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import record_episodes
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.branched.order_policy import ExploringOrders, OrderPolicy
from marl.learning.branched.orders import OrdersMethod
from marl.learning.methods import write_policy
from marl.planning.decision_maker import OrdersDecisionMaker
from marl.planning.export import export_policy
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.restore import restore
from marl.planning.stock_count_file import read_stock_count
from marl.runs.folder import PROGRESS_FILE, RunFolder

COPIES = 50


def export(folder: Path, name: str, *overrides: str) -> tuple[Path, OrderPolicy]:
    """A policy file of random networks, and the policy that it was made of."""
    scenario = load_scenario(name)
    config = load_config("orders", ["learner.hidden=[16, 8]", *overrides])
    method = OrdersMethod(scenario, config)
    torch.manual_seed(0)
    weights = {
        group: {
            key: torch.randn(value.shape).numpy()
            for key, value in method.make_network(group).state_dict().items()
        }
        for group in method.module_ids
    }
    run = RunFolder.create(folder / "run", scenario, config)

    def write(checkpoint: Path) -> None:
        write_policy(checkpoint / "policy.npz", method, weights)
        (checkpoint / PROGRESS_FILE).write_text("{}", encoding="utf-8")

    run.save_checkpoint(32, write, is_best=True)
    export_policy(run.path, folder / "policy.onnx")
    return folder / "policy.onnx", method.make_policy(weights, "learned")


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("lost_sales", []), ("owmr", []), ("owmr", ["learner.dueling=false"])],
)
def test_orders_file__orders_as_the_networks_do_in_recorded_states(
    tmp_path: Path, name: str, overrides: list[str]
) -> None:
    path, learned = export(tmp_path, name, *overrides)
    scenario = load_scenario(name)
    exported = OrdersDecisionMaker(OnnxPolicy.load(path), scenario).policy
    env = BatchedEnv(scenario, COPIES)
    explored = ExploringOrders(learned, np.full(COPIES, 0.5), np.random.default_rng(0))
    recording = record_episodes(env, explored, make_seeds("parity", 0, COPIES))

    expected = learned.choose(recording.states)
    found = exported.choose(recording.states)

    assert set(found) == set(expected)
    for group, orders in expected.items():
        assert orders.size >= 2_000
        assert len(np.unique(orders)) > 2
        np.testing.assert_array_equal(found[group], orders, err_msg=group)


def test_orders_file__runs_episodes_as_the_policy_does(tmp_path: Path) -> None:
    path, learned = export(tmp_path, "owmr")
    scenario = load_scenario("owmr")
    exported = OrdersDecisionMaker(OnnxPolicy.load(path), scenario).policy

    expected, found = (
        EpisodeRunner(scenario, make_seeds("test", 0, 4), "evaluate").run(policy)["reward"]
        for policy in (learned, exported)
    )

    np.testing.assert_array_equal(found, expected)


def test_orders_file__refuses_a_scenario_whose_agents_see_other_units(tmp_path: Path) -> None:
    policy = OnnxPolicy.load(export(tmp_path, "lost_sales")[0])

    for name in ("owmr", "paper"):
        with pytest.raises(InputError, match=f"{name} does not fit the policy 'run'") as error:
            policy.adapt(load_scenario(name))
        assert "\n" not in str(error.value)


def test_recommend__orders_of_today_are_the_policys(tmp_path: Path) -> None:
    path, learned = export(tmp_path, "owmr")
    planner = Planner(OnnxPolicy.load(path), load_scenario("owmr"), num_futures=4)
    (tmp_path / "state.csv").write_text(planner.schema.make_template(), encoding="utf-8")
    stock_count = read_stock_count(tmp_path / "state.csv", planner.schema)

    recommendation = planner.recommend(stock_count)

    restore(planner.today, planner.make_start(stock_count))
    decided = planner.today.decide(learned.compute_targets(planner.today.view), planner.today.view)
    requested = {d.node: d.requested for d in recommendation.decisions if d.decision == "shipment"}
    assert list(requested.values()) == decided.shipment[0, :, 0].tolist()
    assert {m for d in recommendation.decisions for m in d.proposals} == {"orders"}
    assert recommendation.goals is None
