"""The pool in actors: the same learning, and what happens when one dies."""

from pathlib import Path

import pytest
import ray
from rich.console import Console

from envs.omnichannel.scenario import Scenario
from marl.config import load_config
from marl.errors import RunError
from marl.runs.checkpoints import Part, verify_checkpoint
from marl.runs.folder import RunFolder
from marl.training.progress import TrainingProgress
from marl.training.trainer import Trainer
from tests.distributed.test_faults import SETTINGS, assert_same, build

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_session"),
]

# Several calls a round, so that batches are drawn ahead.
ACTORS = ["pool.placement=actor", "learner.env_steps_per_update=4"]


def train(scenario: Scenario, rounds: int, *overrides: str) -> dict[str, Part]:
    with build(scenario, *overrides) as algorithm:
        for _ in range(rounds):
            algorithm.train()
        assert algorithm.updates > 32
        return algorithm.make_snapshot()


def test_pool_actor__learns_what_the_drivers_pool_learns(tiny: Scenario) -> None:
    one = "env_runners.num_env_runners=1"

    in_driver = train(tiny, 4, one, "learner.env_steps_per_update=4")
    in_actor = train(tiny, 4, one, *ACTORS)

    assert_same(in_driver, in_actor)


def test_pool_actors__resume_bit_for_bit_on_two_shards(tiny: Scenario, tmp_path: Path) -> None:
    settings = [*ACTORS, "pool.num_shards=2"]
    with build(tiny, *settings) as algorithm:
        for _ in range(3):
            algorithm.train()
        algorithm.save_to_path(tmp_path)
        for _ in range(3):
            algorithm.train()
        expected = algorithm.make_snapshot()
    assert {"pool", "pool_1"} <= expected.keys()

    with build(tiny, *settings) as algorithm:
        algorithm.restore_from_path(tmp_path)
        for _ in range(3):
            algorithm.train()
        assert_same(expected, algorithm.make_snapshot())


@pytest.mark.parametrize("moment", ["sampling", "sampling here", "learning"])
def test_pool_actors__a_lost_one_ends_the_run_with_the_way_to_go_on(
    tiny: Scenario, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*SETTINGS, *ACTORS, "pool.num_shards=2", "evaluation.interval_episodes=32"]
    if moment == "sampling here":  # as it is before the first runner has started
        settings.append("env_runners.num_env_runners=0")
    run = RunFolder.create(tmp_path / "run", tiny, load_config("default", settings))
    trainer = Trainer(run, TrainingProgress(Console(), quiet=True))
    algorithm, rounds = trainer.algorithm, 0
    learn = algorithm._learn

    def lose_a_shard_then_learn() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 4:
            ray.kill(algorithm.pool.shards[1])
            if moment.startswith("sampling"):
                return
        learn()

    monkeypatch.setattr(algorithm, "_learn", lose_a_shard_then_learn)
    try:
        with pytest.raises(RunError) as error:
            trainer.train()
    finally:
        trainer.close()

    latest = run.find_checkpoint("latest")
    assert str(error.value) == (
        "a shard of the experience pool is lost, and its episodes with it; the last whole one is "
        f"{latest.name}; go on from it with: omnichannel resume {run.path} --checkpoint "
        f"{latest.name}"
    )
    verify_checkpoint(latest)
