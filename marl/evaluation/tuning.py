"""Tuning of the classical families on the simulator, and the cache of what it found."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envs.omnichannel.scenario import InputError, Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.policies import FAMILIES, check_baseline, make_policy
from marl.policies.base import ParameterSpace, Setting, TargetRule, TunableRule

if TYPE_CHECKING:
    import optuna

# 32 episodes and 150 trials are where twice as many stop paying on scenario `paper`.
EPISODES = 32
TRIALS = 150
CACHE_VERSION = 1  # raise when the simulator, a family or the search changes what is found

Progress = Callable[[int, float], None]  # trials done, best reward so far

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TunedParameters:
    """The best member of a family that a search found."""

    parameters: dict[str, float]
    reward: float  # eq. 8, mean over the tuning episodes: optimistic, for it was maximised
    trials: int


def tune_family(
    family: str,
    scenario: Scenario,
    *,
    episodes: int = EPISODES,
    trials: int = TRIALS,
    seed: int = 0,
    progress: Progress | None = None,
) -> TunedParameters:
    """Searches a family's parameters for the highest mean reward (eq. 8) by CMA-ES.

    Every trial meets the same episodes, so that trials differ by their parameters alone. The
    first trial is the family's initial guess.

    Source: Hansen 2016, The CMA evolution strategy: a tutorial, arXiv:1604.00772.

    Args:
        family: a key of `FAMILIES`.
        scenario: what to simulate; recorded demand is taken from its training part.
        episodes: of each trial, >= 1.
        trials: parameter vectors to try, >= 1.
        seed: of the episodes and of the search.
        progress: called after each trial.

    Raises:
        InputError: if the family is not known.
    """
    import optuna

    rule = get_family(family)
    setting = Setting.from_scenario(scenario)
    space = rule.make_space(setting)
    seeds = make_seeds("tune", seed, episodes)
    runner = EpisodeRunner(scenario, seeds, "train", batch_size=max(episodes, 1))

    def compute_reward(trial: optuna.Trial) -> float:
        values = {p.name: trial.suggest_float(p.name, p.low, p.high) for p in space.parameters}
        return float(runner.run(rule(setting, values))["reward"].mean())

    def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if progress is not None:
            progress(trial.number + 1, study.best_value)

    study = _make_study(space, seed)
    study.optimize(compute_reward, n_trials=trials, callbacks=[report])
    return TunedParameters(dict(study.best_params), study.best_value, trials)


def _make_study(space: ParameterSpace, seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.CmaEsSampler(x0=dict(space.initial), seed=seed)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    # CMA-ES starts around x0 but never tries x0 itself.
    study.enqueue_trial(space.initial)
    return study


def load_or_tune(
    family: str,
    scenario: Scenario,
    *,
    episodes: int = EPISODES,
    trials: int = TRIALS,
    seed: int = 0,
    progress: Progress | None = None,
) -> TunedParameters:
    """Returns what `tune_family` finds, from the cache if the same search was run before.

    A cache file that cannot be read or does not fit is ignored and written anew; a cache that
    cannot be written costs the next call its time, nothing else.

    Raises:
        InputError: if the family is not known.
    """
    space = get_family(family).make_space(Setting.from_scenario(scenario))
    key = f"{family}-{scenario.hash()}-e{episodes}-t{trials}-s{seed}-v{CACHE_VERSION}"
    path = get_cache_dir() / "tuned" / f"{key}.json"
    cached = _read_cache(path, space)
    if cached is not None:
        return cached
    tuned = tune_family(
        family, scenario, episodes=episodes, trials=trials, seed=seed, progress=progress
    )
    _write_cache(path, tuned)
    return tuned


def make_baseline(
    name: str,
    scenario: Scenario,
    *,
    episodes: int = EPISODES,
    trials: int = TRIALS,
    seed: int = 0,
    progress: Progress | None = None,
) -> TargetRule:
    """Returns a classical policy ready to run: tuned, or from the cache, if it has parameters.

    Raises:
        InputError: if the name is not one of `BASELINES`.
    """
    check_baseline(name)
    if name not in FAMILIES:
        return make_policy(name, scenario)
    tuned = load_or_tune(
        name, scenario, episodes=episodes, trials=trials, seed=seed, progress=progress
    )
    return make_policy(name, scenario, tuned.parameters)


def get_family(name: str) -> type[TunableRule]:
    """Returns a family by name.

    Raises:
        InputError: names the value and what is allowed.
    """
    if name not in FAMILIES:
        raise InputError(f"family: {name!r} is not known; allowed: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def get_cache_dir() -> Path:
    """Returns `$OMNICHANNEL_CACHE`, else the user's cache folder; it need not exist."""
    chosen = os.environ.get("OMNICHANNEL_CACHE")
    if chosen:
        return Path(chosen)
    user_cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(user_cache) if user_cache else Path.home() / ".cache") / "omnichannel-marl"


def _read_cache(path: Path, space: ParameterSpace) -> TunedParameters | None:
    """What the file holds, or None if it is absent or not what `_write_cache` writes."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tuned = TunedParameters(
            parameters={str(k): float(v) for k, v in content["parameters"].items()},
            reward=float(content["reward"]),
            trials=int(content["trials"]),
        )
        space.check(tuned.parameters)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("cache file %s is ignored: %s", path, error)
        return None
    return tuned


def _write_cache(path: Path, tuned: TunedParameters) -> None:
    """Writes to a temporary name and renames it, so that no reader meets half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False
        ) as file:
            json.dump(asdict(tuned), file, indent=2)
        Path(file.name).replace(path)
    except OSError as error:
        _log.warning("cache file %s is not written: %s", path, error)
