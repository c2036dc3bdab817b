"""Ray Tune over training configurations: trials, early stopping (ASHA) or mutation (PBT).

SEARCH/config.yaml scenario.yaml search.yaml   what was asked for
SEARCH/tune/trial_00000/                       Ray Tune's own: results, events, checkpoints
SEARCH/results.json                            every trial, and the best one on fresh episodes
SEARCH/best/                                   the best trial's run folder, up to its best moment
"""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from ray import tune
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search.basic_variant import BasicVariantGenerator
from rich.console import Console
from rich.table import Table

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from envs.validation import Count, StrictModel, parse_yaml, read_text, validate_model
from marl.config import TrainConfig
from marl.errors import RunError
from marl.runs.files import write_text
from marl.runs.folder import RunFolder
from marl.training.progress import TrainingProgress
from marl.training.search_results import (
    TrialResult,
    Values,
    format_value,
    format_values,
    read_result,
)
from marl.training.search_space import Dimension, Space, apply_values, parse_space
from marl.training.trainer import Trainer

Scheduler = Literal["asha", "pbt"]

TUNE_FOLDER = "tune"
SEARCH_FILE = "search.yaml"
MAX_FAILURES = 2  # of a trial, such as a lost node, before it is given up

# In percent of a trial, whatever limit it has.
_ASHA_GRACE = 11
_ASHA_REDUCTION = 3  # so trials are compared at 11%, 33% and 99%
_PBT_INTERVAL = 20


class _Plan(StrictModel):
    """What `search.yaml` holds."""

    scheduler: Scheduler
    num_samples: Count
    space: list[str]


