"""Regenerates the tables of docs/results/: what learns, against what, with intervals.

How to run, from the repository root; parts can be interrupted and go on where they stopped:

    .venv/bin/python scripts/reproduce.py contest --scenario volatile
    .venv/bin/python scripts/reproduce.py contest --scenario scarce
    .venv/bin/python scripts/reproduce.py retail --seeds 3
    .venv/bin/python scripts/reproduce.py paper
    .venv/bin/python scripts/reproduce.py transfer
    .venv/bin/python scripts/reproduce.py lost_sales --seeds 3
    .venv/bin/python scripts/reproduce.py owmr --seeds 3
    .venv/bin/python scripts/reproduce.py coordination --seeds 3
    .venv/bin/python scripts/reproduce.py ablation --seeds 3

- `contest`: every classical family, tuned; then residual agents around the best of them, five
  seeds of two minutes, compared as they are and at equal on-time service.
- `retail`: residual agents around the best rule on recorded demand, run on the months held back.
- `paper`: the 34 agents on the paper's network, five seeds, from the `before` policy on.
- `transfer`: agents that were trained on 10 stores x 5 SKUs run 100 stores x 50 SKUs.
- `lost_sales`: agents that choose order quantities, on nine systems whose optimum is known.
- `owmr`: the same agents in the divergent network, against the tuned rules and published numbers.
- `coordination`: the paper's network, its agents' proposals combined in every way there is.
- `ablation`: the paper's network, the learner's options on and off at the same budget.

Runs are kept in runs/reproduce/, results are written to docs/results/. Validation episodes choose
the checkpoint, fresh episodes report.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import trim_mean

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.metrics import EpisodeMetrics
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.optimum import LostSalesSystem, evaluate_orders, solve, tabulate_orders
from marl.evaluation.statistics import Interval, compute_mean_interval, compute_paired_interval
from marl.evaluation.tuning import TunedParameters, load_or_tune, tune_family
from marl.policies import list_families, make_policy
from marl.policy_sources import load_learned
from marl.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "reproduce"
RESULTS = ROOT / "docs" / "results"
EPISODES = 256  # fresh ones, of every policy
OWMR_EPISODES = 1024  # the same where costs are published
SEED = 1_000  # of the fresh episodes, away from those of all training seeds
STRICTER = (1.25, 1.6, 2.0)  # penalties of the rules that are tuned for more service
LADDER_TRIALS = 600  # of each of those, from the optimum of the one before
CONTEST_MINUTES = 2.0
MOST_DOUBLINGS = 2  # of the best rule's trials
COORDINATIONS: dict[str, dict[str, Any]] = {
    "low_only": {"strategy": "low_only"},
    "average": {"strategy": "average"},
    "weighted": {"strategy": "weighted", "level_weights": {"high": 0.25, "low": 1.0}},
    "high_only": {"strategy": "high_only"},
}
OPTIONS = {
    "defaults": (),
    "one_step": ("learner.n_step=1",),
    "distributional": ("learner.distributional={}",),
    "noisy": ("learner.noisy=0.1",),
    "without_double": ("learner.double=false",),
    "without_dueling": ("learner.dueling=false",),
    "prioritized": ("pool.prioritized={}",),
    "periodic_target": ("learner.target_update=100",),
    "without_average": ("learner.average_rate=1",),
    "epsilon_constant": ("exploration.final_fraction=1",),
}
FLAT = 0.001  # of the cost: a doubling that saves less ends the search


def main() -> None:
    """Runs the part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--scenario", default="volatile")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=CONTEST_MINUTES)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    PARTS[options.part](options)


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


def run_paper(options: argparse.Namespace) -> None:
    """The 34 agents on the paper's network."""
    scenario = load_scenario("paper")
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, EPISODES), "evaluate", EPISODES)
    compare_agents("paper", scenario, runner, run_families(scenario, runner), options.seeds)


def run_retail(options: argparse.Namespace) -> None:
    """Residual agents on recorded demand; it takes longer to simulate, so less of everything."""
    scenario = load_scenario("retail")
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, 64), "evaluate", 64)
    found = run_families(scenario, runner)
    best = choose_best(found)
    settings = (
        f"residual.reference={best}", "residual.choices=[supplier_order]",
        "residual.situations=300", "env_runners.num_envs_per_env_runner=8",
        "evaluation.interval_episodes=64", "evaluation.validation_episodes=16",
        "evaluation.test_episodes=16", "evaluation.baselines=[before]",
    )  # fmt: skip
    sets = [word for setting in settings for word in ("--set", setting)]
    arguments = ("--scenario", "retail", "--config", "residual", "--minutes", "5", *sets)
    compare_agents("retail", scenario, runner, found, options.seeds, arguments)


