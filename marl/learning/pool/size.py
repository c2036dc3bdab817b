"""Sizes of the experience pool: its arrays, and the memory that they take."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES_OF
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from marl.config import Pool, TrainConfig
from marl.learning.pool.priorities import BYTES_PER_TRANSITION


@dataclass(frozen=True)
class PoolShape:
    """What the pool must know of the environment."""

    layout: Layout
    prioritized: bool = False

    def transitions_per_episode(self, module_id: str) -> int:
        """Decisions for a SKU, of a module."""
        layout, module = self.layout, self.layout.modules[module_id]
        times = layout.decision_times(module.level)
        return len(times) * module.num_agents * layout.num_skus

    def lines_per_episode(self, level: str) -> int:
        """Observations of a row and SKU that a level's agents decide with, and the last ones."""
        layout, rows = self.layout, self.layout.rows_of(level)
        times = layout.decision_times(level)
        return (len(times) + 1) * (rows.stop - rows.start) * layout.num_skus

    def bytes_per_episode(self, level: str) -> int:
        """Memory of an episode of a level, with the returns that are computed on insertion."""
        layout, rows = self.layout, self.layout.rows_of(level)
        sums = len(layout.decision_times(level)) * (rows.stop - rows.start) * layout.num_skus
        decisions = sum(self.transitions_per_episode(m) for m in MODULES_OF[level])
        stored = self.lines_per_episode(level) * layout.num_features * 2 + sums * 4 + decisions
        if self.prioritized:
            stored += math.ceil(BYTES_PER_TRANSITION * decisions)
        return stored

    def compute_memory_mb(self, capacity: dict[str, int]) -> float:
        """Returns what pools of some episodes a level take."""
        return sum(n * self.bytes_per_episode(level) for level, n in capacity.items()) / 2**20


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
        return {level: env_steps // shape.layout.horizon for level, env_steps in asked.items()}

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
    shape = PoolShape(layout, prioritized=pool.prioritized is not None)
    least = copies * layout.horizon * pool.num_shards
    for name in ("capacity_env_steps", "high_capacity_env_steps"):
        asked = getattr(pool, name)
        if asked is not None and asked < least:
            shards = f" x {pool.num_shards} shards" if pool.num_shards > 1 else ""
            raise InputError(
                f"pool.{name}: {asked} is not allowed; at least "
                f"{least} ({copies} copies x {layout.horizon} periods{shards})"
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
