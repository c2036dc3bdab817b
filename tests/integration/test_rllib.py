"""RLlib's and Tune's own calls on the algorithm, in the tiny scenario."""

import pickletools
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.rllib.algorithms.algorithm import Algorithm

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import MethodAlgorithm
from marl.learning.rllib.config import MethodConfig
from marl.runs.checkpoints import Part, write_manifest
from marl.runs.folder import write_settings

pytestmark = pytest.mark.usefixtures("ray_session")

SETTINGS = [
    "env_runners.num_env_runners=0",
    "env_runners.num_envs_per_env_runner=8",
    "pool.min_env_steps=100",
    "pool.capacity_env_steps=600",
    "learner.batch_size=32",
    "learner.hidden=[16]",
    "evaluation.validation_episodes=5",
]
ROUND = 8 * 14  # env steps


@pytest.fixture
def config(tiny: Scenario) -> MethodConfig:
    return MethodConfig.from_method(make_method(tiny, load_config("default", SETTINGS)))


def run_validation(algorithm: MethodAlgorithm, seed: int, *, skip: int, count: int) -> float:
    """The mean reward as the training loop itself would find it."""
    seeds = make_seeds("validation", seed, count, skip=skip)
    policy = algorithm.method.make_policy(algorithm.get_averaged_weights(), "learned")
    metrics = EpisodeRunner(algorithm.method.scenario, seeds, "train").run(policy)
    return float(metrics["reward"].mean())


def evaluate(algorithm: MethodAlgorithm) -> Any:
    return algorithm.evaluate()["env_runners"]


def test_evaluate__runs_the_averaged_policy_on_the_validation_episodes(
    config: MethodConfig,
) -> None:
    algorithm = config.build_algo()
    for _ in range(4):
        algorithm.train()
    found = evaluate(algorithm)
    assert found["reward"] == run_validation(algorithm, 0, skip=0, count=5)
    assert found["episode_return_mean"] == pytest.approx(found["reward"] * 14)
    assert found["episode_return_min"] < found["episode_return_max"]
    assert (found["num_episodes"], found["num_env_steps_sampled"]) == (5, 5 * 14)
    assert evaluate(algorithm) == found
    algorithm.stop()


def test_evaluation__is_run_every_so_often_with_as_many_episodes_as_asked(
    config: MethodConfig,
) -> None:
    calls: list[Any] = []
    config.evaluation(evaluation_interval=2, evaluation_duration=70)
    config.callbacks(
        on_evaluate_start=lambda algorithm, **_: calls.append(algorithm.training_iteration),
        on_evaluate_end=lambda evaluation_metrics, **_: calls.append(evaluation_metrics),
    )
    algorithm = config.build_algo()
    results = [algorithm.train() for _ in range(4)]
    assert ["evaluation" in result for result in results] == [False, True, False, True]
    last = results[-1]["evaluation"]
    assert last["env_runners"]["num_episodes"] == 70
    assert last["env_runners"]["reward"] == pytest.approx(
        run_validation(algorithm, 0, skip=0, count=70), rel=1e-12
    )
    assert [calls[0], calls[2]] == [1, 3]
    assert calls[3] == last
    assert algorithm.eval_env_runner_group is None  # no process waits for what the driver does
    algorithm.stop()


def test_evaluation__runs_other_episodes_where_it_is_asked_to(
    config: MethodConfig, tmp_path: Path
) -> None:
    algorithm = config.copy().evaluation(evaluation_config={"seed": 3}).build_algo()
    assert evaluate(algorithm)["reward"] == run_validation(algorithm, 3, skip=0, count=5)
    algorithm.stop()

    config.evaluation(evaluation_config={"seed": None})
    algorithm = config.build_algo()
    for skip in (0, 5, 10):
        found = evaluate(algorithm)["reward"]
        assert found == run_validation(algorithm, 0, skip=skip, count=5)
    algorithm.save_to_path(tmp_path)
    again = MethodAlgorithm.from_checkpoint(tmp_path)
    assert evaluate(again)["reward"] == run_validation(algorithm, 0, skip=15, count=5)
    for each in (algorithm, again):
        each.stop()