def run_families(scenario: Scenario, runner: EpisodeRunner) -> dict[str, EpisodeMetrics]:
    """Runs `before` and every classical family, tuned."""
    found = {"before": runner.run(make_policy("before", scenario))}
    for family in list_families(scenario):
        tuned = load_or_tune(family, scenario)
        found[family] = runner.run(make_policy(family, scenario, tuned.parameters))
        print(f"{family}: {found[family]['reward'].mean():.4f}", flush=True)
    return found


def choose_best(found: Mapping[str, EpisodeMetrics]) -> str:
    """The policy with the highest mean reward."""
    return max(found, key=lambda name: found[name]["reward"].mean())


def compare_agents(
    part: str,
    scenario: Scenario,
    runner: EpisodeRunner,
    found: Mapping[str, EpisodeMetrics],
    num_seeds: int,
    arguments: tuple[str, ...] = ("--scenario", "paper"),
) -> None:
    """Runs trained agents beside other policies.

    Args:
        part: of this script.
        scenario: what they run.
        runner: with its episodes.
        found: what the others reached there, by policy.
        num_seeds: trained agents.
        arguments: of the training's command line.
    """
    best = choose_best(found)
    seeds = []
    for seed in range(num_seeds):
        run = train(f"{arguments[1]}-{seed}", *arguments, "--seed", str(seed))
        learnt = runner.run(load_learned(run.find_checkpoint("best"), "learned", scenario))
        gain = compute_paired_interval(learnt["reward"], found[best]["reward"])
        seeds.append({"seed": seed, **describe_policy("learned", learnt), "gain": asdict(gain)})
        print(json.dumps(seeds[-1]), flush=True)
    result = {
        "command": f"scripts/reproduce.py {part} --seeds {num_seeds}",
        "episodes": len(found[best]["reward"]),
        "best_classical": best,
        "policies": [describe_policy(name, metrics) for name, metrics in found.items()],
        "seeds": seeds,
    }
    write_result(part, result, tabulate_paper(result))


