"""Ways to train, from the same seeds at the same budget: coordination, options of the learners."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import exp
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import yaml

from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from marl.evaluation.statistics import compute_mean_interval
from marl.runs.folder import RunFolder
from scripts.reproduction.common import EPISODES, RUNS, SEED, show, train, write_result
from scripts.reproduction.comparators import RESIDUAL_STEPS

COORDINATIONS: dict[str, dict[str, Any]] = {
    "low_only": {"strategy": "low_only"},
    "average": {"strategy": "average"},
    "weighted": {"strategy": "weighted", "level_weights": {"high": 0.25, "low": 1.0}},
    "high_only": {"strategy": "high_only"},
    "valued": {"strategy": "valued"},
    "learned": {"strategy": "learned"},
}
OPTIONS = {
    "defaults": (),
    "one_step": ("learner.n_step=1",),
    "without_double": ("learner.double=false",),
    "without_dueling": ("learner.dueling=false",),
    "prioritized": ("pool.prioritized={}",),
    "periodic_target": ("learner.target_update=100",),
    "without_sharing": ("learner.share_parameters=false",),
    "without_average": ("learner.average_rate=1",),
    "epsilon_constant": ("exploration.final_fraction=1",),
}
RESIDUAL_OPTIONS = {
    "defaults": (),
    "continuation_learned": ("residual.continuation=learned",),
    "continuation_rule": ("residual.continuation=rule",),
    "dispatch_alone": ("residual.choices=[dispatch]",),
    "supplier_order_alone": ("residual.choices=[supplier_order]",),
    "without_margin": ("residual.margin=0",),
    "without_average": ("learner.average_rate=1",),
    "hidden_64": ("learner.hidden=[64,64]",),
    "long_dispatch": ("residual.dispatch_horizon=12",),
}
SELLERS = {
    "cells": (),
    "half": ("pool.demand_exponent=0.5",),
    "units": ("pool.demand_exponent=1",),
}
SELLER_SPREAD = 1.2  # of the logarithm of the SKUs' demand
RESIDUAL_MINUTES = 1.0  # a time, not env steps: options differ in what a step takes


def run_coordination(options: argparse.Namespace) -> None:
    """Ways to combine what the agents of both levels propose."""
    rows = [
        Variant(name, str(file), ()) for name, file in write_coordinations(*COORDINATIONS).items()
    ]
    compare_variants("coordination", rows, options.seeds)


def write_coordinations(*names: str) -> dict[str, Path]:
    """Writes the paper's network with each of these coordinations; returns the files."""
    data = load_scenario("paper").model_dump(mode="json")
    RUNS.mkdir(parents=True, exist_ok=True)
    files = {name: RUNS / f"paper-{name}.yaml" for name in names}
    for name, file in files.items():
        own = {**data, "coordination": data["coordination"] | COORDINATIONS[name]}
        file.write_text(yaml.safe_dump(own, sort_keys=False), encoding="utf-8")
    return files


def run_ablation(options: argparse.Namespace) -> None:
    """The learner's options, each changed alone; both schedules end with the budget."""
    rows = [make_ablation_row(name, overrides) for name, overrides in OPTIONS.items()]
    compare_variants("ablation", rows, options.seeds)


def make_ablation_row(name: str, overrides: tuple[str, ...]) -> Variant:
    """An option of the learner that is changed alone."""
    schedule = ("learner.anneal_env_steps=60000", "exploration.anneal_env_steps=60000")
    sets = [word for text in (*schedule, *overrides) for word in ("--set", text)]
    return Variant(name, "paper", ("--env-steps", "60000", *sets), overrides)


def run_residual(options: argparse.Namespace) -> None:
    """The options of residual agents and of their branches, each changed alone."""
    # Named, since `best` chooses among the baselines, which are left out of these runs.
    common = (
        "residual.reference=full_truck_by_sku",
        f"learner.anneal_env_steps={round(RESIDUAL_MINUTES * RESIDUAL_STEPS)}",
    )
    rows = []
    for name, overrides in RESIDUAL_OPTIONS.items():
        sets = [word for text in (*common, *overrides) for word in ("--set", text)]
        arguments = ("--config", "residual", "--minutes", f"{RESIDUAL_MINUTES:g}", *sets)
        rows.append(Variant(name, options.scenario, arguments, overrides))
    compare_variants("residual", rows, options.seeds, f"--scenario {options.scenario}")


