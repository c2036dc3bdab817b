"""The exported policy of residual agents: decides as in training, and recommends orders."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.branched.choice_network import ChoiceNetwork
from marl.learning.branched.residual import ResidualMethod
from marl.learning.branched.residual_policy import ResidualPolicy
from marl.learning.methods import write_policy
from marl.planning.decision_maker import ResidualDecisionMaker
from marl.planning.export import export_policy
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.recommendation import Goals, Recommendation
from marl.planning.restore import restore
from marl.planning.stock_count_file import read_stock_count
from marl.policies.base import Setting
from marl.policies.families import FullTruck
from marl.runs.folder import PROGRESS_FILE, RunFolder
from tests.test_recommend_command import run

COPIES = 100


def make_scenario() -> Scenario:
    """`tiny` with trucks of 20 units."""
    data = load_scenario("tiny").model_dump(mode="json")
    data["costs"] |= {"truck_capacity": 20, "truck_cost": 3.0}
    return Scenario.model_validate(data)


SCENARIO = make_scenario()
PARAMETERS = dict(FullTruck.make_space(Setting.from_scenario(SCENARIO)).initial)


def export(folder: Path) -> tuple[Path, ResidualPolicy]:
    """A policy file of random networks, and the policy that it was made of."""
    config = load_config(
        "residual",
        [
            "learner.hidden=[16, 8]",
            "residual.choices=[dispatch, supplier_order]",
            "residual.supplier_order_horizon=10",
            "residual.margin=2",
        ],
    )
    residual = config.residual.model_copy(
        update={"reference": "full_truck", "parameters": PARAMETERS}
    )
    config = config.model_copy(update={"residual": residual})
    method = ResidualMethod(SCENARIO, config)
    torch.manual_seed(0)
    weights = {
        name: {
            key: torch.randn(value.shape).numpy()
            for key, value in ChoiceNetwork(**arguments).state_dict().items()
        }
        for name, arguments in method.arguments.items()
    }
    run = RunFolder.create(folder / "run", SCENARIO, config)

    def write(checkpoint: Path) -> None:
        write_policy(checkpoint / "policy.npz", method, weights)
        (checkpoint / PROGRESS_FILE).write_text("{}", encoding="utf-8")

    run.save_checkpoint(32, write, is_best=True)
    export_policy(run.path, folder / "policy.onnx")
    return folder / "policy.onnx", method.make_policy(weights, "learned")


def test_residual_file__takes_the_policys_options_in_10_000_states(tmp_path: Path) -> None:
    path, learned = export(tmp_path)
    env = BatchedEnv(SCENARIO, COPIES)
    exported = ResidualDecisionMaker(OnnxPolicy.load(path), SCENARIO, env.forecast).policy

    states, departures = 0, 0.0
    while states < 10_000:
        if env.period % SCENARIO.horizon == 0:
            env.reset(make_seeds("parity", states, COPIES))
        plan = learned.rule.make_plan(env.view)
        expected, found = learned.choose(plan), exported.choose(plan)
        for name, options in expected.items():
            np.testing.assert_array_equal(found[name], options, err_msg=name)
            departures += (options > 0).sum()
        learned.run_period(env)
        states += COPIES

    assert departures > 10_000  # of 2 stores and 2 SKUs of the DC in each state


def test_residual_file__runs_episodes_as_the_policy_does(tmp_path: Path) -> None:
    path, learned = export(tmp_path)
    forecast = BatchedEnv(SCENARIO, 1).forecast
    exported = ResidualDecisionMaker(OnnxPolicy.load(path), SCENARIO, forecast).policy
    seeds = make_seeds("test", 0, 4)
    expected = EpisodeRunner(SCENARIO, seeds, "evaluate").run(learned)
    found = EpisodeRunner(SCENARIO, seeds, "evaluate").run(exported)
    np.testing.assert_array_equal(found["reward"], expected["reward"])
    rule = EpisodeRunner(SCENARIO, seeds, "evaluate").run(learned.rule)
    assert (found["reward"] != rule["reward"]).all()


STATE = """\
day,node,sku,on_hand,in_transit_1
3,dc_0,shirt,60,0
3,dc_0,lamp,500,0
3,store_0,shirt,4,3
3,store_0,lamp,40,0
3,store_1,shirt,2,0
3,store_1,lamp,1,0
"""


def recommend(folder: Path, goals: Goals | None = None) -> tuple[Planner, Recommendation]:
    path, _ = export(folder)
    (folder / "state.csv").write_text(STATE, encoding="utf-8")
    planner = Planner(OnnxPolicy.load(path), SCENARIO)
    return planner, planner.recommend(read_stock_count(folder / "state.csv", planner.schema), goals)


def test_recommend__orders_what_the_residual_policy_decides(tmp_path: Path) -> None:
    planner, recommendation = recommend(tmp_path)
    assert (recommendation.goals, recommendation.review) == (None, False)
    assert len(recommendation.decisions) == 26
    assert {m for d in recommendation.decisions for m in d.proposals} == {"full_truck"}

    # By hand: the policy's own decisions in today's view.
    _, learned = export(tmp_path / "again")
    stock_count = read_stock_count(tmp_path / "state.csv", planner.schema)
    restore(planner.today, planner.make_start(stock_count))
    view = planner.today.view
    decided = planner.today.decide(learned.compute_targets(view), view)
    found = {
        (d.node, d.sku): d for d in recommendation.decisions if d.decision in {"order", "shipment"}
    }
    for k, sku in enumerate(("shirt", "lamp")):
        assert found["dc_0", sku].requested == decided.supplier_order[0, 0, k]
        for s, store in enumerate(("store_0", "store_1")):
            assert found[store, sku].requested == decided.shipment[0, s, k]
    gaps = learned.rule.compute_targets(view).supplier_gap[0, 0]
    assert found["dc_0", "shirt"].proposals["full_truck"] == gaps[0]


def test_recommend__goals_are_refused_where_nobody_holds_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with pytest.raises(InputError, match="goals: policy 'run' decides on every day anew"):
        recommend(tmp_path, Goals(day=1, options={}))

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SCENARIO.model_dump(mode="json")), "utf-8")
    arguments = ["recommend", "--policy", "policy.onnx", "--scenario", "mine.yaml"]
    arguments += ["--state", "state.csv"]
    assert run(monkeypatch, *arguments, "--goals", "goals.json") == 2
    assert "--goals: policy 'run' decides on every day anew" in capsys.readouterr().err
    assert not (tmp_path / "goals.json").exists()
    assert run(monkeypatch, *arguments, "--explain", "store_0", "shirt") == 0
    assert "full_truck" in capsys.readouterr().out


def test_adapt__refuses_a_network_that_the_rule_does_not_fit(tmp_path: Path) -> None:
    policy = OnnxPolicy.load(export(tmp_path)[0])
    with pytest.raises(InputError) as error:
        policy.adapt(load_scenario("tiny"))  # without trucks
    assert str(error.value).startswith("--scenario: tiny does not fit the policy 'run'; ")
    assert "dispatch needs costs.truck_capacity" in str(error.value)


def test_load__refuses_a_graph_of_other_choices(tmp_path: Path) -> None:
    path, _ = export(tmp_path)
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "residual":
            entry.value = entry.value.replace('["dispatch", "supplier_order"]', '["dispatch"]')
    onnx.save(model, path)
    with pytest.raises(InputError, match="is not a policy file"):
        OnnxPolicy.load(path)
