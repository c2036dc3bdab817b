"""The strongest rule of a scenario, its tuning, and what it costs at every service level."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.statistics import compute_paired_interval
from marl.evaluation.tuning import load_or_tune, tune_family
from marl.policies import make_policy
from marl.policies.tuned import TunedRule
from scripts.reproduction.common import (
    RUNS,
    choose_best,
    describe_policy,
    run_families,
    scale,
    show,
)

STRICTER = (1.25, 1.6, 2.0)  # penalties of the rules that are tuned for more service
LADDER_TRIALS = 600  # of each of those, from the optimum of the one before
MOST_DOUBLINGS = 2  # of the best rule's trials
FLAT = 0.001  # of the loss, alpha - reward: a doubling that saves less ends the search


@dataclass(frozen=True)
class Tuning:
    """What one budget of the search came to."""

    tuned: TunedRule
    metrics: EpisodeMetrics  # on the fresh episodes


def find_best_rule(
    scenario: Scenario, runner: EpisodeRunner
) -> tuple[TunedRule, dict[str, EpisodeMetrics], list[Tuning]]:
    """Runs every family, tuned, and doubles the best one's trials until it gains nothing.

    Returns:
        The rule, the metrics of all families with the rule's best, and the budgets of the search.
    """
    found = run_families(scenario, runner)
    family = choose_best(found)
    rounds = list(tune_until_flat(family, scenario, runner))
    strongest = choose_budget(rounds)
    found[family] = strongest.metrics
    return strongest.tuned, found, rounds


def tune_until_flat(
    family: str,
    scenario: Scenario,
    runner: EpisodeRunner,
    episodes: int | None = None,
    trials: int | None = None,
    start: Mapping[str, float] | None = None,
) -> Iterator[Tuning]:
    """Doubles a family's trials until that saves less than 0.1% of the loss on fresh episodes.

    Args:
        family: to tune.
        scenario: to tune it for.
        runner: with the fresh episodes.
        episodes: of each trial; the tuner's own choice if left out.
        trials: to begin with; the tuner's own choice if left out.
        start: parameters to search around; the family's first guess if left out.
    """
    trials = trials or load_or_tune(family, scenario, episodes=episodes).trials
    loss = np.inf
    for doubling in range(MOST_DOUBLINGS + 1):
        budget = trials * 2**doubling
        if start is None:
            tuned = load_or_tune(family, scenario, episodes=episodes, trials=budget)
        else:
            tuned = tune_family(family, scenario, episodes=episodes, trials=budget, start=start)
        metrics = runner.run(make_policy(family, scenario, tuned.parameters))
        print(f"{family}, {tuned.trials} trials: {metrics['reward'].mean():.4f}", flush=True)
        yield Tuning(tuned, metrics)
        before, loss = loss, scenario.reward.alpha - float(metrics["reward"].mean())
        if loss > (1 - FLAT) * before:
            return


def choose_budget(rounds: Sequence[Tuning]) -> Tuning:
    """The budget that served a family best on the fresh episodes."""
    return max(rounds, key=lambda entry: float(entry.metrics["reward"].mean()))


def describe_tuning(entry: Tuning) -> dict[str, Any]:
    """One row of the budgets' table."""
    return {
        "trials": entry.tuned.trials,
        "reward_while_tuning": entry.tuned.reward,
        **describe_policy("", entry.metrics),
    }


def tabulate_tuning(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines on the budgets of a search."""
    yield "| trials | reward on the tuning episodes | on fresh episodes | cost a day |"
    yield "|---|---|---|---|"
    for row in rows:
        yield (
            f"| {row['trials']} | {row['reward_while_tuning']:.4f} | {show(row['reward'], 4)} | "
            f"{show(row['cost/total'], 1)} |"
        )


def climb_ladder(
    rule: TunedRule, scenario: Scenario, runner: EpisodeRunner
) -> Iterator[EpisodeMetrics]:
    """The rule tuned for more and more service, each step from the one before."""
    start = dict(rule.parameters)
    for factor in STRICTER:
        dearer = price_lost_sales(scenario, factor)
        file = RUNS / f"ladder-{rule.family}-{scenario.hash()}-{factor:g}.json"
        if file.is_file():
            start = json.loads(file.read_text(encoding="utf-8"))
        else:
            start = tune_family(
                rule.family, dearer, episodes=32, trials=LADDER_TRIALS, start=start
            ).parameters
            RUNS.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(start), encoding="utf-8")
        metrics = runner.run(make_policy(rule.family, scenario, start))
        print(f"{rule.family} x{factor:g}: {metrics['on_time'].mean():.4f} on time", flush=True)
        yield metrics


def price_lost_sales(scenario: Scenario, factor: float) -> Scenario:
    """The scenario with dearer lost sales, for rules that are to serve more."""
    data = scenario.model_dump(mode="json")
    data["costs"]["lost_sale"] *= factor
    for sku in data["skus"]:
        for name in ("store_lost_sale", "online_lost_sale", "pickup_lost_sale"):
            if sku.get(name) is not None:
                sku[name] *= factor
    return Scenario.model_validate(data)


def compare_with_ladder(
    metrics: EpisodeMetrics, ladder: Sequence[EpisodeMetrics]
) -> dict[str, Any]:
    """One policy against the best rule, and against that rule at equal service.

    Args:
        metrics: of the policy.
        ladder: of the rule tuned for more and more service, in the same episodes.
    """
    rule = ladder[0]
    equal = mix_to_service(ladder, float(metrics["on_time"].mean()))
    cost = float(rule["cost/total"].mean())
    return {
        "gain": asdict(compute_paired_interval(metrics["reward"], rule["reward"])),
        "saved_share": scale(
            compute_paired_interval(rule["cost/total"], metrics["cost/total"]), cost
        ),
        "saved_share_at_equal_service": scale(
            compute_paired_interval(equal["cost/total"], metrics["cost/total"]),
            float(equal["cost/total"].mean()),
        ),
        "on_time": float(metrics["on_time"].mean()),
        "served": float(metrics["served"].mean()),
        "on_time_of_the_equal_rule": float(equal["on_time"].mean()),
    }


def mix_to_service(ladder: Sequence[EpisodeMetrics], on_time: float) -> dict[str, FloatArray]:
    """Metrics of the rule that is on time as often: the mixture of two neighbours by a coin.

    Args:
        ladder: the rule tuned for more and more service.
        on_time: to meet; beyond the ladder's ends it is the end itself.
    """
    means = np.array([float(metrics["on_time"].mean()) for metrics in ladder])
    order = np.argsort(means)
    place = float(np.interp(on_time, means[order], np.arange(len(order))))
    low, high = order[int(place)], order[min(int(place) + 1, len(order) - 1)]
    weight = place - int(place)
    return {
        name: (1 - weight) * ladder[low][name] + weight * ladder[high][name]
        for name in ("reward", "cost/total", "on_time")
    }
