"""RLlib's `evaluate()`: episodes of the averaged policy without exploration."""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MAX,
    EPISODE_RETURN_MEAN,
    EPISODE_RETURN_MIN,
    NUM_ENV_STEPS_SAMPLED,
    NUM_EPISODES,
)

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.types import SeedArray
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.draws import make_seeds
from marl.learning.methods import Method
from marl.learning.policy_arrays import Weights

COPIES = 64  # in lock-step; they change speed and memory, never results


class Evaluator:
    """Runs validation episodes: the same ones each time, or others where `seed` is None.

    Args:
        method: whose policy it is.
        settings: `seed`, of the episodes; without it they are the run's validation episodes.
    """

    def __init__(self, method: Method, settings: dict[str, Any]) -> None:
        self.method = method
        seed = settings.get("seed", method.config.seed)
        self.renews = seed is None
        self.seed: int = method.config.seed if seed is None else seed
        self.episodes = 0  # run so far

    def run(self, weights: Weights) -> dict[str, Any]:
        """Returns RLlib's results of as many episodes as `validation_episodes` says."""
        count = self.method.config.evaluation.validation_episodes
        skip = self.episodes if self.renews else 0
        found = self._run_episodes(weights, make_seeds("validation", self.seed, count, skip=skip))
        self.episodes += count
        horizon = self.method.scenario.horizon
        returns = found["reward"] * horizon
        results: dict[str, Any] = {name: float(values.mean()) for name, values in found.items()}
        results |= {
            EPISODE_RETURN_MEAN: float(returns.mean()),
            EPISODE_RETURN_MIN: float(returns.min()),
            EPISODE_RETURN_MAX: float(returns.max()),
            EPISODE_LEN_MEAN: float(horizon),
            NUM_EPISODES: count,
            NUM_ENV_STEPS_SAMPLED: count * horizon,
            "epsilon": 0.0,
        }
        return {ENV_RUNNER_RESULTS: results}

    def _run_episodes(self, weights: Weights, seeds: SeedArray) -> EpisodeMetrics:
        """Returns metric -> values by episode, each (n,)."""
        policy = self.method.make_policy(weights, "learned")
        batches = []
        for first in range(0, len(seeds), COPIES):
            batch = seeds[first : first + COPIES]
            env = BatchedEnv(self.method.scenario, len(batch), "train")
            env.reset(batch)
            while not policy.run_period(env).done:
                pass
            batches.append(env.compute_metrics())
        return {name: np.concatenate([found[name] for found in batches]) for name in batches[0]}
