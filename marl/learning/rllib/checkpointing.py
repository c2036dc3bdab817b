"""RLlib's part of a checkpoint: what to build an algorithm from, and where it stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.tune.result import TIME_TOTAL_S, TRAINING_ITERATION

from envs.validation import LARGEST
from marl.learning.methods import make_method
from marl.learning.rllib.base_config import BaseConfig
from marl.runs.checkpoints import DamagedError, Part, read_part
from marl.runs.folder import read_settings, write_settings

PART = "rllib"
EVALUATED = "evaluated_episodes"
# What a run is told beside the method; what a machine has to offer is not kept.
_NUMBERS = (
    "min_time_s_per_iteration",
    "min_sample_timesteps_per_iteration",
    "evaluation_interval",
)
_EPISODES = "evaluation_config"


def write_own(folder: Path, algorithm: Any) -> None:
    """Writes the settings, RLlib's ones too but for code, and RLlib's counters."""
    config: BaseConfig = algorithm.config
    method = algorithm.method
    write_settings(folder, method.scenario, method.config)
    tree = {
        TRAINING_ITERATION: algorithm.training_iteration,
        TIME_TOTAL_S: algorithm._time_total,
        EVALUATED: algorithm.evaluator.episodes,
        **{name: getattr(config, name) for name in (*_NUMBERS, _EPISODES)},
    }
    Part.freeze(tree).write(folder, PART)


def restore_own(folder: Path, algorithm: Any) -> None:
    """Restores RLlib's counters; a checkpoint of a run folder has an iteration a round."""
    found = {TRAINING_ITERATION: algorithm.rounds, TIME_TOTAL_S: 0.0, EVALUATED: 0}
    found |= _read_own(folder)
    algorithm._iteration = int(found[TRAINING_ITERATION])
    algorithm._time_total = float(found[TIME_TOTAL_S])
    algorithm._time_since_restore, algorithm._iterations_since_restore = 0.0, 0
    algorithm.evaluator.episodes = int(found[EVALUATED])
    lifetime = {
        "is_leaf": False,
        "is_root": True,
        "stats_cls_identifier": "lifetime_sum",
        "track_throughputs": False,
        "latest_merged": 0.0,
        "lifetime_sum": float(algorithm.env_steps),
    }
    name = f"{ENV_RUNNER_RESULTS}--{NUM_ENV_STEPS_SAMPLED_LIFETIME}"
    algorithm.metrics.set_state({"stats": {name: lifetime}})


def read_config(folder: Path, algo_class: Any) -> BaseConfig:
    """Returns the configuration that a checkpoint was trained with; callbacks are not in it.

    Args:
        folder: of `save_to_path`, or a checkpoint in a run folder.
        algo_class: that is to run it.

    Raises:
        InputError: if it is not such a folder, or damaged.
    """
    own = _read_own(folder)
    scenario, settings = read_settings(folder if own else folder.parent.parent)
    config = BaseConfig.from_method(make_method(scenario, settings), algo_class)
    for name in _NUMBERS if own else ():
        setattr(config, name, own[name])
    config.evaluation_config = own.get(_EPISODES, config.evaluation_config)
    return config


def _read_own(folder: Path) -> dict[str, Any]:
    """Returns RLlib's part; empty: there is none.

    Raises:
        DamagedError: if it is not what `write_own` wrote.
    """
    if not (folder / f"{PART}.json").exists():
        return {}
    own = read_part(folder, PART)
    counts = (TRAINING_ITERATION, TIME_TOTAL_S, EVALUATED)
    is_whole = isinstance(own, dict) and all(
        type(own.get(name, ...)) in ((int, float) if name in counts else (int, float, type(None)))
        and 0 <= (own[name] or 0) < LARGEST
        for name in (*counts, *_NUMBERS)
    )
    if not is_whole:
        raise DamagedError(f"checkpoint: part {PART} of '{folder}' is damaged")
    return own
