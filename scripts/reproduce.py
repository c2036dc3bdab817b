"""Regenerates the tables of docs/results/: what learns, against what, with intervals.

How to run, from the repository root; parts can be interrupted and go on where they stopped:

    .venv/bin/python scripts/reproduce.py contest --scenario volatile
    .venv/bin/python scripts/reproduce.py contest --scenario scarce
    .venv/bin/python scripts/reproduce.py paper
    .venv/bin/python scripts/reproduce.py transfer

- `contest`: every classical family, tuned; then residual agents around the best of them, five
  seeds of two minutes, compared as they are and at equal on-time service.
- `paper`: the 34 agents on the paper's network, five seeds, from the `before` policy on.
- `transfer`: agents that were trained on 10 stores x 5 SKUs run 100 stores x 50 SKUs.

Runs are kept in runs/reproduce/, results are written to docs/results/. Validation episodes choose
the checkpoint, fresh episodes report.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.metrics import EpisodeMetrics
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.statistics import Interval, compute_mean_interval, compute_paired_interval
from marl.evaluation.tuning import load_or_tune
from marl.policies import list_families, make_policy
from marl.policy_sources import load_learned
from marl.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "reproduce"
RESULTS = ROOT / "docs" / "results"
EPISODES = 256  # fresh ones, of every policy
SEED = 1_000  # of the fresh episodes, away from those of all training seeds
STRICTER = (1.25, 1.6, 2.0)  # penalties of the rules that are tuned for more service


def main() -> None:
    """Runs the part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("contest", "paper", "transfer"))
    parser.add_argument("--scenario", default="volatile")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    parts = {"contest": run_contest, "paper": run_paper, "transfer": run_transfer}
    RESULTS.mkdir(parents=True, exist_ok=True)
    parts[options.part](options)


def run_contest(options: argparse.Namespace) -> None:
    """Residual agents against every tuned family."""
    scenario = load_scenario(options.scenario)
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, EPISODES), "evaluate", EPISODES)
    found = run_families(scenario, runner)
    best = choose_best(found)
    ladder = [found[best]]
    for factor in STRICTER:
        tuned = load_or_tune(best, price_lost_sales(scenario, factor))
        ladder.append(runner.run(make_policy(best, scenario, tuned.parameters)))
        print(f"{best} x{factor}: {ladder[-1]['on_time'].mean():.4f} on time", flush=True)
    rows = [describe_policy(name, metrics) for name, metrics in found.items()]
    seeds = []
    for seed in range(options.seeds):
        run = train(
            f"{scenario.name}-{options.minutes:g}min-{seed}",
            *("--scenario", options.scenario, "--config", "residual", "--seed", str(seed)),
            *("--minutes", f"{options.minutes:g}", "--set", f"residual.reference={best}"),
        )
        learnt = runner.run(load_learned(run.find_checkpoint("best"), "learned", scenario))
        seeds.append(compare_seed(seed, learnt, ladder))
        print(json.dumps(seeds[-1]), flush=True)
    result = {
        "command": f"scripts/reproduce.py contest --scenario {options.scenario} "
        f"--seeds {options.seeds} --minutes {options.minutes:g}",
        "episodes": EPISODES,
        "best_classical": best,
        "policies": rows,
        "seeds": seeds,
    }
    write_result(f"contest-{scenario.name}", result, tabulate_contest(result))


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
    yield "| policy | reward | on time, % | served, % | cost a day |"
    yield "|---|---|---|---|---|"
    for row in result["policies"]:
        yield (
            f"| {row['name']} | {show(row['reward'], 4)} | {show(row['on_time'], 2, 100)} | "
            f"{show(row['served'], 2, 100)} | {show(row['cost/total'], 1)} |"
        )
    yield ""
    yield f"Residual agents around `{result['best_classical']}`, paired with it:"
    yield ""
    yield "| seed | gain in reward | cost saved, % | saved at equal on-time, % | on time, % |"
    yield "|---|---|---|---|---|"
    for row in result["seeds"]:
        yield (
            f"| {row['seed']} | {show(row['gain'], 4)} | {show(row['saved_share'], 2, 100)} | "
            f"{show(row['saved_share_at_equal_service'], 2, 100)} | {100 * row['on_time']:.2f} |"
        )


def run_paper(options: argparse.Namespace) -> None:
    """The 34 agents on the paper's network."""
    scenario = load_scenario("paper")
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, EPISODES), "evaluate", EPISODES)
    compare_agents("paper", scenario, runner, run_families(scenario, runner), options.seeds)


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
) -> None:
    """Runs agents that were trained on the paper's network beside other policies.

    Args:
        part: of this script.
        scenario: what they run.
        runner: with its episodes.
        found: what the others reached there, by policy.
        num_seeds: trained agents.
    """
    best = choose_best(found)
    seeds = []
    for seed in range(num_seeds):
        run = train(f"paper-{seed}", "--scenario", "paper", "--seed", str(seed))
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


def train(name: str, *arguments: str) -> RunFolder:
    """Trains as a user does, unless the run is there and whole."""
    folder = RUNS / name
    if not (folder / "evaluation.json").is_file():
        command = [sys.executable, "-m", "marl.cli"]
        go_on = folder.is_dir() and (folder / "checkpoints").is_dir()
        task = ["resume", str(folder)] if go_on else ["train", "--run-dir", str(folder), *arguments]
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
            f"`{result['command']}`, {result['episodes']} fresh episodes.",
            "",
            *lines,
        )
    )
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
