"""A learning method is added by its own code and one line in `METHODS`."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.nn import functional

from envs.omnichannel.scenario import Scenario
from marl.config import load_config
from marl.learning.dqn.agents import AgentsMethod
from marl.learning.dqn.update import take
from marl.learning.methods import METHODS, load_policy, make_method, write_policy
from marl.learning.pool.experience_pool import Batch
from marl.learning.rllib.algorithm import build_algorithm
from marl.learning.trainee import Losses, Trainee

SETTINGS = [
    "env_runners.num_env_runners=0",
    "env_runners.num_envs_per_env_runner=8",
    "pool.min_env_steps=100",
    "learner.batch_size=32",
    "learner.hidden=[16]",
]


class MonteCarloMethod(AgentsMethod):
    """Agents that learn the sums of rewards alone and bootstrap nothing."""

    name: ClassVar[str] = "monte_carlo"

    def compute_losses(
        self, name: str, trainee: Trainee, batch: Batch, update: int, number: int
    ) -> Losses:
        del name, number
        target = torch.from_numpy(batch.r_t[update])
        observed = torch.from_numpy(batch.obs_tm1[update]).float()
        values = take(trainee.online(observed), torch.from_numpy(batch.a_tm1[update]))
        errors = (target - values.detach()).abs()
        return Losses(total=functional.mse_loss(values, target), errors=errors)


@pytest.mark.usefixtures("ray_session")
def test_method__one_line_adds_it_to_the_one_shell(
    tiny: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, MonteCarloMethod.name, MonteCarloMethod)
    config: Any = load_config("default", SETTINGS).model_copy(update={"method": "monte_carlo"})
    method = make_method(tiny, config)

    algorithm = build_algorithm(method)
    try:
        for _ in range(3):
            algorithm.train()
        assert algorithm.updates > 0
        weights = algorithm.get_averaged_weights()
    finally:
        algorithm.stop()
    write_policy(tmp_path / "policy.npz", method, weights)

    loaded: Any = load_policy(tmp_path / "policy.npz", tiny)
    learnt = loaded.networks["ordering_low"].head.bias.detach().numpy()
    np.testing.assert_array_equal(learnt, weights["ordering_low"]["head.bias"])
    assert np.unique(learnt).size > 2