def assert_goes_on(restored: MethodAlgorithm, result: dict[str, Any]) -> None:
    """The next iteration is that of the algorithm that was saved."""
    found = restored.train()
    for name in ("training_iteration", "num_env_steps_sampled_lifetime"):
        assert found[name] == result[name], name
    for name in ("num_env_steps_sampled_lifetime", "episode_return_mean"):
        assert found["env_runners"][name] == result["env_runners"][name], name
    assert found["time_total_s"] > found["time_since_restore"]
    restored.stop()


def test_restore__counters_go_on_however_it_is_asked_for(
    config: MethodConfig, tmp_path: Path
) -> None:
    config.evaluation(evaluation_interval=3)
    algorithm = config.build_algo()
    for _ in range(3):
        algorithm.train()
    path = Path(algorithm.save_to_path(tmp_path / "own"))
    saved = algorithm.save(str(tmp_path / "tune"))
    result = algorithm.train()
    algorithm.stop()
    assert result["training_iteration"] == 4
    assert result["num_env_steps_sampled_lifetime"] == 4 * ROUND
    kinds = {file.suffix for file in path.iterdir()}
    assert kinds == {".json", ".npz", ".yaml", ".msgpack", ".pkl"}

    trained = config.build_algo()
    trained.train()  # what it counted before is gone
    trained.restore_from_path(path)
    assert_goes_on(trained, result)

    classes: Any = (MethodAlgorithm, Algorithm)  # which users of RLlib call
    for found, cls in product((path, str(path), path.as_uri(), saved.checkpoint), classes):
        if found == path.as_uri() and cls is Algorithm:
            continue  # get_checkpoint_info of RLlib takes it, its from_checkpoint does not
        made = cls.from_checkpoint(found)
        assert type(made) is MethodAlgorithm
        assert made.training_iteration == 3
        assert made.config.evaluation_interval == 3
        assert_goes_on(made, result)

    for found in (saved, saved.checkpoint.path):
        made = config.build_algo()
        made.restore(found)
        assert_goes_on(made, result)


def test_from_checkpoint__takes_another_configuration_as_rllib_does(
    config: MethodConfig, tmp_path: Path
) -> None:
    algorithm = config.build_algo()
    algorithm.train()
    algorithm.save_to_path(tmp_path)
    algorithm.stop()

    made: Any = Algorithm.from_checkpoint(str(tmp_path), config=config.training(lr=0.25))
    assert made.method.config.learner.lr == 0.25
    assert made.training_iteration == 1
    made.stop()


def test_checkpoint__holds_one_pickle_which_names_the_class_and_nothing_else(
    config: MethodConfig, tmp_path: Path
) -> None:
    class Wrapped(MethodAlgorithm):
        """As Tune wraps classes."""

    algorithm = Wrapped(config)
    algorithm.save_to_path(tmp_path)
    algorithm.stop()

    (pickled,) = tmp_path.glob("*.pkl")
    found = list(pickletools.genops(pickled.read_bytes()))
    assert [argument for _, argument, _ in found if isinstance(argument, str)] == [
        "class", "marl.learning.rllib.algorithm", "MethodAlgorithm",
        "ctor_args_and_kwargs", "config", "of the checkpoint",
    ]  # fmt: skip
    names = {opcode.name for opcode, _, _ in found}
    assert "STACK_GLOBAL" in names
    assert not names & {"REDUCE", "BUILD", "NEWOBJ", "INST", "OBJ"}  # nothing is called


def test_from_checkpoint__of_ours_reads_no_pickle(config: MethodConfig, tmp_path: Path) -> None:
    algorithm = config.build_algo()
    algorithm.save_to_path(tmp_path)
    algorithm.stop()
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "class_and_ctor_args.pkl").write_bytes(b"cos\nabort\n(tR.")
    write_manifest(tmp_path)

    MethodAlgorithm.from_checkpoint(tmp_path).stop()


