"""`grocer`: every family tuned, and residual agents around the best, on months held back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import SeedArray
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from marl.evaluation.statistics import compute_mean_interval
from marl.evaluation.tuning import load_or_tune
from marl.policies import list_families, make_policy
from marl.policies.base import Policy
from marl.policies.tuned import TunedRule
from scripts.reproduction.common import SEED, describe_policy, show, train, write_result
from scripts.reproduction.rules import (
    Tuning,
    choose_budget,
    compare_with_ladder,
    describe_tuning,
    tabulate_tuning,
    tune_until_flat,
)

EPISODES = 64  # all of the same held-back months
FAMILY_TRIALS = 120  # of every family; the best one's are doubled
ENV_STEPS = 16_000  # of a training, as the configuration says
MOVES = (-0.2, -0.1, 0.1, 0.2, 0.4)  # of the stores' z, for equal service
CLASSES = ("A", "B", "C")


def run_grocer(options: argparse.Namespace) -> None:
    """Residual agents against the strongest rule; held-back months are looked at once.

    Families and budgets are chosen on training days, which are drawn anew in every episode.
    """
    scenario = load_scenario("grocer")
    seeds = make_seeds("test", SEED, EPISODES)
    runner = EpisodeRunner(scenario, seeds, "evaluate", EPISODES)
    tuned, rounds = find_rule(scenario)
    rule = choose_budget(rounds).tuned
    tuned[rule.family] = rule
    policies: dict[str, Policy] = {"before": make_policy("before", scenario)}
    policies |= {name: found.make(scenario) for name, found in tuned.items()}
    found = {name: runner.run(policy) for name, policy in policies.items()}
    ladder = [found[rule.family], *(runner.run(r.make(scenario)) for r in move_service(rule))]
    rows = [
        describe(name, found[name], policy, scenario, seeds) for name, policy in policies.items()
    ]
    learnt = []
    for seed in range(options.seeds):
        run = train_grocer(rule, seed)
        policy = load_learned(run.find_checkpoint("best"), "learned", scenario)
        metrics = runner.run(policy)
        row = describe("learned", metrics, policy, scenario, seeds)
        learnt.append({"seed": seed, **row, "against": compare_with_ladder(metrics, ladder)})
        print(json.dumps(learnt[-1]), flush=True)
    result = {
        "command": f"scripts/reproduce.py grocer --seeds {options.seeds}",
        "episodes": EPISODES,
        "best_classical": rule.family,
        "env_steps": ENV_STEPS,
        "tuning": [describe_tuning(entry) for entry in rounds],
        "policies": rows,
        "moved": [
            describe_policy(f"{rule.family}, z {z:+g}", metrics)
            for z, metrics in zip(MOVES, ladder[1:], strict=True)
        ],
        "seeds": learnt,
    }
    write_result("grocer", result, tabulate_grocer(result))


def find_rule(scenario: Scenario) -> tuple[dict[str, TunedRule], list[Tuning]]:
    """Returns all families, tuned, and the budgets of the one that training days choose."""
    runner = EpisodeRunner(scenario, make_seeds("choose", 0, 32), "train", 32)
    tuned, rewards = {}, {}
    for family in list_families(scenario):
        tuned[family] = load_or_tune(family, scenario, trials=FAMILY_TRIALS)
        rewards[family] = runner.run(tuned[family].make(scenario))["reward"].mean()
        print(f"{family}: {rewards[family]:.4f} on training days", flush=True)
    best = max(rewards, key=lambda family: float(rewards[family]))
    return tuned, list(tune_until_flat(best, scenario, runner, trials=FAMILY_TRIALS))


def move_service(rule: TunedRule) -> Iterator[TunedRule]:
    """The rule with less and more safety in the stores."""
    for more in MOVES:
        moved = {n: v + more * ("store_z" in n) for n, v in rule.parameters.items()}
        yield rule.model_copy(update={"parameters": moved})


def train_grocer(rule: TunedRule, seed: int) -> Any:
    """Trains residual agents around the rule in this process alone."""
    settings = {
        "residual.reference": rule.family,
        "residual.parameters": json.dumps(rule.parameters),
        "env_runners.num_env_runners": "0",
        "evaluation.baselines": "[before]",
        "evaluation.test_episodes": "2",
    }
    sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return train(
        f"grocer-{seed}", "--scenario", "grocer", "--config", "grocer", "--seed", str(seed), *sets
    )


def describe(
    name: str, metrics: EpisodeMetrics, policy: Policy, scenario: Scenario, seeds: SeedArray
) -> dict[str, Any]:
    """One row: reward, service, costs by term, trucks and service by class."""
    shown = ("cost/lost_sales", "cost/holding", "cost/transport", "cost/ordering", "cost/waste")
    costs = {term: asdict(compute_mean_interval(metrics[term])) for term in shown}
    trucks, fill, by_class = count_trucks(policy, scenario, seeds[:16])
    return {
        **describe_policy(name, metrics), **costs,
        "trucks": trucks, "truck_fill": fill, "on_time_by_class": by_class,
    }  # fmt: skip


def classify(scenario: Scenario) -> list[str]:
    """Each SKU's service class, by what a lost unit costs as a share of its price."""
    shares = [(sku.store_lost_sale or 0) / (sku.price or 1) for sku in scenario.skus]
    return ["A" if share > 0.9 else "B" if share > 0.6 else "C" for share in shares]


