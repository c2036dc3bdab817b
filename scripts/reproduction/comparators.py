"""What the contest compares with the best rule: learners and rollouts."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from marl.policies.rollouts import Rollouts
from marl.policies.tuned import TunedRule
from marl.runs.folder import RunFolder
from scripts.reproduction.common import RUNS, SEED, train
from scripts.reproduction.rules import compare_with_ladder

# Env steps a minute of one core, so that both schedules end with the budget.
RESIDUAL_STEPS = 50_000
GRID_STEPS = 120_000


def train_residual(scenario: str, rule: TunedRule, minutes: float, seed: int) -> RunFolder:
    """Trains residual agents around a rule for so long on one core."""
    name = load_scenario(scenario).name
    return train(
        f"{name}-{minutes:g}min-{seed}",
        *("--scenario", scenario, "--config", "residual", "--seed", str(seed)),
        *("--minutes", f"{minutes:g}", "--set", f"residual.reference={rule.family}"),
        *("--set", f"residual.parameters={json.dumps(rule.parameters)}"),
        *("--set", f"learner.anneal_env_steps={round(minutes * RESIDUAL_STEPS)}"),
        *("--set", "env_runners.num_env_runners=0"),
        one_core=True,
    )


def compare_grid(
    scenario: str, runner: EpisodeRunner, ladder: Sequence[EpisodeMetrics], minutes: float
) -> dict[str, Any]:
    """Trains the agents of the absolute grid, which know no classical policy, and compares them.

    Args:
        scenario: name or file.
        runner: with its episodes.
        ladder: of the best rule in those episodes.
        minutes: of training on one core.
    """
    steps = round(minutes * GRID_STEPS)
    run = train(
        f"{load_scenario(scenario).name}-grid-{minutes:g}min-0",
        *("--scenario", scenario, "--minutes", f"{minutes:g}"),
        *("--set", f"learner.anneal_env_steps={steps}"),
        *("--set", f"exploration.anneal_env_steps={steps}"),
        *("--set", "env_runners.num_env_runners=0", "--set", "evaluation.baselines=[before]"),
        one_core=True,
    )
    metrics = runner.run(load_learned(run.find_checkpoint("best"), "learned", run.scenario))
    name = f"absolute grid, {minutes:g} minutes"
    episodes = len(metrics["reward"])
    return {"name": name, "episodes": episodes, **compare_with_ladder(metrics, ladder)}


def compare_rollouts(
    scenario: Scenario,
    rule: TunedRule,
    ladder: Sequence[EpisodeMetrics],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Runs decision-time rollouts around the best rule in the first of the episodes.

    Args:
        scenario: of the contest.
        rule: to improve on.
        ladder: of the rule in all episodes.
        options: `rollout_episodes`, `futures` and `rollout_horizons`, of dispatch and order.
    """
    count, futures = options.rollout_episodes, options.futures
    horizons = dict(zip(("dispatch", "supplier_order"), options.rollout_horizons, strict=True))
    days = "-".join(f"{periods}" for periods in horizons.values())
    file = RUNS / f"rollouts-{rule.family}-{scenario.hash()}-{count}x{futures}-{days}.npz"
    if not file.is_file():
        policy = Rollouts(scenario, rule.make(scenario), horizons=horizons, futures=futures)
        runner = EpisodeRunner(scenario, make_seeds("test", SEED, count), "evaluate", batch_size=16)
        started = time.monotonic()
        found = runner.run(policy)
        RUNS.mkdir(parents=True, exist_ok=True)
        np.savez(file, allow_pickle=False, seconds=time.monotonic() - started, **found)
    with np.load(file) as stored:
        metrics = {name: stored[name] for name in stored.files}
    seconds = float(metrics.pop("seconds"))
    first = [{name: values[:count] for name, values in step.items()} for step in ladder]
    return {
        "name": f"rollouts, {futures} futures, {' and '.join(days.split('-'))} days",
        "episodes": count,
        "seconds": seconds,
        **compare_with_ladder(metrics, first),
    }