def test_save_and_restore__refuse_what_has_no_effect(config: MethodConfig, tmp_path: Path) -> None:
    algorithm = config.build_algo()
    with pytest.raises(InputError, match="rllib: path 's3://b/c' is not allowed; save into a loc"):
        algorithm.save_to_path("s3://b/c")
    with pytest.raises(InputError, match="component 'learner_group' is not allowed"):
        algorithm.restore_from_path(tmp_path, component="learner_group")
    algorithm.stop()


def test_from_checkpoint__takes_those_of_run_folders(
    config: MethodConfig, tiny: Scenario, tmp_path: Path
) -> None:
    algorithm = config.build_algo()
    for _ in range(3):
        algorithm.train()
    folder = tmp_path / "checkpoints" / "000024"
    folder.mkdir(parents=True)
    write_settings(tmp_path, tiny, algorithm.method.config)
    for name, part in algorithm.make_snapshot().items():
        part.write(folder, name)
    write_manifest(folder)
    result = algorithm.train()
    algorithm.stop()

    made = MethodAlgorithm.from_checkpoint(folder)
    assert made.training_iteration == 3  # an iteration a round
    assert (
        made.train()["num_env_steps_sampled_lifetime"] == result["num_env_steps_sampled_lifetime"]
    )
    made.stop()


@pytest.mark.parametrize(
    "content", [[], {}, {"training_iteration": "3"}, {"training_iteration": -1}], ids=repr
)
def test_from_checkpoint__a_damaged_part_is_one_line(
    config: MethodConfig, tmp_path: Path, content: Any
) -> None:
    algorithm = config.build_algo()
    algorithm.save_to_path(tmp_path)
    algorithm.stop()
    (tmp_path / "manifest.json").unlink()
    Part.freeze(content).write(tmp_path, "rllib")
    write_manifest(tmp_path)

    with pytest.raises(InputError) as raised:
        MethodAlgorithm.from_checkpoint(tmp_path)
    assert str(raised.value) == f"checkpoint: part rllib of '{tmp_path}' is damaged"


@pytest.mark.slow
def test_tune__a_grid_over_lr_has_different_trials_that_are_restored(
    config: MethodConfig, tmp_path: Path
) -> None:
    rates = [1e-4, 0.25]
    tuner = tune.Tuner(
        MethodAlgorithm,
        param_space=config.training(lr=tune.grid_search(rates)),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path),
            stop={"training_iteration": 4},
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    )
    found = sorted(tuner.fit(), key=lambda result: result.config["lr"])
    assert [result.config["lr"] for result in found] == rates
    weights = []
    for result in found:
        assert result.metrics
        assert result.metrics["training_iteration"] == 4
        algorithm = MethodAlgorithm.from_checkpoint(result.checkpoint)
        assert algorithm.method.config.learner.lr == result.config["lr"]
        weights.append(algorithm.get_averaged_weights()["ordering_low"])
        assert algorithm.train()["training_iteration"] == 5
        algorithm.stop()
    assert any(not np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def fail_once(result: dict[str, Any], *, marker: Path, **_: Any) -> None:
    """A callback that breaks a trial at its third iteration, the first time it comes there."""
    if result["training_iteration"] == 3 and not marker.exists():
        marker.touch()
        raise RuntimeError("broken")


@pytest.mark.slow
def test_tune__a_broken_search_goes_on_from_its_checkpoints(
    config: MethodConfig, tmp_path: Path
) -> None:
    config.callbacks(on_train_result=partial(fail_once, marker=tmp_path / "failed"))
    tuner = tune.Tuner(
        MethodAlgorithm,
        param_space=config,
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(tmp_path),
            stop={"training_iteration": 4},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
        ),
    )
    (broken,) = tuner.fit()
    assert broken.error

    again = tune.Tuner.restore(
        str(tmp_path / "search"), trainable=MethodAlgorithm, resume_errored=True
    )
    (found,) = again.fit()
    assert found.error is None
    assert found.metrics
    assert found.metrics["training_iteration"] == 4
    assert found.metrics["iterations_since_restore"] == 2
    assert found.metrics["num_env_steps_sampled_lifetime"] == 4 * ROUND
