"""Sizes of the experience pool: its arrays, and the memory that they take."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES_OF, level_of
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray
from marl.config import Pool, TrainConfig
from marl.learning.priorities import BYTES_PER_TRANSITION


@dataclass(frozen=True)
class PoolShape:
    """What the pool must know of the environment."""

    horizon: int  # T
    review_period: int
    num_rows: int  # R
    num_skus: int  # K
    num_features: int  # F
    module_rows: dict[str, slice]  # module_id -> its agents' rows; the high level's is the last one
    prioritized: bool = False

    @classmethod
    def from_layout(cls, layout: Layout, *, prioritized: bool = False) -> Self:
        """Reads the sizes off a scenario's layout."""
        return cls(
            horizon=layout.horizon,
            review_period=layout.review_period,
            num_rows=layout.num_rows,
            num_skus=layout.num_skus,
            num_features=layout.num_features,
            module_rows={name: module.rows for name, module in layout.modules.items()},
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

    def level_rows(self, level: str) -> slice:
        """Rows that a level's agents read: those of all locations, or the network's."""
        last = self.num_rows - 1
        return slice(last, self.num_rows) if level == "high" else slice(0, last)

    def decision_times(self, level: str) -> IntArray:
        """Periods in which a level decides, (T',)."""
        return self.review_times if level == "high" else np.arange(self.horizon)

    def transitions_per_episode(self, module_id: str) -> int:
        """Decisions for a SKU, of a module."""
        times = self.decision_times(level_of(module_id))
        return len(times) * self.num_agents(module_id) * self.num_skus

    def lines_per_episode(self, level: str) -> int:
        """Observations of a row and SKU that a level's agents decide with, and the last ones."""
        rows = self.level_rows(level)
        return (len(self.decision_times(level)) + 1) * (rows.stop - rows.start) * self.num_skus

    def bytes_per_episode(self, level: str) -> int:
        """Memory of an episode of a level, with the returns that are computed on insertion."""
        rows = self.level_rows(level)
        sums = len(self.decision_times(level)) * (rows.stop - rows.start) * self.num_skus
        decisions = sum(self.transitions_per_episode(m) for m in MODULES_OF[level])
        stored = self.lines_per_episode(level) * self.num_features * 2 + sums * 4 + decisions
        if self.prioritized:
            stored += math.ceil(BYTES_PER_TRANSITION * decisions)
        return stored

    def compute_memory_mb(self, capacity: dict[str, int]) -> float:
        """Returns what pools of some episodes a level take."""
        return sum(n * self.bytes_per_episode(level) for level, n in capacity.items()) / 2**20


def count_agents(scenario: Scenario) -> list[int]:
    """Agents of each module, in the order of `MODULES`."""
    return [module.num_agents for module in Layout.from_scenario(scenario).modules.values()]


@dataclass(frozen=True)
class PoolSize:
    """How much a pool is to hold."""

    capacity_env_steps: int  # periods
    max_memory_mb: float  # where they take more, all levels hold less, in proportion
    high_capacity_env_steps: int | None = None  # periods of the high level; None: as many

    @classmethod
    def from_rules(cls, rules: Pool) -> Self:
        """Reads the size off the configuration."""
        return cls(rules.capacity_env_steps, rules.max_memory_mb, rules.high_capacity_env_steps)

    def count_asked(self, shape: PoolShape) -> dict[str, int]:
        """Whole episodes by level, whatever they take."""
        low, high = self.capacity_env_steps, self.high_capacity_env_steps
        asked = {"high": low if high is None else high, "low": low}
        return {level: env_steps // shape.horizon for level, env_steps in asked.items()}

    def count_episodes(self, shape: PoolShape) -> dict[str, int]:
        """Whole episodes by level that the memory allows."""
        asked = self.count_asked(shape)
        share = min(1.0, self.max_memory_mb / max(shape.compute_memory_mb(asked), 1e-9))
        return {level: int(episodes * share) for level, episodes in asked.items()}

    def divide(self, parts: int) -> PoolSize:
        """The size of each of several equal pools."""
        high = self.high_capacity_env_steps
        return PoolSize(
            self.capacity_env_steps // parts,
            self.max_memory_mb / parts,
            None if high is None else high // parts,
        )


def check_pool_fits(scenario: Scenario, config: TrainConfig) -> None:
    """Refuses a pool that cannot hold what one runner samples at a time.

    Raises:
        InputError: names the setting that is too small.
    """
    pool, copies = config.pool, config.env_runners.num_envs_per_env_runner
    layout = Layout.from_scenario(scenario)
    shape = PoolShape.from_layout(layout, prioritized=pool.prioritized is not None)
    least = copies * shape.horizon * pool.num_shards
    for name in ("capacity_env_steps", "high_capacity_env_steps"):
        asked = getattr(pool, name)
        if asked is not None and asked < least:
            shards = f" x {pool.num_shards} shards" if pool.num_shards > 1 else ""
            raise InputError(
                f"pool.{name}: {asked} is not allowed; at least "
                f"{least} ({copies} copies x {shape.horizon} periods{shards})"
            )
    size = PoolSize.from_rules(pool)
    capacity = size.count_episodes(shape)
    # Half, because a checkpoint holds a copy of the pool while it is written.
    most, needed = measure_memory_mb() / 2, shape.compute_memory_mb(capacity)
    if needed > most:
        raise InputError(
            f"pool.max_memory_mb: {pool.max_memory_mb:g} is not allowed for a pool of "
            f"{needed:.0f} MB; at most {most:.0f} (half of this machine's memory)"
        )
    copies *= pool.num_shards
    if min(capacity.values()) < copies:
        asked = size.count_asked(shape)
        needed = shape.compute_memory_mb(asked) * copies / min(asked.values())
        raise InputError(
            f"pool.max_memory_mb: {pool.max_memory_mb:g} is not allowed; at least "
            f"{math.ceil(needed)} ({copies} copies of one episode)"
        )


def measure_memory_mb() -> float:
    """Returns the memory of this machine, or of the container if that is less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    return min(physical, int(limit) if limit.isdecimal() else physical) / 2**20
