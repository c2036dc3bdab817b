"""Paired evaluation: every policy meets the same demand, in the same episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import FloatArray, SeedArray
from envs.omnichannel.world.account.costs import TERMS
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.demand import Split
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.bounds.lower_bound import compute_reward_bounds
from marl.evaluation.bounds.optimum import OPTIMUM
from marl.evaluation.statistics import Interval, compute_mean_interval, compute_paired_interval
from marl.policies import BASELINES
from marl.policies.base import Policy

Intervals = dict[str, Interval]  # by metric

UNTRAINED = "untrained"  # the name of networks before their first update

# Rows of the comparison: metric, label, factor, decimals.
_ROWS = (
    ("on_time", "on time, %", 100, 2),
    ("served", "served, %", 100, 2),
    ("reward", "reward", 1, 4),
    ("cost/total", "cost/total", 1, 2),
)
_TERM_ROWS = tuple((f"cost/{term}", f"  {term}", 1, 2) for term in TERMS)
_ALWAYS = {metric for metric, *_ in _ROWS}
_COLUMNS = 6  # policies beside each other
_PAIRED_ROWS = ("reward", "cost/total", "on_time")


class EpisodeRunner:
    """Runs policies through one fixed set of episodes, keeping the environments.

    Args:
        scenario: what to simulate.
        seeds: one an episode, (n,). Equal seeds give every policy equal exogenous draws.
        split: which part of recorded demand the episodes come from.
        batch_size: copies in lock-step; it changes speed and memory, never results.
    """

    def __init__(
        self, scenario: Scenario, seeds: SeedArray, split: Split, batch_size: int = 64
    ) -> None:
        self.batches = [seeds[i : i + batch_size] for i in range(0, len(seeds), batch_size)]
        sizes = {len(batch) for batch in self.batches}
        self.envs = {size: BatchedEnv(scenario, size, split) for size in sizes}

    def run(self, policy: Policy) -> EpisodeMetrics:
        """Returns metric -> values by episode, each (n,)."""
        batches = [self._run_batch(policy, batch) for batch in self.batches]
        return {metric: np.concatenate([b[metric] for b in batches]) for metric in batches[0]}

    def compute_final_stock(self) -> FloatArray:
        """Returns the units on hand after the last batch's episodes, mean over them, (N, K)."""
        stock: FloatArray = self.envs[len(self.batches[-1])].state.on_hand.mean(axis=0)
        return stock

    def _run_batch(self, policy: Policy, seeds: SeedArray) -> EpisodeMetrics:
        env = self.envs[len(seeds)]
        env.reset(seeds)
        while not policy.run_period(env).done:
            pass
        return env.compute_metrics()


def run_episodes(
    policy: Policy, scenario: Scenario, seeds: SeedArray, split: Split, batch_size: int = 64
) -> EpisodeMetrics:
    """Returns the metrics of one whole episode for each seed.

    Args:
        policy: who decides.
        scenario: what to simulate.
        seeds: one an episode, (n,), n >= 1.
        split: which part of recorded demand the episodes come from.
        batch_size: copies in lock-step; results do not depend on it.

    Returns:
        Metric -> values by episode, each (n,).
    """
    return EpisodeRunner(scenario, seeds, split, batch_size).run(policy)


@dataclass(frozen=True)
class Bound:
    """How far policies are from what no policy can exceed, on the first of the episodes."""

    episodes: int
    reward: Interval  # the bound
    gaps: dict[str, Interval]  # bound - the policy's reward, paired, by policy


