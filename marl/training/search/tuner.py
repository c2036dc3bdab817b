"""Ray Tune over training configurations: trials, early stopping (ASHA) or mutation (PBT)."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any

from ray import tune
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search.basic_variant import BasicVariantGenerator
from rich.console import Console

from marl.training.search.plan import TUNE_FOLDER, Search
from marl.training.search.results import TrialResult, Values, format_values, read_result
from marl.training.search.space import Dimension, Space, apply_values
from marl.training.search.trial import Trial

MAX_FAILURES = 2  # of a trial, such as a lost node, before it is given up

# In percent of a trial, whatever limit it has.
_ASHA_GRACE = 11
_ASHA_REDUCTION = 3  # so trials are compared at 11%, 33% and 99%
_PBT_INTERVAL = 20


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
        Console(markup=False, emoji=False).print(line, highlight=False, soft_wrap=True)


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
            str(search.tune_folder), trainable, resume_unfinished=True, resume_errored=True
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
