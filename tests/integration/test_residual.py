"""Residual agents on a real Ray: the volatile network, short episodes, few states."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.commands.prepare import tune_rules
from marl.config import TrainConfig, load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.methods import load_policy, make_method, write_policy
from marl.learning.pool.recorded import LabelBatch
from marl.learning.rllib.algorithm import MethodAlgorithm, build_algorithm
from marl.policies import FAMILIES, make_policy
from marl.policies.base import Setting
from marl.policies.choices import CHOICES
from marl.policies.residual import check_residual
from marl.policies.tuned import TunedRule

pytestmark = pytest.mark.usefixtures("ray_session")

SETTINGS = [
    "env_runners.num_envs_per_env_runner=4",
    "residual.reference=full_truck",
    "residual.choices=[dispatch, supplier_order]",
    "residual.states=32",
    "residual.dispatch_horizon=4",
    "residual.supplier_order_horizon=6",
    "learner.batch_size=32",
    "learner.hidden=[16]",
    "learner.env_steps_per_update=20",
]


def make_scenario() -> Scenario:
    data = load_scenario("volatile").model_dump(mode="json")
    return Scenario.model_validate({**data, "horizon": 30})


def make_config(*overrides: str) -> TrainConfig:
    return load_config("residual", [*SETTINGS, *overrides])


@contextmanager
def build(config: TrainConfig) -> Iterator[MethodAlgorithm]:
    algorithm = build_algorithm(make_method(make_scenario(), config), wait=False)
    try:
        yield algorithm
    finally:
        algorithm.stop()


def flatten(weights: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    return np.concatenate([v.ravel() for w in weights.values() for v in w.values()])


@pytest.mark.parametrize("runners", [0, 1])
def test_train__rounds_resume_exactly(tmp_path: Path, runners: int) -> None:
    config = make_config(f"env_runners.num_env_runners={runners}")
    with build(config) as algorithm:
        for _ in range(2):
            algorithm.train()
        # Two rounds of 4 episodes; the second one learnt from the first one's 120 env steps.
        assert (algorithm.episodes, algorithm.env_steps, algorithm.updates) == (8, 240, 6)
        assert algorithm.pool.num_transitions("dispatch") == 64
        assert np.isfinite(algorithm.learn_metrics["dispatch"]["td_error"])
        algorithm.save_to_path(tmp_path / "checkpoint")
        algorithm.train()
        expected = flatten(algorithm.get_averaged_weights())
    with build(config) as resumed:
        resumed.restore_from_path(tmp_path / "checkpoint")
        resumed.train()
        np.testing.assert_array_equal(flatten(resumed.get_averaged_weights()), expected)


def test_update__learns_what_options_save() -> None:
    config = make_config("env_runners.num_env_runners=0", "residual.choices=[supplier_order]")
    with build(config) as algorithm:
        learner = algorithm.learner_group._learner
        network = learner.module["supplier_order"].unwrapped().network
        rng = np.random.default_rng(0)
        shape = (300, 64, network.layers[0].in_features)
        features = rng.normal(size=shape).astype(np.float16)
        savings = np.zeros((300, 64, network.head.out_features), np.float32)
        savings[..., 3] = features[..., 0]  # option 3 saves what the first feature says
        batch = LabelBatch({"supplier_order": features}, {"supplier_order": savings})
        algorithm.learner_group.update(batch=batch)
        averaged = make_method(make_scenario(), config).make_policy(
            algorithm.get_averaged_weights(), "learned"
        )
    values = averaged.networks["supplier_order"]  # type: ignore[attr-defined]
    with torch.no_grad():
        q = values(torch.from_numpy(features[-1]).float()).numpy()
    saved = q[:, 3] - np.delete(q, 3, axis=1).mean(axis=1)
    assert np.corrcoef(saved, features[-1, :, 0])[0, 1] > 0.9


def test_save_policy__loads_as_it_was(tmp_path: Path) -> None:
    scenario, config = make_scenario(), make_config("residual.choices=[dispatch,supplier_order]")
    method = make_method(scenario, config)
    with build(config) as algorithm:
        weights = algorithm.get_averaged_weights()
    for values in weights.values():
        values["head.bias"] = np.linspace(0, 1, len(values["head.bias"]), dtype=np.float32)
    write_policy(tmp_path / "policy.npz", method, weights)
    loaded = load_policy(tmp_path / "policy.npz", scenario, "mine")
    assert loaded.name == "mine"
    seeds = make_seeds("test", 0, 2)
    expected, found, rule = (
        EpisodeRunner(scenario, seeds, "train").run(policy)["reward"]
        for policy in (
            method.make_policy(weights, "x"), loaded, make_policy("full_truck", scenario),
        )
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    assert (found != rule).all()
    with pytest.raises(InputError, match="num_features 46 in dispatch; scenario paper needs 44"):
        load_policy(tmp_path / "policy.npz", load_scenario("paper"), "mine")


def test_make_untrained__is_the_rule() -> None:
    scenario = make_scenario()
    seeds = make_seeds("test", 0, 2)
    untrained = make_method(scenario, make_config()).make_untrained()
    expected = EpisodeRunner(scenario, seeds, "train").run(make_policy("full_truck", scenario))
    found = EpisodeRunner(scenario, seeds, "train").run(untrained)
    np.testing.assert_array_equal(found["reward"], expected["reward"])


@pytest.mark.parametrize(
    ("scenario", "overrides", "message"),
    [
        ("paper", [], "residual.choices: dispatch needs costs.truck_capacity"),
        ("volatile", ["residual.reference=before"], "residual.reference: 'before' is not known"),
        ("volatile", ["residual.dispatch_horizon=101"], "dispatch_horizon: 101 is not allowed; at"),
    ],
)
def test_check_residual__refuses_in_one_line(
    scenario: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        check_residual(load_scenario(scenario), make_config(*overrides).residual)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_tune_rules__finds_choices_and_the_best_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    rewards = {"order_up_to": 0.4, "forecast_order_up_to": 0.6, "full_truck_by_sku": 0.5}

    def tune(family: str, scenario: Scenario, **_: object) -> TunedRule:
        space = FAMILIES[family].make_space(Setting.from_scenario(scenario))
        return TunedRule(family=family, parameters=space.initial, reward=rewards[family], trials=1)

    monkeypatch.setattr("marl.evaluation.tuning.load_or_tune", tune)
    for name, choices in (("paper", ("supplier_order",)), ("volatile", tuple(CHOICES))):
        found = tune_rules(load_scenario(name), load_config("residual"), quiet=True).residual
        assert found.choices == choices
        assert found.reference == "forecast_order_up_to"
        assert found.parameters is not None

    without = load_config("residual", ["evaluation.baselines=[before]"])
    with pytest.raises(InputError, match="best is not allowed, since no family is among"):
        tune_rules(load_scenario("paper"), without, quiet=True)
    with pytest.raises(InputError, match="parameters is not allowed with reference best"):
        load_config("residual", ["residual.parameters={a: 1}"])
