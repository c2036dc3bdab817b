"""`contest`: residual agents against every classical family, tuned, as is and at equal service."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import trim_mean

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.metrics import EpisodeMetrics
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.statistics import compute_paired_interval
from marl.evaluation.tuning import TunedParameters, load_or_tune, tune_family
from marl.policies import make_policy
from marl.policy_sources import load_learned
from scripts.reproduction.common import (
    EPISODES,
    RUNS,
    SEED,
    choose_best,
    describe_policy,
    run_families,
    scale,
    show,
    train,
    write_result,
)

STRICTER = (1.25, 1.6, 2.0)  # penalties of the rules that are tuned for more service
LADDER_TRIALS = 600  # of each of those, from the optimum of the one before
CONTEST_MINUTES = 2.0
MOST_DOUBLINGS = 2  # of the best rule's trials
FLAT = 0.001  # of the cost: a doubling that saves less ends the search


def run_contest(options: argparse.Namespace) -> None:
    """Residual agents against every tuned family."""
    scenario = load_scenario(options.scenario)
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, EPISODES), "evaluate", EPISODES)
    found = run_families(scenario, runner)
    best = choose_best(found)
    rounds = list(tune_until_flat(best, scenario, runner))
    strongest = max(rounds, key=lambda entry: float(entry.metrics["reward"].mean()))
    parameters, found[best] = strongest.tuned.parameters, strongest.metrics
    ladder = [found[best], *climb_ladder(best, scenario, parameters, runner)]
    seeds = []
    for seed in range(options.seeds):
        run = train(
            f"{scenario.name}-{options.minutes:g}min-{seed}",
            *("--scenario", options.scenario, "--config", "residual", "--seed", str(seed)),
            *("--minutes", f"{options.minutes:g}", "--set", f"residual.reference={best}"),
            *("--set", f"residual.parameters={json.dumps(parameters)}"),
            *("--set", "env_runners.num_env_runners=0"),
            one_core=True,
        )
        learnt = runner.run(load_learned(run.find_checkpoint("best"), "learned", scenario))
        seeds.append(compare_seed(seed, learnt, ladder))
        print(json.dumps(seeds[-1]), flush=True)
    result = {
        "command": f"scripts/reproduce.py contest --scenario {options.scenario} "
        f"--seeds {options.seeds} --minutes {options.minutes:g}",
        "episodes": EPISODES,
        "minutes": options.minutes,
        "best_classical": best,
        "tuning": [describe_tuning(entry) for entry in rounds],
        "policies": [describe_policy(name, metrics) for name, metrics in found.items()],
        "stricter": [
            describe_policy(f"{best} x{f:g}", m) for f, m in zip(STRICTER, ladder[1:], strict=True)
        ],
        "seeds": seeds,
    }
    length = "" if options.minutes == CONTEST_MINUTES else f"-{options.minutes:g}min"
    write_result(f"contest-{scenario.name}{length}", result, tabulate_contest(result))


@dataclass(frozen=True)
class Tuning:
    """What one budget of the search came to."""

    tuned: TunedParameters
    metrics: EpisodeMetrics  # on the fresh episodes


def tune_until_flat(family: str, scenario: Scenario, runner: EpisodeRunner) -> Iterator[Tuning]:
    """Doubles a family's trials until that saves less than 0.1% of the cost on fresh episodes."""
    trials = load_or_tune(family, scenario).trials
    cost = np.inf
    for doubling in range(MOST_DOUBLINGS + 1):
        tuned = load_or_tune(family, scenario, trials=trials * 2**doubling)
        metrics = runner.run(make_policy(family, scenario, tuned.parameters))
        print(f"{family}, {tuned.trials} trials: {metrics['reward'].mean():.4f}", flush=True)
        yield Tuning(tuned, metrics)
        before, cost = cost, float(metrics["cost/total"].mean())
        if cost > (1 - FLAT) * before:
            return


def describe_tuning(entry: Tuning) -> dict[str, Any]:
    """One row of the budgets' table."""
    return {
        "trials": entry.tuned.trials,
        "reward_while_tuning": entry.tuned.reward,
        **describe_policy("", entry.metrics),
    }


