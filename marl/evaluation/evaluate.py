"""Paired evaluation: every policy meets the same demand, in the same episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Annotated, Any, Self

import numpy as np
from pydantic import AfterValidator, Field

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, SeedArray
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.demand import Split
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from envs.validation import Count, CountOrZero, StrictModel
from marl.errors import CutError
from marl.evaluation.bounds.lower_bound import compute_reward_bounds
from marl.evaluation.bounds.optimum import OPTIMUM
from marl.evaluation.statistics import Interval, compute_mean_interval, compute_paired_interval
from marl.policies import BASELINES
from marl.policies.base import Policy

Intervals = dict[str, Interval]  # by metric

MOST_MEASURED = 1e15  # of a measurement

UNTRAINED = "untrained"  # the name of networks before their first update


class EpisodeRunner:
    """Runs policies through one fixed set of episodes, keeping the environments.

    Args:
        scenario: what to simulate.
        seeds: one an episode, (n,). Equal seeds give every policy equal exogenous draws.
        split: which part of recorded demand the episodes come from.
        batch_size: copies in lock-step; it changes speed and memory, never results.

    Attributes:
        should_stop: asked in every period whether the rest is not wanted any more.
    """

    should_stop: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self, scenario: Scenario, seeds: SeedArray, split: Split, batch_size: int = 64
    ) -> None:
        self.batches = [seeds[i : i + batch_size] for i in range(0, len(seeds), batch_size)]
        sizes = {len(batch) for batch in self.batches}
        self.envs = {size: BatchedEnv(scenario, size, split) for size in sizes}
        demand = next(iter(self.envs.values())).simulator.demand
        # Days that neither training nor tuning has seen.
        self.is_held_back = (
            split == "evaluate" and isinstance(demand, TraceDemand) and demand.held_back > 0
        )

    def run(self, policy: Policy) -> EpisodeMetrics:
        """Returns metric -> values by episode, each (n,).

        Raises:
            CutError: if it is time to stop.
        """
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
            if self.should_stop():
                raise CutError
        return env.compute_metrics()


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How far policies are from what no policy can exceed, on the first of the episodes."""

    episodes: int
    reward: Interval  # the bound
    gaps: dict[str, Interval]  # bound - the policy's reward, paired, by policy


@dataclass(frozen=True, kw_only=True)
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
            ValueError: if it is not of that form.
        """
        found = _EvaluationFile.model_validate(data)
        return cls(
            scenario=found.scenario,
            episodes=found.episodes,
            seed=found.seed,
            policies={name: _to_intervals(own.metrics) for name, own in found.policies.items()},
            paired={pair: _to_intervals(metrics) for pair, metrics in found.paired.items()},
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
        held_back=runner.is_held_back,
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


def _to_dicts(metrics: Intervals) -> dict[str, dict[str, float]]:
    return {metric: asdict(interval) for metric, interval in metrics.items()}


def _check_size(value: float) -> float:
    """A measurement may be NaN, where there was nothing to measure."""
    if abs(value) > MOST_MEASURED:
        raise ValueError(f"{value:g} is not allowed; at most {MOST_MEASURED:g}")
    return value


_Measured = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_check_size)]


class _IntervalData(StrictModel):
    mean: _Measured
    low: _Measured
    high: _Measured


class _PolicyData(StrictModel):
    metrics: dict[str, _IntervalData]


class _EvaluationFile(StrictModel):
    scenario: str
    episodes: Count
    seed: CountOrZero
    policies: dict[str, _PolicyData]
    paired: dict[str, dict[str, _IntervalData]]
    bound: Any = None  # not shown


def _to_intervals(metrics: Mapping[str, _IntervalData]) -> Intervals:
    return {metric: Interval(**values.model_dump()) for metric, values in metrics.items()}