@dataclass(frozen=True)
class Search:
    """A search on disk.

    Attributes:
        run: scenario and configuration that the trials share.
        scheduler: who stops or changes trials.
        num_samples: trials.
        space: what varies.
    """

    run: RunFolder
    scheduler: Scheduler
    num_samples: int
    space: Space

    @classmethod
    def create(cls, run: RunFolder, scheduler: Scheduler, num_samples: int, space: Space) -> Self:
        """Makes a search of a new run folder."""
        plan = _Plan(scheduler=scheduler, num_samples=num_samples, space=[str(d) for d in space])
        write_text(run.path / SEARCH_FILE, yaml.safe_dump(plan.model_dump(), sort_keys=False))
        return cls(run, scheduler, num_samples, space)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a search that was interrupted or is done.

        Raises:
            InputError: if the folder holds none.
        """
        if not (path / SEARCH_FILE).is_file() or not tune.Tuner.can_restore(_name_tune(path)):
            raise InputError(f"--resume: '{path}' holds no search; give a folder of `search`")
        data = parse_yaml(read_text(path / SEARCH_FILE, "--resume"), SEARCH_FILE)
        plan = validate_model(_Plan, data, SEARCH_FILE)
        space = parse_space(plan.space)
        return cls(RunFolder.open(path), plan.scheduler, plan.num_samples, space)

    def count_runners(self) -> int:
        """The most EnvRunner actors that a trial can have."""
        path = "env_runners.num_env_runners"
        values = [x for d in self.space if d.path == path for x in d.list_extremes()]
        return max(values or [self.run.config.env_runners.num_env_runners])


class Trial(tune.Trainable):
    """One run of the search; a step of Ray Tune trains up to the next validation."""

    def setup(self, config: Values, *, scenario: Any = None, base: Any = None) -> None:
        """Builds the run.

        Args:
            config: this trial's values by path.
            scenario: of all trials.
            base: the configuration that all trials share.
        """
        # Of this actor only: Ray Tune keeps the checkpoints, and a trial may move between nodes.
        self._folder = Path(tempfile.mkdtemp(prefix="omnichannel-trial-"))
        run = RunFolder.create(
            self._folder / "run",
            Scenario.model_validate(scenario),
            apply_values(config, TrainConfig.model_validate(base)),
        )
        self._trainer = Trainer(run, TrainingProgress(Console(quiet=True), quiet=True))

    def step(self) -> dict[str, Any]:
        """Trains and validates."""
        metrics = self._trainer.advance()
        fraction = self._trainer.fraction
        return {
            **metrics,
            "percent": min(100.0 * fraction, 100.0),
            "episodes": self._trainer.algorithm.episodes,
            "done": fraction >= 1,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Copies the run's latest checkpoint, under its name."""
        latest = self._trainer.run.find_checkpoint("latest")
        shutil.copytree(latest, Path(checkpoint_dir) / latest.name)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Goes on from a checkpoint of this trial, or of another one (PBT)."""
        name = adopt_checkpoint(self._trainer.run, Path(checkpoint))
        self._trainer.restore(self._trainer.run.open_checkpoint(name))

    def reset_config(self, new_config: Values) -> bool:
        """Becomes another trial, or this one with other values (PBT), in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Stops the runners."""
        self._trainer.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class ProgressLines(tune.Callback):
    """Prints a line for every validation of a trial.

    Ray Tune stores its callbacks with the search, so the console is made when it is needed.
    """

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Where a trial stands."""
        running = sum(not other.is_finished() for other in trials)
        self._say(
            f"{trial}  {result['percent']:3.0f}%  reward {result['reward']:.4f}  "
            f"{format_values(trial.config)}  ({running} of {self.num_samples} trials open)"
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A failure; Ray Tune tries again, see `MAX_FAILURES`."""
        self._say(f"{trial}  failed, see {trial.path}")

    def _say(self, line: str) -> None:
        Console().print(line, highlight=False, soft_wrap=True)


def run_search(search: Search, *, resume: bool, quiet: bool) -> list[TrialResult]:
    """Runs the trials that are not done, until all are or the user interrupts.

    Ray must have been started. A trial that is interrupted goes on from its last validation.

    Args:
        search: what to run.
        resume: whether to go on with what Ray Tune has stored.
        quiet: whether to show no progress.

    Returns:
        A result for each trial that was started, the best first.
    """
    # Ray's newer console output cannot be turned off, nor what it says of an interrupt.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    trainable = _make_trainable(search)
    if resume:
        tuner = tune.Tuner.restore(
            _name_tune(search.run.path), trainable, resume_unfinished=True, resume_errored=True
        )
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={d.path: _make_domain(d) for d in search.space},
            tune_config=tune.TuneConfig(
                metric="reward",
                mode="max",
                num_samples=search.num_samples,
                scheduler=_make_scheduler(search),
                search_alg=BasicVariantGenerator(random_state=search.run.config.seed),
                reuse_actors=True,  # importing torch and Ray takes seconds for each process
                trial_name_creator=_name_trial,
                trial_dirname_creator=_name_trial,
            ),
            run_config=tune.RunConfig(
                name=TUNE_FOLDER,
                storage_path=str(search.run.path.resolve()),
                callbacks=[] if quiet else [ProgressLines(search.num_samples)],
                checkpoint_config=tune.CheckpointConfig(
                    num_to_keep=1,  # besides the latest
                    checkpoint_score_attribute="reward",
                    checkpoint_frequency=1,
                ),
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                verbose=0,
            ),
        )
    results = [read_result(result) for result in tuner.fit()]
    return sorted(
        results,
        key=lambda r: -float("inf") if r.best_reward is None else r.best_reward,
        reverse=True,
    )


def is_finished(search: Search, results: list[TrialResult]) -> bool:
    """Whether every trial was started and ended."""
    return len(results) == search.num_samples and all(r.status != "unfinished" for r in results)


def save_best(search: Search, results: list[TrialResult]) -> RunFolder:
    """Makes SEARCH/best of the best trial.

    Raises:
        RunError: if no trial got as far as a validation.
    """
    best = results[0] if results else None
    if best is None or best.checkpoint is None:
        raise RunError(
            f"search '{search.run.path}': no trial reached a validation; see the error.txt files "
            f"in {_name_tune(search.run.path)}"
        )
    path = search.run.path / "best"
    shutil.rmtree(path, ignore_errors=True)
    run = RunFolder.create(path, search.run.scenario, apply_values(best.values, search.run.config))
    adopt_checkpoint(run, best.checkpoint)
    return run


def adopt_checkpoint(run: RunFolder, folder: Path) -> str:
    """Copies the checkpoint that a folder of Ray Tune holds into a run; returns its name."""
    (checkpoint,) = (path for path in folder.iterdir() if path.is_dir())
    shutil.copytree(checkpoint, run.checkpoints / checkpoint.name, dirs_exist_ok=True)
    for pointer in ("best", "latest"):
        write_text(run.checkpoints / pointer, checkpoint.name)
    return checkpoint.name


def write_results(search: Search, results: list[TrialResult], best: Any = None) -> None:
    """Writes results.json.

    Args:
        search: whose.
        results: of its trials.
        best: the best trial's evaluation on fresh episodes, if the search is done.
    """
    data = {
        "scheduler": search.scheduler,
        "num_samples": search.num_samples,
        "space": [str(dimension) for dimension in search.space],
        "trials": [result.to_json() for result in results],
        "best": best and {**results[0].to_json(), "evaluation": best},
    }
    write_text(search.run.path / "results.json", json.dumps(data, indent=2))


def make_table(search: Search, results: list[TrialResult]) -> Table:
    """A row for each trial, the best first."""
    table = Table(box=None)
    for name in ("trial", "status", "done, %", "reward", "best reward"):
        table.add_column(name, justify="left" if name in {"trial", "status"} else "right")
    for dimension in search.space:
        table.add_column(dimension.path, justify="right")
    for result in results:
        rewards = (result.reward, result.best_reward)
        table.add_row(
            result.name,
            result.status,
            f"{result.percent:.0f}",
            *("-" if reward is None else f"{reward:.4f}" for reward in rewards),
            *(format_value(result.values.get(d.path, "-")) for d in search.space),
        )
    return table


def _name_tune(path: Path) -> str:
    return str((path / TUNE_FOLDER).resolve())


def _name_trial(trial: Any) -> str:
    return f"trial_{trial.trial_id.rpartition('_')[2]}"


def _make_trainable(search: Search) -> Any:
    """The trial's class with what all trials share, and what a trial needs."""
    base = search.run.config

    def make_resources(values: Values) -> Any:
        num_env_runners = apply_values(values, base).env_runners.num_env_runners
        # The first bundle is the trial's own process, which learns.
        return tune.PlacementGroupFactory([{"CPU": 1.0}] * (1 + num_env_runners))

    parameters = {
        "scenario": search.run.scenario.model_dump(mode="json"),
        "base": base.model_dump(mode="json"),
    }
    return tune.with_resources(tune.with_parameters(Trial, **parameters), make_resources)


def _make_domain(dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return tune.choice(list(dimension.values))
    return getattr(tune, dimension.kind)(*dimension.values)


def _make_scheduler(search: Search) -> TrialScheduler:
    if search.scheduler == "asha":
        return AsyncHyperBandScheduler(
            time_attr="percent",
            max_t=100,
            grace_period=_ASHA_GRACE,
            reduction_factor=_ASHA_REDUCTION,
        )
    mutations = {
        d.path: list(d.values) if d.kind == "choice" else _make_domain(d) for d in search.space
    }
    return PopulationBasedTraining(
        time_attr="percent",
        perturbation_interval=_PBT_INTERVAL,
        hyperparam_mutations=mutations,
        custom_explore_fn=functools.partial(_clip, search.space),
    )


def _clip(space: Space, values: Values) -> Values:
    """PBT multiplies values by 0.8 or 1.2, which can leave the space."""
    return values | {d.path: d.clip(values[d.path]) for d in space}
