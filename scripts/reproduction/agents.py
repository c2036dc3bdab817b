"""`paper`, `retail` and `transfer`: trained agents beside the classical policies, seed by seed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.metrics import EpisodeMetrics
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.statistics import compute_paired_interval
from marl.evaluation.tuning import load_or_tune
from marl.policies import make_policy
from marl.policy_sources import load_learned
from scripts.reproduction.common import (
    EPISODES,
    SEED,
    choose_best,
    describe_policy,
    run_families,
    show,
    train,
    write_result,
)


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