def tabulate_paper(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    yield f"| policy | reward | against `{result['best_classical']}` | on time, % | served, % |"
    yield "|---|---|---|---|---|"
    for row in (*result["policies"], *result["seeds"]):
        name = f"learned, seed {row['seed']}" if "seed" in row else row["name"]
        gain = show(row["gain"], 4) if "gain" in row else ""
        yield (
            f"| {name} | {show(row['reward'], 4)} | {gain} | {show(row['on_time'], 2, 100)} | "
            f"{show(row['served'], 2, 100)} |"
        )


def run_transfer(options: argparse.Namespace) -> None:
    """Agents of a small network on one of 50 times the cells, without training there."""
    large = enlarge(load_scenario("paper"), stores=100, skus=50)
    runner = EpisodeRunner(large, make_seeds("test", SEED, 16), "evaluate", 16)
    tuned = load_or_tune("order_up_to", large)
    found = {"order_up_to": runner.run(make_policy("order_up_to", large, tuned.parameters))}
    compare_agents("transfer", large, runner, found, options.seeds)


def run_coordination(options: argparse.Namespace) -> None:
    """Ways to combine what the agents of both levels propose."""
    data = load_scenario("paper").model_dump(mode="json")
    RUNS.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, rules in COORDINATIONS.items():
        file = RUNS / f"paper-{name}.yaml"
        data["coordination"] |= rules
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        rows.append(Variant(name, str(file), ("--env-steps", "200000")))
    compare_variants("coordination", rows, options.seeds)


def run_ablation(options: argparse.Namespace) -> None:
    """The learner's options, each changed alone; both schedules end with the budget."""
    schedule = ("learner.anneal_env_steps=60000", "exploration.anneal_env_steps=60000")
    rows = []
    for name, overrides in OPTIONS.items():
        sets = [word for text in (*schedule, *overrides) for word in ("--set", text)]
        rows.append(Variant(name, "paper", ("--env-steps", "60000", *sets), overrides))
    compare_variants("ablation", rows, options.seeds)


@dataclass(frozen=True)
class Variant:
    """A way to train."""

    name: str
    scenario: str  # name or file
    arguments: tuple[str, ...]
    overrides: tuple[str, ...] = ()


def compare_variants(part: str, variants: Sequence[Variant], num_seeds: int) -> None:
    """Trains every variant from every seed and pairs it with the first one, seed by seed.

    Seed by seed, so that what an interrupted run leaves is a whole table of fewer seeds.
    """
    found: dict[str, list[EpisodeMetrics]] = {variant.name: [] for variant in variants}
    curves: dict[str, list[list[float]]] = {variant.name: [] for variant in variants}
    seeds = make_seeds("test", SEED, EPISODES)
    for seed, variant in product(range(num_seeds), variants):
        run = train(
            f"{part}-{variant.name}-{seed}",
            *("--scenario", variant.scenario, "--seed", str(seed), *variant.arguments),
            *("--set", "env_runners.num_env_runners=0", "--set", "evaluation.test_episodes=2"),
            *("--set", "evaluation.baselines=[before]"),
            one_core=True,
        )
        runner = EpisodeRunner(run.scenario, seeds, "evaluate", EPISODES)
        policy = load_learned(run.find_checkpoint("best"), "learned", run.scenario)
        found[variant.name].append(runner.run(policy))
        curves[variant.name].append(read_curve(run)[-2:])
        print(f"{run.path.name}: {found[variant.name][-1]['reward'].mean():.4f}", flush=True)
    first = found[variants[0].name]
    result = {
        "command": f"scripts/reproduce.py {part} --seeds {num_seeds}",
        "episodes": EPISODES,
        "rows": [
            {
                "changed": list(variant.overrides),
                **describe_variant(variant.name, found[variant.name], first),
                "last_validations": curves[variant.name],
            }
            for variant in variants
        ],
    }
    write_result(part, result, tabulate_variants(result))


def describe_variant(
    name: str, metrics: Sequence[EpisodeMetrics], first: Sequence[EpisodeMetrics]
) -> dict[str, Any]:
    """A variant's means over seeds, and its gain over the first one.

    Args:
        name: of the variant.
        metrics: by seed.
        first: the first variant's, by seed.
    """
    gains = [m["reward"] - f["reward"] for m, f in zip(metrics, first, strict=True)]
    by_seed = np.array([gain.mean() for gain in gains])
    return {
        "name": name,
        "reward": float(np.mean([m["reward"].mean() for m in metrics])),
        "rewards": [float(m["reward"].mean()) for m in metrics],
        "on_time": float(np.mean([m["on_time"].mean() for m in metrics])),
        "gain": asdict(compute_mean_interval(by_seed)),
        "gains": [asdict(compute_mean_interval(gain)) for gain in gains],
    }


def read_curve(run: RunFolder) -> list[float]:
    """Validation rewards of a run, in order."""
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    values = (json.loads(line).get("eval/reward") for line in lines)
    return [value for value in values if value is not None]


def tabulate_variants(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    rows = result["rows"]
    first = rows[0]["name"]
    num_seeds = len(rows[0]["rewards"])
    spread = (
        "There is one seed: nothing here says what another one would bring."
        if num_seeds == 1
        else f"Its interval is Student's over {num_seeds} seeds: what another one would bring."
    )
    yield (
        f"`gain` is over `{first}` with the same seed. {spread} The intervals by seed are over the "
        "episodes. `last two` are each seed's last validations: equal ones say that the run was "
        "long enough."
    )
    yield ""
    yield "| | changed | reward | on time, % | gain | gain by seed | last two |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        is_first = row["name"] == first
        changed = ", ".join(f"`{text}`" for text in row["changed"])
        gains = ", ".join(show(gain, 4) for gain in row["gains"])
        gain = show(row["gain"], 4) if num_seeds > 1 else f"{row['gain']['mean']:.4f}"
        pairs = ", ".join(
            " ".join(f"{value:.4f}" for value in pair) for pair in row["last_validations"]
        )
        yield (
            f"| {row['name']} | {changed} | {row['reward']:.4f} | {100 * row['on_time']:.2f} | "
            f"{'' if is_first else gain} | {'' if is_first else gains} | {pairs} |"
        )


def enlarge(scenario: Scenario, stores: int, skus: int) -> Scenario:
    """The same network with more stores and SKUs, sizes and demands drawn around the old ones."""
    data = scenario.model_dump(mode="json")
    rng = np.random.default_rng(0)
    own_stores, own_skus = data["network"]["stores"], data["skus"]
    data["name"] = f"{scenario.name}_{stores}x{skus}"
    data["network"]["stores"] = [
        {
            **own_stores[s % len(own_stores)],
            "name": f"store_{s}",
            "size": round(float(rng.uniform(0.6, 1.4)), 3),
        }
        for s in range(stores)
    ]
    data["skus"] = [
        {
            **own_skus[k % len(own_skus)],
            "name": f"sku_{k}",
            "store_demand": round(float(rng.uniform(3, 12)), 1),
            "online_demand": round(float(rng.uniform(3, 6)), 1),
        }
        for k in range(skus)
    ]
    return Scenario.model_validate(data)


def run_lost_sales(options: argparse.Namespace) -> None:
    """Ordering agents against the optimum; costs are computed, not simulated."""
    rows = []
    for penalty in (4, 9, 19):
        for lead_time in (1, 2, 3):
            rows.append(compare_lost_sales(lead_time, penalty, options.seeds))
            print(json.dumps(rows[-1]), flush=True)
    result = {
        "command": f"scripts/reproduce.py lost_sales --seeds {options.seeds}",
        "instances": rows,
    }
    write_result("lost_sales", result, tabulate_lost_sales(result))


def compare_lost_sales(lead_time: int, penalty: float, num_seeds: int) -> dict[str, Any]:
    """One system: what the optimum, capped base stock and each trained policy cost a period."""
    data = load_scenario("lost_sales").model_dump(mode="json")
    data["network"]["stores"][0]["lead_time"] = lead_time
    data["costs"]["lost_sale"] = penalty
    data["name"] = f"lost_sales_{lead_time}_{penalty}"
    scenario = Scenario.model_validate(data)
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / f"{scenario.name}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    system = LostSalesSystem.from_scenario(scenario)

    def compute_cost(policy: Any) -> float:
        return evaluate_orders(system, tabulate_orders(policy, scenario))

    rules = {
        family: compute_cost(
            make_policy(family, scenario, load_or_tune(family, scenario).parameters)
        )
        for family in ("order_up_to", "capped_base_stock")
    }
    seeds = []
    for seed in range(num_seeds):
        run = train(
            f"{scenario.name}-{seed}",
            *("--scenario", str(path), "--config", "counterfactual", "--seed", str(seed)),
            *("--set", "evaluation.baselines=[]"),
            one_core=True,
        )
        learnt = load_learned(run.find_checkpoint("best"), "learned", scenario)
        seeds.append({"seed": seed, "cost": compute_cost(learnt), "seconds": get_seconds(run)})
    return {
        "lead_time": lead_time,
        "penalty": penalty,
        "optimum": solve(system).cost,
        "rules": rules,
        "seeds": seeds,
    }


def get_seconds(run: RunFolder) -> float:
    """How long the run has trained, validation included."""
    seconds: float = run.load_progress(run.find_checkpoint("latest"))["progress"]["seconds"]
    return seconds


def tabulate_lost_sales(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    yield "Cost a period, and how far above the optimum, %; no simulation, so no intervals."
    yield ""
    yield "| lead time | penalty | optimum | base stock | capped | learned, by seed | seconds |"
    yield "|---|---|---|---|---|---|---|"
    gaps = []
    for row in result["instances"]:
        optimum = row["optimum"]
        own = [100 * (seed["cost"] / optimum - 1) for seed in row["seeds"]]
        rules = [f"{100 * (cost / optimum - 1):.2f}" for cost in row["rules"].values()]
        seconds = ", ".join(f"{seed['seconds']:.0f}" for seed in row["seeds"])
        yield (
            f"| {row['lead_time']} | {row['penalty']} | {optimum:.4f} | {' | '.join(rules)} | "
            f"{', '.join(f'{gap:.3f}' for gap in own)} | {seconds} |"
        )
        gaps += own
    yield ""
    yield f"All runs: {np.mean(gaps):.3f}% above the optimum on average, {max(gaps):.3f}% at most."


def run_owmr(options: argparse.Namespace) -> None:
    """Ordering agents of one warehouse and three retailers against the tuned rules."""
    scenario = load_scenario("owmr")
    seeds = make_seeds("test", SEED, OWMR_EPISODES)
    runner = EpisodeRunner(scenario, seeds, "evaluate", EPISODES)
    found = run_families(scenario, runner)
    best = choose_best(found)
    learnt = []
    for seed in range(options.seeds):
        run = train(
            f"owmr-{seed}",
            *("--scenario", "owmr", "--config", "divergent", "--seed", str(seed)),
            *("--set", "evaluation.baselines=[]"),
            one_core=True,
        )
        metrics = runner.run(load_learned(run.find_checkpoint("best"), "learned", scenario))
        saved = compute_paired_interval(found[best]["cost/total"], metrics["cost/total"])
        row = describe_policy(f"learned, seed {seed}", metrics)
        learnt.append({**row, "saved": asdict(saved), "seconds": get_seconds(run)})
        print(json.dumps(learnt[-1]), flush=True)
    result = {
        "command": f"scripts/reproduce.py owmr --seeds {options.seeds}",
        "episodes": OWMR_EPISODES,
        "periods": scenario.horizon,
        "best_classical": best,
        "policies": [describe_policy(name, metrics) for name, metrics in found.items()],
        "seeds": learnt,
    }
    write_result("owmr", result, tabulate_owmr(result))


def tabulate_owmr(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    periods = result["periods"]
    yield (
        "Published for instance 11 (Kaynov et al. 2024, whose start state is not given): base "
        "stock 1110, PPO 972."
    )
    yield ""
    yield f"| policy | cost of {periods} periods | saved against `{result['best_classical']}` | s |"
    yield "|---|---|---|---|"
    for row in (*result["policies"], *result["seeds"]):
        saved = show(row["saved"], 1, periods) if "saved" in row else ""
        seconds = f"{row['seconds']:.0f}" if "seconds" in row else ""
        yield f"| {row['name']} | {show(row['cost/total'], 1, periods)} | {saved} | {seconds} |"


def train(name: str, *arguments: str, one_core: bool = False) -> RunFolder:
    """Trains as a user does, unless the run is there and whole.

    Args:
        name: of the run's folder.
        arguments: of the command.
        one_core: whether the command and all its threads share one core.
    """
    folder = RUNS / name
    if not (folder / "evaluation.json").is_file():
        command = [sys.executable, "-m", "marl.cli"]
        go_on = folder.is_dir() and (folder / "checkpoints").is_dir()
        task = ["resume", str(folder)] if go_on else ["train", "--run-dir", str(folder), *arguments]
        if one_core:
            command = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0))), *command]
        subprocess.run([*command, *task, "--quiet"], check=True, cwd=ROOT, stdout=sys.stderr)
    return RunFolder.open(folder)