def run_sellers(options: argparse.Namespace) -> None:
    """What is drawn from the pool where SKUs sell unequally: cells, or cells by their demand."""
    is_real = options.scenario == "retail"
    common: tuple[str, ...] = () if is_real else (
        *("exploration.anneal_env_steps=100000", "learner.anneal_env_steps=100000"),
        *("pool.capacity_env_steps=30000", "env_runners.num_envs_per_env_runner=16"),
    )  # fmt: skip
    scenario, rows = "retail" if is_real else str(write_sellers()), []
    for name, overrides in SELLERS.items():
        sets = [word for text in (*common, *overrides) for word in ("--set", text)]
        arguments = ("--config", "retail", "--episodes", "1000" if is_real else "1200", *sets)
        rows.append(Variant(name, scenario, arguments, overrides))
    part, option = ("sellers-retail", "--scenario retail") if is_real else ("sellers", "")
    compare_variants(part, rows, options.seeds, option)


def write_sellers() -> Path:
    """Writes the paper's network with twelve SKUs at the quantiles of a lognormal distribution."""
    data = load_scenario("paper").model_dump(mode="json", exclude_none=True)
    quantiles = [NormalDist().inv_cdf((i + 0.5) / 12) for i in reversed(range(12))]
    categories = tuple(data["categories"])
    data["skus"] = [
        {
            "name": f"sku_{i}",
            "category": categories[i % len(categories)],
            "store_demand": round(0.65 * 3 * exp(SELLER_SPREAD * quantile), 3),
            "online_demand": round(0.35 * 3 * exp(SELLER_SPREAD * quantile), 3),
        }
        for i, quantile in enumerate(quantiles)
    ]
    data |= {
        "name": "lognormal",
        "demand": {"process": "poisson", "season_period": 90, "season_amplitude": 0.2},
        "actions": {
            "store_cover": [0, 0.5, 1, 1.5, 2, 3, 4, 5.5, 7.5, 10, 14],
            "dc_cover": [6, 7, 8, 9, 10, 11.5, 13, 15, 17, 20, 24],
            "push_cover": [0.5, 1.5, 3, 6],
            "initial_cover": 2,
        },
        "before": {"store_cover": 1.0, "dc_cover": 8},
    }
    RUNS.mkdir(parents=True, exist_ok=True)
    file = RUNS / "lognormal.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return file


@dataclass(frozen=True)
class Variant:
    """A way to train."""

    name: str
    scenario: str  # name or file
    arguments: tuple[str, ...]
    overrides: tuple[str, ...] = ()


def compare_variants(
    part: str,
    variants: Sequence[Variant],
    num_seeds: int,
    options: str = "",
    page: str | None = None,
) -> None:
    """Trains every variant from every seed and pairs it with the first one, seed by seed.

    Seed by seed, so that what an interrupted run leaves is a whole table of fewer seeds.

    Args:
        part: of this script.
        variants: the first is what the others are compared with.
        num_seeds: of each.
        options: of the command, beside the seeds.
        page: its name, where a part has several.
    """
    page = page or part
    found: dict[str, list[EpisodeMetrics]] = {variant.name: [] for variant in variants}
    curves: dict[str, list[list[float]]] = {variant.name: [] for variant in variants}
    seeds = make_seeds("test", SEED, EPISODES)
    for seed, variant in product(range(num_seeds), variants):
        run = train_variant(page, variant, seed)
        runner = EpisodeRunner(run.scenario, seeds, "evaluate", EPISODES)
        policy = load_learned(run.find_checkpoint("best"), "learned", run.scenario)
        found[variant.name].append(runner.run(policy))
        curves[variant.name].append(read_curve(run)[-2:])
        print(f"{run.path.name}: {found[variant.name][-1]['reward'].mean():.4f}", flush=True)
    first = found[variants[0].name]
    result = {
        "command": " ".join(
            word for word in ("scripts/reproduce.py", part, options, f"--seeds {num_seeds}") if word
        ),
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
    write_result(page, result, tabulate_variants(result))


def train_variant(part: str, variant: Variant, seed: int) -> RunFolder:
    """Trains a variant on one core, unless its run is there and whole."""
    return train(
        f"{part}-{variant.name}-{seed}",
        *("--scenario", variant.scenario, "--seed", str(seed), *variant.arguments),
        *("--set", "env_runners.num_env_runners=0", "--set", "evaluation.test_episodes=2"),
        *("--set", "evaluation.baselines=[before]"),
        one_core=True,
    )


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
