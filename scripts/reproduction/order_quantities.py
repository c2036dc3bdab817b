"""`lost_sales` and `owmr`: agents that choose order quantities, where costs are known."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import yaml

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.bounds.optimum import (
    LostSalesSystem,
    Model,
    evaluate_orders,
    solve,
    tabulate_orders,
)
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from marl.evaluation.statistics import compute_paired_interval
from scripts.reproduction.common import (
    EPISODES,
    RUNS,
    SEED,
    choose_best,
    describe_policy,
    get_seconds,
    run_families,
    show,
    train,
    write_result,
)

OWMR_EPISODES = 1024  # the same where costs are published


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
    """One system: what the optimum, the best rules and each trained policy cost a period."""
    data = load_scenario("lost_sales").model_dump(mode="json")
    data["network"]["stores"][0]["lead_time"] = lead_time
    data["costs"]["lost_sale"] = penalty
    data["name"] = f"lost_sales_{lead_time}_{penalty}"
    scenario = Scenario.model_validate(data)
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / f"{scenario.name}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    system = LostSalesSystem.from_scenario(scenario)
    seeds = []
    for seed in range(num_seeds):
        run = train(
            f"{scenario.name}-{seed}",
            *("--scenario", str(path), "--config", "orders", "--seed", str(seed)),
            *("--set", "evaluation.baselines=[]"),
            one_core=True,
        )
        learnt: Any = load_learned(run.find_checkpoint("best"), "learned", scenario)
        cost = evaluate_orders(system, tabulate_orders(learnt, scenario))
        seeds.append({"seed": seed, "cost": cost, "seconds": get_seconds(run)})
    return {
        "lead_time": lead_time,
        "penalty": penalty,
        "optimum": solve(system).cost,
        "rules": find_best_rules(system),
        "seeds": seeds,
    }


def find_best_rules(system: LostSalesSystem) -> dict[str, float]:
    """What the best base-stock levels cost in the long run, without and with a cap on orders.

    Tried one by one: rules that are tuned in episodes may live on the stock that these begin with.
    """
    position = np.indices(Model(system).shape).sum(axis=0)
    per_day = round(system.mean)

    def compute_cost(level: int, cap: int) -> float:
        return evaluate_orders(system, np.clip(level - position, 0, cap))

    least = per_day * (system.lead_time + 1) - 4
    plain = {level: compute_cost(level, level) for level in range(least, least + 16)}
    best = min(plain, key=lambda level: plain[level])
    capped = (
        compute_cost(level, cap)
        for level in range(best - 1, best + 3)
        for cap in range(per_day, 2 * per_day)
    )
    return {"order_up_to": plain[best], "capped_base_stock": min(capped)}


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
