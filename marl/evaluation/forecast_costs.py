"""Costs of forecasts: one rule by each of them, and by an oracle that knows the coming days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from envs.errors import InputError
from envs.omnichannel.forecast import boosted
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Recorded
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.choice import make_folds, make_runner
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.statistics import Interval, compute_mean_interval, compute_paired_interval
from marl.forecasting.backtest import Score, back_test_scenario
from marl.policies.base import Setting
from marl.policies.families import SafetyStocks

ALL = "all"
METHODS: tuple[Recorded, ...] = get_args(Recorded)
_ORACLE = "oracle"
_BAND = "90%"
_SAFETY = np.linspace(0.5, 3.5, 7)  # z that are tried on the days before an origin
_EPISODES = 8  # of each z

Costs = dict[str, FloatArray]  # metric -> values by episode


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How well sums over so many periods were foreseen, all cells and origins together."""

    periods: int
    wape: float  # absolute errors, as a share of what was sold
    log_score: float  # mean of -log probability of what was sold; lower is better
    held: float  # by the 90% band, see `measure_coverage`


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """A forecast by accuracy and by cost, on the days after the rolling origins."""

    method: str
    accuracy: tuple[Accuracy, ...]  # of the next day, and of the next week
    z: tuple[float, ...]  # by origin
    cost: Interval  # money a period
    on_time: Interval  # share
    error: Interval  # money a period more than by the oracle
    more: Interval  # money a period more than by the cheapest method


@dataclass(frozen=True, kw_only=True)
class ForecastChoice:
    """All methods, in the order in which they were asked for, and the cheapest of them."""

    chosen: str
    oracle: Interval  # money a period of the rule that knows the coming days
    methods: tuple[MethodResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


def check_methods(names: Sequence[str]) -> tuple[Recorded, ...]:
    """Returns the methods that a user names; `all` stands for all that are installed.

    Raises:
        InputError: names what is not known and what is allowed.
    """
    found: dict[Recorded, None] = {}
    for name in names:
        own = [
            method
            for method in METHODS
            if method == name or (name == ALL and _is_installed(method))
        ]
        if not own:
            allowed = ", ".join((*METHODS, ALL))
            raise InputError(f"--methods: {name!r} is not known; allowed: {allowed}")
        found |= dict.fromkeys(own)
    return tuple(found)


def _is_installed(method: Recorded) -> bool:
    return method != boosted.NAME or boosted.can_boost()


def compare_methods(
    scenario: Scenario, methods: Sequence[Recorded], say: Callable[[str], object]
) -> ForecastChoice:
    """Returns what the textbook's order-up-to rule costs by each forecast.

    The training days are cut at rolling origins. Of each method one z is chosen on the days before
    and scored on the days after, so that no forecast pays for a z that suits another. The held-back
    days are not touched. What a method costs more than the oracle, which knows each coming day, is
    the cost of its errors.

    Args:
        scenario: whose demand is recorded.
        methods: to be compared.
        say: told what takes time.
    """
    folds = make_folds(scenario)
    oracle = _run_all(folds, _ORACLE, (0.0,))[0]["cost/total"]
    ran, accuracy = {}, {}
    for method in methods:
        say(f"forecasts by {method}: on the days after {len(folds)} origins ...")
        ran[method] = _run_all(folds, method, tuple(_SAFETY))
        accuracy[method] = _judge([_replace(fold, method) for fold in folds])
    chosen = min(methods, key=lambda method: float(ran[method][0]["cost/total"].mean()))
    best = ran[chosen][0]["cost/total"]
    return ForecastChoice(
        chosen=chosen,
        oracle=compute_mean_interval(oracle),
        methods=tuple(
            MethodResult(
                method=method,
                accuracy=accuracy[method],
                z=z,
                cost=compute_mean_interval(costs["cost/total"]),
                on_time=compute_mean_interval(costs["on_time"]),
                error=compute_paired_interval(costs["cost/total"], oracle),
                more=compute_paired_interval(costs["cost/total"], best),
            )
            for method, (costs, z) in ran.items()
        ),
    )


def _run_all(
    folds: Sequence[Scenario], method: str, safety: Sequence[float]
) -> tuple[Costs, tuple[float, ...]]:
    """Costs after all origins, episode by episode, and the z of each."""
    chosen, found = [], []
    for fold in folds:
        own = _replace(fold, method)
        chosen.append(_choose_z(own, safety) if len(safety) > 1 else safety[0])
        found.append(make_runner(own).run(_make_rule(own, chosen[-1])))
    costs = {name: np.concatenate([f[name] for f in found]) for name in ("cost/total", "on_time")}
    return costs, tuple(chosen)


def _choose_z(fold: Scenario, safety: Sequence[float]) -> float:
    """The z of least cost on the days before the origin; all are tried at once."""
    seeds = np.tile(make_seeds("choose z", 0, _EPISODES), len(safety))
    runner = EpisodeRunner(fold, seeds, "train", batch_size=len(seeds))
    cost = runner.run(_make_rule(fold, np.repeat(safety, _EPISODES)))["cost/total"]
    return float(safety[int(cost.reshape(len(safety), _EPISODES).mean(axis=1).argmin())])


def _make_rule(scenario: Scenario, z: float | FloatArray) -> SafetyStocks:
    """The rule with the same z at all stores and DCs; all else is as it is untuned."""
    setting = Setting.from_scenario(scenario)
    values: dict[str, float | FloatArray] = dict(SafetyStocks.make_space(setting).initial)
    values |= {name: z for name in values if "_z_" in name}
    return SafetyStocks(setting, values)


def _judge(folds: Sequence[Scenario]) -> tuple[Accuracy, ...]:
    """Accuracy on the days after the origins: means over the forecasts of all cells."""
    spans = tuple(dict.fromkeys((1, folds[0].cycle)))
    tests = [back_test_scenario(fold, spans).scores for fold in folds]
    scores = [score for test in tests for score in test if score.cells == ALL]
    return tuple(_average([s for s in scores if s.days == days]) for days in spans)


def _average(scores: Sequence[Score]) -> Accuracy:
    weights = np.array([score.forecasts for score in scores], dtype=np.float64)
    weights /= weights.sum()
    units = weights * [score.units for score in scores]
    return Accuracy(
        periods=scores[0].days,
        wape=float(units @ [score.wape for score in scores] / units.sum()),
        log_score=float(weights @ [score.log_score for score in scores]),
        held=float(weights @ [score.coverage[_BAND] for score in scores]),
    )


def _replace(scenario: Scenario, method: str) -> Scenario:
    forecast = scenario.forecast.model_copy(update={"method": method})
    return scenario.model_copy(update={"forecast": forecast})
