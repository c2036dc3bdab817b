"""What the experience pool must know of the environment, and the memory that it takes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from envs.errors import InputError
from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray
from marl.config import TrainConfig
from marl.learning.priorities import BYTES_PER_TRANSITION


@dataclass(frozen=True)
class PoolShape:
    """What the pool must know of the environment."""

    horizon: int  # T
    review_period: int
    num_rows: int  # R
    num_skus: int  # K
    num_features: int  # F
    module_rows: dict[str, slice]  # module_id -> its agents' rows
    prioritized: bool = False

    @classmethod
    def from_env(cls, env: BatchedEnv, *, prioritized: bool = False) -> Self:
        """Reads the sizes off an environment."""
        return cls(
            horizon=env.scenario.horizon,
            review_period=env.scenario.review_period,
            num_rows=env.network.num_nodes + 1,
            num_skus=env.network.num_skus,
            num_features=env.num_features,
            module_rows=env.roster.module_rows,
            prioritized=prioritized,
        )

    @property
    def review_times(self) -> IntArray:
        """Periods in which the high level decides, (T',)."""
        return np.arange(0, self.horizon, self.review_period)

    def num_agents(self, module_id: str) -> int:
        """A_m."""
        rows = self.module_rows[module_id]
        return int(rows.stop - rows.start)

    def num_decisions(self, module_id: str) -> int:
        """Periods of an episode in which the module decides."""
        return len(self.review_times) if module_id in HIGH_MODULES else self.horizon

    @property
    def transitions_per_episode(self) -> int:
        """Decisions for a SKU, of all modules."""
        return sum(self.num_decisions(m) * self.num_agents(m) for m in MODULES) * self.num_skus

    @property
    def bytes_per_episode(self) -> int:
        """Memory of an episode, with the returns that are computed on insertion."""
        cells = self.num_rows * self.num_skus
        stored = (
            (self.horizon + 1) * cells * self.num_features * 2
            + self.horizon * cells * 4
            + len(self.review_times) * self.num_skus * 4
            + self.transitions_per_episode
        )
        if self.prioritized:
            stored += math.ceil(BYTES_PER_TRANSITION * self.transitions_per_episode)
        return stored


def count_agents(scenario: Scenario) -> list[int]:
    """Agents of each module, in the order of `MODULES`."""
    roster = BatchedEnv(scenario, num_copies=1).roster
    return [roster.num_agents(m) for m in MODULES]


def compute_capacity(shape: PoolShape, capacity_env_steps: int, max_memory_mb: float) -> int:
    """Returns how many whole episodes a pool holds: the asked ones, or what the memory allows."""
    by_memory = int(max_memory_mb * 2**20 / shape.bytes_per_episode)
    return min(capacity_env_steps // shape.horizon, by_memory)


def check_pool_fits(scenario: Scenario, config: TrainConfig) -> None:
    """Refuses a pool that cannot hold what one runner samples at a time.

    Raises:
        InputError: names the setting that is too small.
    """
    pool, copies = config.pool, config.env_runners.num_envs_per_env_runner
    shape = PoolShape.from_env(
        BatchedEnv(scenario, num_copies=1), prioritized=pool.prioritized is not None
    )
    least = copies * shape.horizon * pool.num_shards
    if pool.capacity_env_steps < least:
        shards = f" x {pool.num_shards} shards" if pool.num_shards > 1 else ""
        raise InputError(
            f"pool.capacity_env_steps: {pool.capacity_env_steps} is not allowed; at least "
            f"{least} ({copies} copies x {shape.horizon} periods{shards})"
        )
    most_agents = max(shape.num_agents(m) for m in MODULES)
    if config.learner.vdn and config.learner.batch_size < most_agents:
        raise InputError(
            f"learner.batch_size: {config.learner.batch_size} is not allowed with learner.vdn; at "
            f"least {most_agents} (agents of a module)"
        )
    capacity = compute_capacity(shape, pool.capacity_env_steps, pool.max_memory_mb)
    # Half, because a checkpoint holds a copy of the pool while it is written.
    most = measure_memory_mb() / 2
    if capacity * shape.bytes_per_episode / 2**20 > most:
        raise InputError(
            f"pool.max_memory_mb: {pool.max_memory_mb:g} is not allowed for a pool of "
            f"{capacity * shape.bytes_per_episode / 2**20:.0f} MB; at most {most:.0f} "
            "(half of this machine's memory)"
        )
    copies *= pool.num_shards
    if capacity < copies:
        needed = copies * shape.bytes_per_episode / 2**20
        raise InputError(
            f"pool.max_memory_mb: {pool.max_memory_mb:g} is not allowed; at least {needed:.0f} "
            f"({copies} copies of one episode)"
        )


def measure_memory_mb() -> float:
    """Returns the memory of this machine, or of the container if that is less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    return min(physical, int(limit) if limit.isdecimal() else physical) / 2**20
