"""Sampling of the 34 agents: whole episodes of many copies, each exploring with its epsilon."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.types import Bytes, FloatArray, IntArray
from marl.learning.dqn.kernels import fill_explored, mark_explored
from marl.learning.dqn.network import QNetwork
from marl.learning.dqn.policy import select_greedy
from marl.learning.pool.experience_pool import Fragment


def spread_epsilon(epsilon: float, initial: float, first: int, copies: int, of: int) -> FloatArray:
    """Returns the exploration of each copy, (B,): copy i of n explores with e^(1 + 7 i / (n - 1)).

    Source: Horgan et al. 2018 (Ape-X), section 4.

    Args:
        epsilon: annealed.
        initial: before annealing, whose powers are taken: every copy is annealed by one factor.
        first: number of the first of these copies among those of all runners.
        copies: B.
        of: copies of all runners, n.
    """
    ladder = 1 + 7 * (first + np.arange(copies)) / max(of - 1, 1)
    scale = epsilon / initial
    spread: FloatArray = scale * initial**ladder
    return spread


def sample_episodes(
    env: BatchedEnv,
    networks: Mapping[str, QNetwork],
    epsilon: FloatArray,
    rng: np.random.Generator,
) -> Fragment:
    """Runs the episodes of a freshly reset environment to their end.

    Args:
        env: B copies.
        networks: by module.
        epsilon: of each copy, (B,).
        rng: of the exploration.
    """
    shape, horizon = (env.num_copies, env.network.num_skus), env.scenario.horizon
    rows, features = env.layout.num_rows, env.layout.num_features
    observations = np.empty((shape[0], horizon + 1, rows, shape[1], features), np.float16)
    rewards = np.empty((shape[0], horizon, rows, shape[1]), np.float32)
    chosen: dict[str, list[Bytes]] = {m: [] for m in MODULES}

    def explore(module_id: str, options: IntArray) -> None:
        explore_options(options, env.layout.modules[module_id].num_options, epsilon, rng)
        chosen[module_id].append(options.astype(np.uint8))

    for period in range(horizon):
        actions = select_greedy(env, networks, env.observe(observations, period), explore)
        rewards[:, period] = env.step(actions).rewards
    env.observe(observations, horizon)
    return Fragment(
        observations=observations,
        actions={m: np.stack(a, axis=1) for m, a in chosen.items()},
        rewards=rewards,
        metrics=env.compute_metrics(),
    )


def explore_options(
    options: IntArray, num_options: int, epsilon: FloatArray, rng: np.random.Generator
) -> None:
    """Replaces options (B, A, K), in place, by uniform ones with each copy's epsilon (B,)."""
    marked = mark_explored(options, rng.random(options.shape, np.float32), epsilon)
    fill_explored(options, rng.integers(num_options, size=marked))
