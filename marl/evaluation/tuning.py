"""Tuning of the classical families on the simulator, and the cache of what it found."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.policies import FAMILIES, check_baseline, make_policy
from marl.policies.base import ParameterSpace, Setting, TargetRule
from marl.policies.families import get_family
from marl.policies.tuned import TunedRule
from marl.runs.files import replace_file

# 16 episodes and 600 trials take 25 s on scenario `paper`; 1200 trials gain less than 1e-4 there.
# 8 episodes and 200 trials take a minute on `retail`; 400 trials gain 2e-4 there.
SMALL_BUDGET = (16, 600)  # episodes, trials
LARGE_BUDGET = (8, 200)
FEW_PARAMETERS = 8  # families with more get trials in proportion, and twice the episodes
LARGE = 10_000  # store-SKU-periods an episode
STEP_SIZE = 0.1  # initial standard deviation of the search, as a share of each range
FINE_STEP_SIZE = 0.03  # the same where the search starts at the optimum of a simpler family
BORDER_PENALTY = 0.01  # of leaving the ranges: reward per squared share of a range
CACHE_VERSION = 7  # raise when the simulator, a family or the search changes what is found

SAY_EVERY_S = 10.0  # how a search that takes long is getting on

Progress = Callable[[int, float], None]  # trials done, best reward so far
Say = Callable[[str], object]

_log = logging.getLogger(__name__)


class Search(TypedDict, total=False):
    """How to search, where it is not left to the scenario's size."""

    episodes: int | None  # of each trial, >= 1
    trials: int | None  # parameter vectors, rounded down to whole generations, at least one
    seed: int  # of the episodes and of the search
    progress: Progress | None  # called after each generation
    say: Say | None  # told every ten seconds how the search is getting on, and that it was cut
    place: str  # which family of how many it is, for what is said: "2 of 9"
    should_stop: Callable[[], bool] | None  # asked after each generation