def count_trucks(
    policy: Policy, scenario: Scenario, seeds: SeedArray
) -> tuple[float, float, dict[str, float]]:
    """Returns trucks a day, how full they are, and the share served on the day by class."""
    env = BatchedEnv(scenario, len(seeds), "evaluate")
    env.reset(seeds)
    capacity = scenario.costs.truck_capacity
    assert capacity is not None
    trucks, units, days, done = 0.0, 0.0, 0, False
    asked, lost = np.zeros(len(scenario.skus)), np.zeros(len(scenario.skus))
    while not done:
        step = policy.run_period(env)
        load = step.flows.shipped.sum(axis=-1)
        trucks, units = trucks + np.ceil(load / capacity).sum(), units + load.sum()
        asked += step.flows.demand.sum(axis=(0, 1, 3))
        lost += step.flows.lost.sum(axis=(0, 1, 3))
        days, done = days + len(seeds), step.done
    own = np.array(classify(scenario))
    served = {c: float(1 - lost[own == c].sum() / asked[own == c].sum()) for c in CLASSES}
    return float(trucks / days), float(units / trucks / capacity), served


def tabulate_grocer(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    best, steps = result["best_classical"], result["env_steps"]
    yield (
        "| policy | cost a day | on time, % | class A, B, C, % | lost sales | waste | transport | "
        "trucks a day | full, % |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in (*result["policies"], *result["seeds"]):
        name = f"{row['name']}, seed {row['seed']}" if "seed" in row else row["name"]
        classes = ", ".join(f"{100 * row['on_time_by_class'][c]:.1f}" for c in CLASSES)
        terms = " | ".join(
            f"{row[f'cost/{term}']['mean']:.1f}" for term in ("lost_sales", "waste", "transport")
        )
        yield (
            f"| {name} | {show(row['cost/total'], 2)} | {show(row['on_time'], 2, 100)} | "
            f"{classes} | {terms} | {row['trucks']:.2f} | {100 * row['truck_fill']:.0f} |"
        )
    yield ""
    yield f"The budget of `{best}`, which training days choose:"
    yield ""
    yield from tabulate_tuning(result["tuning"])
    yield ""
    yield f"Residual agents of {steps} env steps, paired with `{best}`; at equal on-time service it"
    yield "keeps less or more safety in the stores:"
    yield ""
    yield from tabulate_moved(result["moved"])
    yield ""
    yield "| seed | cost saved, % | saved at equal on-time, % | on time, % |"
    yield "|---|---|---|---|"
    for row in result["seeds"]:
        against = row["against"]
        yield (
            f"| {row['seed']} | {show(against['saved_share'], 2, 100)} | "
            f"{show(against['saved_share_at_equal_service'], 2, 100)} | "
            f"{100 * against['on_time']:.2f} |"
        )


def tabulate_moved(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines on the rule at less and more service."""
    yield "| rule | cost a day | on time, % |"
    yield "|---|---|---|"
    for row in rows:
        yield (f"| {row['name']} | {show(row['cost/total'], 2)} | {show(row['on_time'], 2, 100)} |")
