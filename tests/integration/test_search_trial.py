"""What population based training does to a trial: another's checkpoint, other settings."""

from pathlib import Path
from typing import Any

import pytest

from envs.omnichannel.scenario import Scenario
from marl.config import TrainConfig, apply_overrides
from marl.training.search.trial import Trial

pytestmark = pytest.mark.slow

SMALL = [
    "env_runners.num_env_runners=0", "env_runners.num_envs_per_env_runner=8",
    "pool.min_env_steps=100", "pool.capacity_env_steps=4000", "learner.batch_size=32",
    "learner.env_steps_per_update=16", "evaluation.interval_episodes=16",
    "evaluation.validation_episodes=2", "stop.episodes=64",
]  # fmt: skip


def make_trial(values: dict[str, Any], scenario: Scenario) -> Trial:
    """A trial as Ray Tune's actor holds it, without the actor."""
    trial = Trial.__new__(Trial)
    base = apply_overrides(TrainConfig().model_dump(mode="json"), SMALL)
    trial.setup(values, scenario=scenario.model_dump(mode="json"), base=base)
    return trial


def test_trial__goes_on_from_another_with_its_own_settings(
    ray_session: None, tiny: Scenario, tmp_path: Path
) -> None:
    good = make_trial({"learner.lr": 1e-3}, tiny)
    first = good.step()
    good.save_checkpoint(str(tmp_path))
    good.cleanup()

    poor = make_trial({"learner.lr": 2e-3}, tiny)
    poor.load_checkpoint(tmp_path)
    second = poor.step()
    trainee = poor._trainer.algorithm.local_learner.trainees["modules"]
    lr = trainee.optimizer.param_groups[0]["lr"]
    config = poor._trainer.run.config
    poor.cleanup()

    assert (first["episodes"], second["episodes"]) == (8, 16)
    assert (first["percent"], second["percent"]) == (12.5, 25)
    assert config.learner.lr == 2e-3
    # Annealed a little from its own rate, not from the checkpoint's.
    assert 1.9e-3 < lr <= 2e-3
