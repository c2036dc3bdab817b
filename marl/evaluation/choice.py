"""The best rule of a scenario, chosen on days that its parameters and forecasts have not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import Network
from envs.omnichannel.world.demand import Split
from envs.omnichannel.world.demand.traces import count_least_known
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.tuning import choose_budget, load_or_tune
from marl.policies import FAMILIES, list_families
from marl.policies.base import Setting
from marl.policies.tuned import TunedRule

_ORIGINS = (0.5, 0.75)  # of the training days; a rule is tuned before and scored after each
_TRIALS = 120  # of a family at an origin: enough to tell families apart, not to polish them
_EPISODES = 32  # that score a family


def choose_rule(
    scenario: Scenario, say: Callable[[str], object], minutes: float | None = None
) -> TunedRule:
    """Returns the best family, tuned on all training days.

    Recorded demand is cut at rolling origins: parameters are tuned on the days before and scored on
    the days after, all of them training days. Drawn demand has no days to keep apart, so families
    are scored on fresh episodes.

    Source: Tashman 2000, Out-of-sample tests of forecasting accuracy, IJF 16(4).

    Args:
        scenario: what to choose for.
        say: told what takes time.
        minutes: that tuning takes at most, shared out evenly; a search that is cut keeps what it
            found. None: as long as it takes.
    """
    families = list_families(scenario)
    scores = np.zeros(len(families))
    folds = make_folds(scenario)
    shares = TimeShares(minutes, 2 * len(folds) * len(families))  # the best one has half
    for f, fold in enumerate(folds):
        runner = make_runner(fold)
        for i, family in enumerate(families):
            place = f"{f * len(families) + i + 1} of {len(folds) * len(families)}"
            say(f"choosing the best rule: {family} ({place}), unless the cache has it ...")
            trials = _limit_trials(family, fold)
            stop = shares.make_stop()
            rule = load_or_tune(family, fold, trials=trials, say=say, place=place, should_stop=stop)
            scores[i] += runner.run(rule.make(fold))["reward"].mean()
    best = families[int(scores.argmax())]
    say(f"the best rule is {best}; tuning it, unless the cache has it ...")
    return load_or_tune(
        best, scenario, say=say, should_stop=shares.make_stop(len(folds) * len(families))
    )


class TimeShares:
    """A span of time, shared out among searches: what one does not need is left to the others."""

    def __init__(self, minutes: float | None, shares: int) -> None:
        """Begins now; there are so many shares, of None minutes without end."""
        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        self._left = shares

    def make_stop(self, shares: int = 1) -> Callable[[], bool]:
        """Returns what says when the next search, of so many shares, has had its part."""
        if self._end is None:
            return lambda: False
        now = time.monotonic()
        until = now + max(self._end - now, 0) * shares / max(self._left, shares)
        self._left -= shares
        return lambda: time.monotonic() >= until


def make_folds(scenario: Scenario) -> Sequence[Scenario]:
    """Returns the scenario as it was at each rolling origin: days after it are held back.

    Days beyond the training days are in none of them. Where the training days are too few for a
    fold, and where demand is drawn, it is the scenario itself.
    """
    demand = scenario.demand
    if not isinstance(demand, Trace):
        return (scenario,)
    folds, shortest = [], _count_shortest(scenario)
    least = 2 * count_least_known(scenario.cycle)
    ends = [*(round(share * demand.train_days) for share in _ORIGINS), demand.train_days]
    for origin, end in pairwise(ends):
        horizon = min(scenario.horizon, end - origin, origin - least)
        if horizon <= shortest or origin < least:
            continue
        known = demand.model_copy(update={"train_days": origin, "last_day": end})
        folds.append(scenario.model_copy(update={"demand": known, "horizon": horizon}))
    return folds or (scenario,)


def _count_shortest(scenario: Scenario) -> int:
    """Days that no fold may be shorter than: what is ordered must arrive and be sold within it."""
    network = Network.from_scenario(scenario)
    return max(int(network.lead_time.max()) + 1, network.cycle)


def make_runner(fold: Scenario) -> EpisodeRunner:
    """Returns the episodes that score: of days that a fold holds back, else of training days."""
    is_fold = isinstance(fold.demand, Trace) and fold.demand.last_day is not None
    split: Split = "evaluate" if is_fold else "train"
    return EpisodeRunner(fold, make_seeds("choose", 0, _EPISODES), split, _EPISODES)


def _limit_trials(family: str, fold: Scenario) -> int:
    """Trials of a family: few, as its parameters are kept for this choice alone."""
    space = FAMILIES[family].make_space(Setting.from_scenario(fold))
    _, trials = choose_budget(fold, len(space.parameters))
    return min(trials, _TRIALS)