def climb_ladder(
    family: str, scenario: Scenario, parameters: Mapping[str, float], runner: EpisodeRunner
) -> Iterator[EpisodeMetrics]:
    """The rule tuned for more and more service, each step from the one before."""
    start = dict(parameters)
    for factor in STRICTER:
        dearer = price_lost_sales(scenario, factor)
        file = RUNS / f"ladder-{family}-{scenario.hash()}-{factor:g}.json"
        if file.is_file():
            start = json.loads(file.read_text(encoding="utf-8"))
        else:
            start = tune_family(
                family, dearer, episodes=32, trials=LADDER_TRIALS, start=start
            ).parameters
            RUNS.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(start), encoding="utf-8")
        metrics = runner.run(make_policy(family, scenario, start))
        print(f"{family} x{factor:g}: {metrics['on_time'].mean():.4f} on time", flush=True)
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


def compare_seed(seed: int, learnt: EpisodeMetrics, ladder: list[EpisodeMetrics]) -> dict[str, Any]:
    """One trained policy against the best rule, and against that rule at equal service."""
    rule = ladder[0]
    equal = mix_to_service(ladder, float(learnt["on_time"].mean()))
    cost = float(rule["cost/total"].mean())
    return {
        "seed": seed,
        "gain": asdict(compute_paired_interval(learnt["reward"], rule["reward"])),
        "saved_share": scale(
            compute_paired_interval(rule["cost/total"], learnt["cost/total"]), cost
        ),
        "saved_share_at_equal_service": scale(
            compute_paired_interval(equal["cost/total"], learnt["cost/total"]),
            float(equal["cost/total"].mean()),
        ),
        "on_time": float(learnt["on_time"].mean()),
        "served": float(learnt["served"].mean()),
        "on_time_of_the_equal_rule": float(equal["on_time"].mean()),
    }


def mix_to_service(ladder: list[EpisodeMetrics], on_time: float) -> dict[str, FloatArray]:
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


def tabulate_contest(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    best = result["best_classical"]
    yield "| policy | reward | on time, % | served, % | cost a day |"
    yield "|---|---|---|---|---|"
    for row in (*result["policies"], *result["stricter"]):
        yield (
            f"| {row['name']} | {show(row['reward'], 4)} | {show(row['on_time'], 2, 100)} | "
            f"{show(row['served'], 2, 100)} | {show(row['cost/total'], 1)} |"
        )
    yield ""
    yield f"`{best} xF` is the rule tuned with lost sales F times as dear, for equal service below."
    yield f"The budget of `{best}`:"
    yield ""
    yield "| trials | reward on the tuning episodes | on fresh episodes | cost a day |"
    yield "|---|---|---|---|"
    for row in result["tuning"]:
        yield (
            f"| {row['trials']} | {row['reward_while_tuning']:.4f} | {show(row['reward'], 4)} | "
            f"{show(row['cost/total'], 1)} |"
        )
    yield ""
    minutes = f"{result['minutes']:g} minutes on one core"
    yield f"Residual agents around `{best}`, {minutes}, paired with it:"
    yield ""
    yield (
        "| seed | gain in reward | cost saved, % | saved at equal on-time, % | on time, % | "
        "served, % |"
    )
    yield "|---|---|---|---|---|---|"
    for row in result["seeds"]:
        yield (
            f"| {row['seed']} | {show(row['gain'], 4)} | {show(row['saved_share'], 2, 100)} | "
            f"{show(row['saved_share_at_equal_service'], 2, 100)} | {100 * row['on_time']:.2f} | "
            f"{100 * row['served']:.2f} |"
        )
    for name, label in (
        ("saved_share", "cost saved"),
        ("saved_share_at_equal_service", "saved at equal on-time"),
    ):
        means = [row[name]["mean"] for row in result["seeds"]]
        yield ""
        yield f"Interquartile mean over seeds, {label}: {100 * trim_mean(means, 0.25):.2f}%."