@dataclass(frozen=True)
class Evaluation:
    """What a paired comparison found."""

    scenario: str
    episodes: int
    seed: int
    policies: dict[str, Intervals]  # by policy
    paired: dict[str, Intervals]  # by "A - B"
    bound: Bound | None = None
    held_back: bool = False  # recorded days that neither training nor tuning has seen

    def to_json(self) -> dict[str, Any]:
        """Returns what `evaluate --json` writes."""
        content = {
            "scenario": self.scenario,
            "episodes": self.episodes,
            "seed": self.seed,
            "policies": {name: {"metrics": _to_dicts(m)} for name, m in self.policies.items()},
            "paired": {pair: _to_dicts(metrics) for pair, metrics in self.paired.items()},
        }
        return content | ({"bound": asdict(self.bound)} if self.bound else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Returns what `to_json` made the data of.

        Raises:
            KeyError, TypeError, AttributeError: if it is not of that form.
        """
        return cls(
            scenario=str(data["scenario"]),
            episodes=int(data["episodes"]),
            seed=int(data["seed"]),
            policies={n: _to_intervals(entry["metrics"]) for n, entry in data["policies"].items()},
            paired={pair: _to_intervals(metrics) for pair, metrics in data["paired"].items()},
        )


def evaluate_policies(
    policies: Mapping[str, Policy],
    scenario: Scenario,
    episodes: int,
    seed: int,
    *,
    purpose: str = "test",
    split: Split = "evaluate",
    bound_episodes: int = 0,
) -> Evaluation:
    """Compares policies on common random numbers.

    Args:
        policies: by the name to report; at least one.
        scenario: what to simulate.
        episodes: of each policy, >= 1.
        seed: base seed of the episodes.
        purpose: keeps these episodes apart from those that trained or tuned a policy.
        split: which part of recorded demand the episodes come from.
        bound_episodes: how many of them to solve for the bound on the reward; 0: none.

    Returns:
        Means with 95% intervals by policy, and of the differences by pair (see `choose_pairs`).
    """
    seeds = make_seeds(purpose, seed, episodes)
    runner = EpisodeRunner(scenario, seeds, split)
    found = {name: runner.run(policy) for name, policy in policies.items()}
    return Evaluation(
        scenario=scenario.name,
        episodes=episodes,
        seed=seed,
        policies={
            name: {metric: compute_mean_interval(v) for metric, v in metrics.items()}
            for name, metrics in found.items()
        },
        paired={
            f"{a} - {b}": {m: compute_paired_interval(v, found[b][m]) for m, v in found[a].items()}
            for a, b in choose_pairs(policies)
        },
        bound=_bound(scenario, seeds[:bound_episodes], split, found) if bound_episodes else None,
        held_back=split == "evaluate" and isinstance(scenario.demand, Trace),
    )


def _bound(
    scenario: Scenario, seeds: SeedArray, split: Split, found: Mapping[str, EpisodeMetrics]
) -> Bound:
    """The bound on the first episodes, and every policy's distance from it."""
    both = [compute_reward_bounds(scenario, seeds, split, penalised=p) for p in (False, True)]
    bounds = min(both, key=np.mean)  # either is one for every policy's mean
    return Bound(
        episodes=len(seeds),
        reward=compute_mean_interval(bounds),
        gaps={
            name: compute_paired_interval(bounds, metrics["reward"][: len(seeds)])
            for name, metrics in found.items()
        },
    )


def choose_pairs(names: Mapping[str, object]) -> list[tuple[str, str]]:
    """Returns the pairs (A, B) to report as A - B.

    Every pair once, the later name minus the earlier one. Where learnt policies take part, those
    are what the comparison is about: only pairs with one of them, as A. `untrained` networks have
    learnt nothing: they are one of the policies to compare with.
    """
    pairs = [(later, earlier) for earlier, later in combinations(names, 2)]
    learnt = {name for name in names if name not in (*BASELINES, OPTIMUM, UNTRAINED)}
    if not learnt:
        return pairs
    return [(a, b) if a in learnt else (b, a) for a, b in pairs if a in learnt or b in learnt]


def make_tables(evaluation: Evaluation) -> list[Table]:
    """Returns the comparison for the terminal: a metric a row, a policy a column.

    Cost terms that no policy pays are left out. Values are means +- half the 95% interval. Six
    policies fit 120 columns, and more are spread over several tables; in less, values wrap.
    """
    names = list(evaluation.policies)
    parts = [names[i : i + _COLUMNS] for i in range(0, len(names), _COLUMNS)]
    return [_make_table(evaluation, part) for part in parts]


def _make_table(evaluation: Evaluation, names: list[str]) -> Table:
    period = " of the held-back period" if evaluation.held_back else ""
    title = f"{evaluation.scenario}: {evaluation.episodes} episodes{period}, mean ± 95%"
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column("metric", no_wrap=True)
    for name in names:
        table.add_column(_break_name(name), justify="right")
    paid = evaluation.policies.values()
    found = [evaluation.policies[name] for name in names]
    for metric, label, factor, decimals in (*_ROWS, *_TERM_ROWS):
        if metric in _ALWAYS or any(metrics[metric].mean for metrics in paid):
            table.add_row(label, *(_format(m[metric], factor, decimals) for m in found))
    if bound := evaluation.bound:
        gaps = (_format(bound.gaps[name], 1, 4) for name in names)
        table.add_row(f"below bound ({bound.episodes})", *gaps)
        table.caption = (
            f"On average nobody exceeds a reward of {_format(bound.reward, 1, 4)} in "
            f"{bound.episodes} of the episodes: perfect information, relaxed; no policy may come "
            "near it."
        )
    return table


def make_paired_table(evaluation: Evaluation) -> Table:
    """Returns the paired differences for the terminal: a pair a row."""
    table = Table(title="paired differences, mean ± 95%", box=SIMPLE_HEAD)
    table.add_column("pair", overflow="fold")
    rows = {metric: row for metric, *row in _ROWS}
    for metric in _PAIRED_ROWS:
        table.add_column(str(rows[metric][0]), justify="right", no_wrap=True)
    for pair, metrics in evaluation.paired.items():
        table.add_row(pair, *_format_differences(metrics))
    return table


def _format_differences(metrics: Intervals) -> Iterator[str]:
    rows = {metric: (factor, decimals) for metric, _, factor, decimals in _ROWS}
    for metric in _PAIRED_ROWS:
        factor, decimals = rows[metric]
        yield _format(metrics[metric], factor, decimals, sign="+")


def _format(interval: Interval, factor: float, decimals: int, sign: str = "") -> str:
    mean = f"{factor * interval.mean:{sign}.{decimals}f}"
    if interval.half_width == 0:
        return mean
    return f"{mean} ± {factor * interval.half_width:.{decimals}f}"


def _break_name(name: str, width: int = 12) -> str:
    """Breaks a policy's name after underscores, so that six of them fit beside each other."""
    lines = [""]
    for part in name.replace("_", "_ ").split():
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _to_dicts(metrics: Intervals) -> dict[str, dict[str, float]]:
    return {metric: asdict(interval) for metric, interval in metrics.items()}


def _to_intervals(metrics: Mapping[str, Mapping[str, float]]) -> Intervals:
    return {metric: Interval(**values) for metric, values in metrics.items()}
