"""`paper`, `retail` and `transfer`: trained agents beside the classical policies, seed by seed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import SeedArray
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.choice import choose_rule
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from marl.evaluation.statistics import compute_paired_interval
from marl.evaluation.tuning import load_or_tune
from marl.policies import make_policy
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
from scripts.reproduction.rules import (
    choose_budget,
    describe_tuning,
    tabulate_tuning,
    tune_until_flat,
)
from scripts.reproduction.variants import write_coordinations

TRANSFER_EPISODES = 16  # of 5,000 cells each, whose luck evens out
# Where an episode takes a third of a second, the search has few of them and fewer trials, around
# the optimum of the small network: from the first guess, 400 trials do not get there.
TRANSFER_TUNING, TRANSFER_TRIALS = 2, 54
# Of the agents that are carried to the large network.
SMALL_TRAINING = (
    "--episodes", "2000", "--set", "learner.anneal_env_steps=150000",
    "--set", "exploration.anneal_env_steps=150000",
)  # fmt: skip
IN_PROCESS = (
    "--set", "env_runners.num_env_runners=0", "--set", "evaluation.baselines=[before]",
    "--set", "evaluation.test_episodes=2",
)  # fmt: skip


def run_paper(options: argparse.Namespace) -> None:
    """The 34 agents on the paper's network, averaged as there and as averaging is surpassed.

    Beside them residual agents, who depart from the best rule.
    """
    scenario = load_scenario("paper")
    seeds = make_seeds("test", SEED, EPISODES)
    found = run_families(scenario, EpisodeRunner(scenario, seeds, "evaluate", EPISODES))
    trained = [
        Trained(name, ("--scenario", str(file), *IN_PROCESS), load_scenario(file))
        for name, file in write_coordinations("average", "high_only").items()
    ]
    settings = (f"residual.reference={choose_best(found)}", "residual.choices=[supplier_order]")
    sets = [word for setting in settings for word in ("--set", setting)]
    residual = ("--scenario", "paper", "--config", "residual", "--minutes", "2", *sets)
    trained.append(Trained("residual", (*residual, *IN_PROCESS), scenario))
    compare_agents("paper", trained, seeds, found, options.seeds)


def run_retail(options: argparse.Namespace) -> None:
    """Residual agents on recorded demand; it takes longer to simulate, so less of everything.

    They depart from the rule that is chosen on the training days, and are compared with it.
    """
    scenario = load_scenario("retail")
    seeds = make_seeds("test", SEED, 64)
    found = run_families(scenario, EpisodeRunner(scenario, seeds, "evaluate", 64))
    best = choose_rule(scenario, print).family
    settings = (
        f"residual.reference={best}", "residual.choices=[supplier_order]",
        "residual.states=300", "env_runners.num_envs_per_env_runner=8",
        "evaluation.interval_episodes=64", "evaluation.validation_episodes=16",
        "evaluation.test_episodes=16", "evaluation.baselines=[before]",
    )  # fmt: skip
    sets = [word for setting in settings for word in ("--set", setting)]
    arguments = ("--scenario", "retail", "--config", "residual", "--minutes", "5", *sets)
    trained = [Trained("learned", arguments, scenario)]
    compare_agents("retail", trained, seeds, found, options.seeds, best=best)


def run_transfer(options: argparse.Namespace) -> None:
    """Agents of a small network on one of 50 times the cells, without training there."""
    small = load_scenario("paper")
    large = enlarge(small, stores=100, skus=50)
    seeds = make_seeds("test", SEED, TRANSFER_EPISODES)
    runner = EpisodeRunner(large, seeds, "evaluate")
    found = {"before": runner.run(make_policy("before", large))}
    rounds = {}
    for family in ("order_up_to", "forecast_order_up_to"):
        carried = load_or_tune(family, small).parameters
        found[f"{family} of the small network"] = runner.run(make_policy(family, large, carried))
        budgets = tune_until_flat(
            family, large, runner, TRANSFER_TUNING, TRANSFER_TRIALS, start=carried
        )
        rounds[family] = list(budgets)
        found[family] = choose_budget(rounds[family]).metrics
    tuning = {
        family: [describe_tuning(entry) for entry in entries] for family, entries in rounds.items()
    }
    trained = [Trained("learned", ("--scenario", "paper", *SMALL_TRAINING, *IN_PROCESS), large)]
    compare_agents("transfer", trained, seeds, found, options.seeds, tuning)


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


@dataclass(frozen=True)
class Trained:
    """Agents of a table."""

    name: str
    arguments: tuple[str, ...]  # of the training's command line
    scenario: Scenario  # that they run, with their coordination


def compare_agents(
    part: str,
    trained: Sequence[Trained],
    episodes: SeedArray,
    found: Mapping[str, EpisodeMetrics],
    num_seeds: int,
    tuning: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    best: str | None = None,
    command: str | None = None,
) -> None:
    """Runs trained agents beside other policies.

    Args:
        part: of this script.
        trained: which agents.
        episodes: that they run.
        found: what the others reached there, by policy.
        num_seeds: of each training.
        tuning: budgets of families that were tuned for this alone, by family.
        best: the policy to compare with; None: the one that came out best.
        command: that makes the page, but for the seeds; None: the part alone.
    """
    best = best or choose_best(found)
    rows = []
    for seed, agents in product(range(num_seeds), trained):
        run = train(
            f"{part}-{agents.name}-{seed}", *agents.arguments, "--seed", str(seed), one_core=True
        )
        runner = EpisodeRunner(agents.scenario, episodes, "evaluate", EPISODES)
        learnt = runner.run(load_learned(run.find_checkpoint("best"), "learned", agents.scenario))
        gain = compute_paired_interval(learnt["reward"], found[best]["reward"])
        rows.append({"seed": seed, **describe_policy(agents.name, learnt), "gain": asdict(gain)})
        print(json.dumps(rows[-1]), flush=True)
    result = {
        "command": f"scripts/reproduce.py {command or part} --seeds {num_seeds}",
        "episodes": len(episodes),
        "best_classical": best,
        "policies": [describe_policy(name, metrics) for name, metrics in found.items()],
        "seeds": rows,
        **({"tuning": tuning} if tuning else {}),
    }
    write_result(part, result, tabulate_paper(result))


def tabulate_paper(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    best = result["best_classical"]
    yield f"| policy | reward | against `{best}` | cost a day | on time, % | served, % |"
    yield "|---|---|---|---|---|---|"
    for row in (*result["policies"], *result["seeds"]):
        name = f"{row['name']}, seed {row['seed']}" if "seed" in row else row["name"]
        gain = show(row["gain"], 4) if "gain" in row else ""
        yield (
            f"| {name} | {show(row['reward'], 4)} | {gain} | {show(row['cost/total'], 2)} | "
            f"{show(row['on_time'], 2, 100)} | {show(row['served'], 2, 100)} |"
        )
    for family, rows in result.get("tuning", {}).items():
        yield ""
        yield f"The budget of `{family}` on this network:"
        yield ""
        yield from tabulate_tuning(rows)