def describe_policy(name: str, metrics: EpisodeMetrics) -> dict[str, Any]:
    """Means with intervals of what the tables show."""
    shown = ("reward", "on_time", "served", "cost/total")
    return {"name": name, **{m: asdict(compute_mean_interval(metrics[m])) for m in shown}}


def scale(interval: Interval, unit: float) -> dict[str, float]:
    """An interval in another unit."""
    return {key: value / unit for key, value in asdict(interval).items()}


def show(interval: Mapping[str, float], decimals: int, factor: float = 1) -> str:
    """Mean +- half width."""
    half = (interval["high"] - interval["low"]) / 2
    return f"{factor * interval['mean']:.{decimals}f} ± {factor * half:.{decimals}f}"


def write_result(name: str, result: Mapping[str, Any], lines: Iterator[str]) -> None:
    """Writes the numbers and the table."""
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    text = "\n".join(
        (
            f"# {name}",
            "",
            f"`{result['command']}`{describe_episodes(result)}.",
            "",
            *lines,
        )
    )
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def describe_episodes(result: Mapping[str, Any]) -> str:
    """How many episodes a result was measured in, if it was."""
    return f", {result['episodes']} fresh episodes" if "episodes" in result else ""


PARTS = {
    "contest": run_contest,
    "retail": run_retail,
    "paper": run_paper,
    "transfer": run_transfer,
    "lost_sales": run_lost_sales,
    "owmr": run_owmr,
    "coordination": run_coordination,
    "ablation": run_ablation,
}

if __name__ == "__main__":
    main()