def tune_family(
    family: str,
    scenario: Scenario,
    *,
    start: Mapping[str, float] | None = None,
    told: list[list[float]] | None = None,
    **search: Unpack[Search],
) -> TunedRule:
    """Searches a family's parameters for the highest mean reward (eq. 8) by CMA-ES.

    Every trial meets the same episodes, so that trials differ by their parameters alone. A whole
    generation runs as one batch, each trial in copies of its own. The search is free to leave the
    family's ranges and is evaluated at the nearest point inside: good shares lie on the border
    (0 or 1), which a search confined to the inside approaches slowly.

    Source: Hansen 2016, The CMA evolution strategy: a tutorial, arXiv:1604.00772.

    Args:
        family: a key of `FAMILIES`.
        scenario: what to simulate; recorded demand is taken from its training part.
        start: parameters to search around, in small steps; those left out begin at the family's
            own first guess. Without it the whole search begins there, in large steps.
        told: rewards of the generations that the same search got to before, which are not simulated
            again; those of the others are added.
        search: as of `Search`.

    Raises:
        InputError: if the family or a parameter is not known.
    """
    from cmaes import CMA

    rule, setting = get_family(family), Setting.from_scenario(scenario)
    space = rule.make_space(setting)
    seed, progress = search.get("seed", 0), search.get("progress")
    episodes, trials = choose_budget(
        scenario, len(space.parameters), search.get("episodes"), search.get("trials")
    )
    # Unlike Optuna's sampler, which deprecates its own starting point, this takes x0 and sigma.
    first = {**space.initial, **(start or {})}
    space.check(first)
    sigma = STEP_SIZE if start is None else FINE_STEP_SIZE
    optimizer = CMA(mean=_to_unit(space, first), sigma=sigma, seed=seed)
    size = optimizer.population_size
    seeds = np.tile(make_seeds("tune", seed, episodes), size)
    runner = EpisodeRunner(scenario, seeds, "train", batch_size=len(seeds))
    best, best_reward, tried = first, -np.inf, 0
    told = [] if told is None else told
    if any(len(rewards) != size for rewards in told):
        told.clear()
    should_stop = search.get("should_stop") or (lambda: False)
    while not tried or (tried + size <= trials and (tried < len(told) * size or not should_stop())):
        asked = np.stack([optimizer.ask() for _ in range(size)])
        if not tried:
            asked[0] = _to_unit(space, first)
        inside = np.clip(asked, 0, 1)
        if tried == len(told) * size:
            parameters = _from_unit(space, np.repeat(inside, episodes, axis=0))
            found = runner.run(rule(setting, parameters))["reward"].reshape(size, -1)
            told.append(found.mean(axis=1).tolist())
        rewards = np.array(told[tried // size])
        losses = BORDER_PENALTY * ((asked - inside) ** 2).sum(axis=1) - rewards
        optimizer.tell(list(zip(asked, losses.tolist(), strict=True)))
        tried += size
        i = int(rewards.argmax())
        if rewards[i] > best_reward:
            best_reward = float(rewards[i])
            best = {name: float(value) for name, value in _from_unit(space, inside[i]).items()}
        if progress is not None:
            progress(tried, best_reward)
    return TunedRule(family=family, parameters=best, reward=best_reward, trials=tried)


def choose_budget(
    scenario: Scenario,
    num_parameters: int,
    episodes: int | None = None,
    trials: int | None = None,
) -> tuple[int, int]:
    """Returns episodes of a trial and trials: what is given, else by scenario and family."""
    periods = len(scenario.network.stores) * len(scenario.skus) * scenario.horizon
    default_episodes, default_trials = LARGE_BUDGET if periods > LARGE else SMALL_BUDGET
    if num_parameters > FEW_PARAMETERS:
        # More freedom fits fewer episodes too closely, and takes longer to search.
        default_episodes *= 2
        default_trials = default_trials * num_parameters // FEW_PARAMETERS
    return episodes or default_episodes, trials or default_trials


def _to_unit(space: ParameterSpace, values: Mapping[str, float]) -> FloatArray:
    """Parameters as a point of the unit cube of their ranges, (D,)."""
    return np.array([(values[p.name] - p.low) / (p.high - p.low) for p in space.parameters])


def _from_unit(space: ParameterSpace, points: FloatArray) -> dict[str, FloatArray]:
    """Points of the unit cube, (..., D), as parameters, each (...)."""
    columns = np.moveaxis(points, -1, 0)
    return {
        p.name: p.low + (p.high - p.low) * column
        for p, column in zip(space.parameters, columns, strict=True)
    }


def load_or_tune(family: str, scenario: Scenario, **search: Unpack[Search]) -> TunedRule:
    """Returns what `tune_family` finds, from the cache if the same search was run before.

    A family that grows from a simpler one is searched around the simpler one's optimum, which is
    found first: 25 parameters at once lead a search astray that gets there easily from 17.

    A cache file that cannot be read or does not fit is ignored and written anew; a cache that
    cannot be written costs the next call its time, nothing else. A search that is cut, by
    `should_stop` or by a signal, goes on from there in the next call.

    Returns:
        The best parameters; of a search that was cut, those found so far.

    Raises:
        InputError: if the family is not known.
    """
    return _find_or_tune(family, scenario, search)[0]


def _find_or_tune(family: str, scenario: Scenario, search: Search) -> tuple[TunedRule, bool]:
    """What `load_or_tune` returns, and whether the search came to its end."""
    setting = Setting.from_scenario(scenario)
    space = get_family(family).make_space(setting)
    episodes, trials = choose_budget(
        scenario, len(space.parameters), search.get("episodes"), search.get("trials")
    )
    path = _locate_cache(family, scenario, episodes, trials, search.get("seed", 0))
    cached = _read_cache(path, space)
    if cached is not None:
        return cached, True
    simpler, start, is_whole = get_family(family).get_simpler(setting), None, True
    if simpler is not None:
        rule, is_whole = _find_or_tune(simpler, scenario, search)
        start = rule.parameters
    say = search.get("say") or (lambda _: None)
    rest = path.with_suffix(".cut.json")
    # A search that begins where a whole one would not leaves nothing to the next.
    told = _read_told(rest) if is_whole else None
    place = f"{family} ({search['place']})" if "place" in search else family
    progress = _make_progress(place, trials, say, partial(_keep_told, rest, told))
    asked: Search = {**search, "progress": search.get("progress") or progress}
    try:
        tuned = tune_family(family, scenario, start=start, told=told, **asked)
    except BaseException:
        _keep_told(rest, told)
        raise
    if told is None or tuned.trials + len(told[0]) <= trials:
        _keep_told(rest, told)
        say(f"tuning {family} is cut after {tuned.trials} of {trials} trials; the next goes on")
        return tuned, False
    _write_cache(path, tuned.model_dump_json(indent=2))
    with suppress(OSError):
        rest.unlink()
    return tuned, True


def _make_progress(place: str, trials: int, say: Say, keep: Callable[[], None]) -> Progress:
    """Every ten seconds says how far a search is, and keeps that much of it from being killed."""
    next_line = time.monotonic() + SAY_EVERY_S

    def progress(tried: int, reward: float) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + SAY_EVERY_S
            keep()
            say(f"tuning {place}: {tried} of {trials} trials, best reward {reward:.4f}")

    return progress


def read_tuned(family: str, scenario: Scenario) -> TunedRule | None:
    """Returns what a search with the default budget has found before; searches nothing.

    Raises:
        InputError: if the family is not known.
    """
    space = get_family(family).make_space(Setting.from_scenario(scenario))
    episodes, trials = choose_budget(scenario, len(space.parameters))
    return _read_cache(_locate_cache(family, scenario, episodes, trials, seed=0), space)


def make_baseline(name: str, scenario: Scenario, **search: Unpack[Search]) -> TargetRule:
    """Returns a classical policy ready to run: tuned, or from the cache, if it has parameters.

    Args as of `load_or_tune`.

    Raises:
        InputError: if the name is not one of `BASELINES`.
    """
    check_baseline(name)
    if name not in FAMILIES:
        return make_policy(name, scenario)
    return load_or_tune(name, scenario, **search).make(scenario)


def get_cache_dir() -> Path:
    """Returns `$OMNICHANNEL_CACHE`, else the user's cache folder; it need not exist."""
    chosen = os.environ.get("OMNICHANNEL_CACHE")
    if chosen:
        return Path(chosen)
    user_cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(user_cache) if user_cache else Path.home() / ".cache") / "omnichannel-marl"


def _locate_cache(family: str, scenario: Scenario, episodes: int, trials: int, seed: int) -> Path:
    key = f"{family}-{scenario.hash()}-e{episodes}-t{trials}-s{seed}-v{CACHE_VERSION}"
    return get_cache_dir() / "tuned" / f"{key}.json"


def _read_cache(path: Path, space: ParameterSpace) -> TunedRule | None:
    """What the file holds, or None if it is absent or not what `_write_cache` writes."""
    try:
        tuned = TunedRule.model_validate_json(path.read_bytes())
        space.check(tuned.parameters)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("cache file %s is ignored: %s", path, " ".join(str(error).split()))
        return None
    return tuned


def _read_told(path: Path) -> list[list[float]]:
    """The rewards of a search that was cut; none if there is no such file or it is damaged."""
    try:
        told = json.loads(path.read_bytes())
        return [[float(reward) for reward in rewards] for rewards in told]
    except (OSError, ValueError, TypeError):
        return []


def _keep_told(path: Path, told: list[list[float]] | None) -> None:
    if told:
        _write_cache(path, json.dumps(told))


def _write_cache(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
    except OSError as error:
        _log.warning("cache file %s is not written: %s", path, error)
