from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import TrainConfig, load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.methods import load_policy, make_method, write_policy
from marl.learning.pool.recorded import LabelBatch
from marl.learning.rllib.algorithm import MethodAlgorithm, build_algorithm

pytestmark = pytest.mark.usefixtures("ray_session")

SETTINGS = [
    "env_runners.num_envs_per_env_runner=4",
    "orders.states=32",
    "learner.batch_size=32",
    "learner.hidden=[16]",
    "learner.env_steps_per_update=50",
]


def make_config(*overrides: str) -> TrainConfig:
    return load_config("orders", [*SETTINGS, *overrides])


@contextmanager
def build(scenario: str, config: TrainConfig) -> Iterator[MethodAlgorithm]:
    algorithm = build_algorithm(make_method(load_scenario(scenario), config), wait=False)
    try:
        yield algorithm
    finally:
        algorithm.stop()


def flatten(weights: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    return np.concatenate([v.ravel() for w in weights.values() for v in w.values()])


@pytest.mark.parametrize(
    ("scenario", "runners", "group"), [("lost_sales", 0, "store_order"), ("owmr", 1, "dc_order")]
)
def test_train__rounds_resume_exactly(
    tmp_path: Path, scenario: str, runners: int, group: str
) -> None:
    config = make_config(f"env_runners.num_env_runners={runners}", "learner.n_step=3")
    with build(scenario, config) as algorithm:
        for _ in range(3):
            algorithm.train()
        # Three rounds of 4 episodes; the third one learnt from 800 env steps.
        assert (algorithm.episodes, algorithm.env_steps, algorithm.updates) == (12, 1200, 16)
        assert algorithm.pool.num_transitions(group) == 96
        assert np.isfinite(algorithm.learn_metrics[group]["td_error"])
        algorithm.save_to_path(tmp_path / "checkpoint")
        algorithm.train()
        expected = flatten(algorithm.get_averaged_weights())
    with build(scenario, config) as resumed:
        resumed.restore_from_path(tmp_path / "checkpoint")
        resumed.train()
        np.testing.assert_array_equal(flatten(resumed.get_averaged_weights()), expected)


def test_update__values_what_an_order_leads_to() -> None:
    """A chain: ordering 0 units leads to 1 unit on hand, which returns 1; all else returns 0."""
    config = make_config("learner.gamma=0.5", "learner.lr=0.01")
    with build("lost_sales", config) as algorithm:
        network = algorithm.learner_group._learner.module["store_order"].unwrapped().network
        options = network.num_options
        features = np.zeros((400, 64, 1 + options, 2), np.float16)
        features[:, :, 1, 0] = 1  # what is seen after order 0; after all others nothing changes
        features[:, 32:, 0, 0] = 1
        savings = np.zeros((400, 64, options), np.float32)
        savings[:, 32:] = 1.0
        batch = LabelBatch({"store_order": features}, {"store_order": savings})
        algorithm.learner_group.update(batch=batch)
        with torch.no_grad():
            values = network(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).numpy()
    # V(1) - V(0) = 1: the order of 0 leads there from both, and is worth gamma of it.
    np.testing.assert_allclose(values[:, 0] - values[:, 1:].mean(axis=1), 0.5, atol=0.05)
    np.testing.assert_allclose(values[1] - values[0], 1.0, atol=0.05)


@pytest.mark.parametrize("scenario", ["lost_sales", "owmr"])
def test_save_policy__loads_as_it_was(tmp_path: Path, scenario: str) -> None:
    loaded_scenario, config = load_scenario(scenario), make_config()
    method = make_method(loaded_scenario, config)
    with build(scenario, config) as algorithm:
        weights = algorithm.get_averaged_weights()
    for values in weights.values():
        values["values.head.bias"] += np.arange(len(values["values.head.bias"]), dtype=np.float32)
    write_policy(tmp_path / "policy.npz", method, weights)
    loaded = load_policy(tmp_path / "policy.npz", loaded_scenario, "mine")
    assert loaded.name == "mine"
    seeds = make_seeds("test", 0, 2)
    expected, found, untrained = (
        EpisodeRunner(loaded_scenario, seeds, "train").run(policy)["reward"]
        for policy in (method.make_policy(weights, "x"), loaded, method.make_untrained())
    )
    np.testing.assert_array_equal(found, expected)
    assert (found != untrained).all()
    other = "owmr" if scenario == "lost_sales" else "lost_sales"
    with pytest.raises(InputError, match=rf"policy: 'mine' .*; scenario {other} needs"):
        load_policy(tmp_path / "policy.npz", load_scenario(other), "mine")
