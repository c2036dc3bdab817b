"""The shared experience pool: whole episodes in one array ring, transitions cut on demand.

A transition is one agent's decision for one SKU. All agents of a network read rows of the same
observation, so an observation is stored once for all of them and once for its role as the next
one; only actions are stored by module. n-step returns and the high level's review-period returns
are computed on insertion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, IntArray
from marl.config import TrainConfig

Half = NDArray[np.float16]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Fragment:
    """B whole episodes of one EnvRunner, in plain arrays.

    R = N + 1 rows (DCs, stores, network); T periods; T' review periods.
    """

    observations: Half  # (B, T + 1, R, K, F); the last one is what truncation bootstraps from
    actions: dict[str, Bytes]  # module_id -> (B, T, A_m, K), of the high level (B, T', A_m, K)
    rewards: Float32Array  # (B, T, R, K)
    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # metric -> (B,)

    @property
    def num_episodes(self) -> int:
        """B."""
        return len(self.rewards)

    def env_steps(self) -> int:
        """Periods times copies."""
        return int(self.rewards.shape[0] * self.rewards.shape[1])

    def agent_steps(self) -> int:
        """Decisions of agents, not counting SKUs."""
        return sum(int(np.prod(a.shape[:3])) for a in self.actions.values())


@dataclass(frozen=True)
class Batch:
    """Transitions for U updates of M modules, N each; names carry the time index."""

    obs_tm1: Half  # (U, M, N, F)
    a_tm1: IntArray  # (U, M, N)
    r_t: Float32Array  # (U, M, N) discounted sum up to the next observation
    discount_t: Float32Array  # (U, M, N)
    obs_t: Half  # (U, M, N, F)


@dataclass(frozen=True)
class PoolShape:
    """What the pool must know of the environment."""

    horizon: int  # T
    review_period: int
    num_rows: int  # R
    num_skus: int  # K
    num_features: int  # F
    module_rows: dict[str, slice]  # module_id -> its agents' rows

    @classmethod
    def from_env(cls, env: BatchedEnv) -> Self:
        """Reads the sizes off an environment."""
        return cls(
            horizon=env.scenario.horizon,
            review_period=env.scenario.review_period,
            num_rows=env.network.num_nodes + 1,
            num_skus=env.network.num_skus,
            num_features=env.num_features,
            module_rows=env.roster.module_rows,
        )

    @property
    def review_times(self) -> IntArray:
        """Periods in which the high level decides, (T',)."""
        return np.arange(0, self.horizon, self.review_period)

    def num_agents(self, module_id: str) -> int:
        """A_m."""
        rows = self.module_rows[module_id]
        return int(rows.stop - rows.start)

    @property
    def bytes_per_episode(self) -> int:
        """Memory of an episode, with the returns that are computed on insertion."""
        cells = self.num_rows * self.num_skus
        low = sum(self.num_agents(m) for m in MODULES if m not in HIGH_MODULES)
        reviews = len(self.review_times)
        return (
            (self.horizon + 1) * cells * self.num_features * 2
            + self.horizon * (cells * 4 + low * self.num_skus)
            + reviews * self.num_skus * (4 + len(HIGH_MODULES))
        )


def compute_capacity(shape: PoolShape, capacity_env_steps: int, max_memory_mb: float) -> int:
    """Returns how many whole episodes a pool holds: the asked ones, or what the memory allows."""
    by_memory = int(max_memory_mb * 2**20 / shape.bytes_per_episode)
    return min(capacity_env_steps // shape.horizon, by_memory)


def check_pool_fits(scenario: Scenario, config: TrainConfig) -> None:
    """Refuses a pool that cannot hold what one runner samples at a time.

    Raises:
        InputError: names the setting that is too small.
    """
    shape = PoolShape.from_env(BatchedEnv(scenario, num_copies=1))
    pool, copies = config.pool, config.env_runners.num_envs_per_env_runner
    if pool.capacity_env_steps < copies * shape.horizon:
        raise InputError(
            f"pool.capacity_env_steps: {pool.capacity_env_steps} is not allowed; at least "
            f"{copies * shape.horizon} ({copies} copies x {shape.horizon} periods)"
        )
    if compute_capacity(shape, pool.capacity_env_steps, pool.max_memory_mb) < copies:
        needed = copies * shape.bytes_per_episode / 2**20
        raise InputError(
            f"pool.max_memory_mb: {pool.max_memory_mb:g} is not allowed; at least {needed:.0f} "
            f"({copies} copies of one episode)"
        )


class ExperiencePool:
    """A ring of the latest episodes, sampled uniformly by transition.

    Args:
        shape: of the environment.
        capacity_env_steps: periods to keep; rounded down to whole episodes, at least one.
        max_memory_mb: upper bound of the memory, which shrinks the capacity.
        n_step: periods a low-level return spans.
        gamma: discount a period.
        seed: of the sampling.
    """

    def __init__(
        self,
        shape: PoolShape,
        *,
        capacity_env_steps: int,
        max_memory_mb: float,
        n_step: int,
        gamma: float,
        seed: int,
    ) -> None:
        self.capacity = max(1, compute_capacity(shape, capacity_env_steps, max_memory_mb))
        self.shape = shape
        self.size = 0  # episodes held
        self._next = 0
        self._rng = np.random.default_rng(seed)
        t, n = shape.horizon, self.capacity
        reviews = shape.review_times
        self._obs = np.zeros(
            (n, t + 1, shape.num_rows, shape.num_skus, shape.num_features), np.float16
        )
        self._actions = {
            m: np.zeros(
                (n, len(reviews) if m in HIGH_MODULES else t, shape.num_agents(m), shape.num_skus),
                np.uint8,
            )
            for m in MODULES
        }
        self._low_return = np.zeros((n, t, shape.num_rows, shape.num_skus), np.float32)
        self._high_return = np.zeros((n, len(reviews), shape.num_skus), np.float32)
        # All episodes are equally long, so these depend on the period alone.
        self._low_next = np.minimum(np.arange(t) + n_step, t)
        self._high_next = np.minimum(reviews + shape.review_period, t)
        self._gamma = gamma
        self._low_discount = (gamma ** (self._low_next - np.arange(t))).astype(np.float32)
        self._high_discount = (gamma ** (self._high_next - reviews)).astype(np.float32)

    @property
    def memory_mb(self) -> float:
        """Memory of all arrays."""
        return self.capacity * self.shape.bytes_per_episode / 2**20

    @property
    def num_env_steps(self) -> int:
        """Periods held."""
        return self.size * self.shape.horizon

    def num_transitions(self, module_id: str) -> int:
        """Transitions of a module: decisions for a SKU."""
        return self.size * int(np.prod(self._actions[module_id].shape[1:]))

    def add(self, fragment: Fragment) -> None:
        """Stores whole episodes over the oldest ones."""
        slots = (self._next + np.arange(len(fragment.rewards))) % self.capacity
        if len(slots) > self.capacity:
            raise ValueError(
                f"a fragment of {len(slots)} episodes does not fit a pool of {self.capacity}"
            )
        self._obs[slots] = fragment.observations
        for module_id, actions in fragment.actions.items():
            self._actions[module_id][slots] = actions
        self._low_return[slots] = self._sum_discounted(
            fragment.rewards, np.arange(self.shape.horizon), self._low_next
        )
        self._high_return[slots] = self._sum_discounted(
            fragment.rewards[:, :, -1], self.shape.review_times, self._high_next
        )
        self._next = int(slots[-1] + 1) % self.capacity
        self.size = min(self.size + len(slots), self.capacity)

    def sample(self, num_updates: int, batch_size: int) -> Batch:
        """Draws transitions uniformly, for all modules and several updates at once.

        Args:
            num_updates: U.
            batch_size: N, by module and update.
        """
        shape, rng = self.shape, self._rng
        dims = (num_updates, len(MODULES), batch_size)
        episode = rng.integers(self.size, size=dims)
        sku = rng.integers(shape.num_skus, size=dims)
        row, now, later = (np.empty(dims, np.int64) for _ in range(3))
        a_tm1 = np.empty(dims, np.int64)
        r_t, discount_t = np.empty(dims, np.float32), np.empty(dims, np.float32)
        for m, module_id in enumerate(MODULES):
            e, k = episode[:, m], sku[:, m]
            actions = self._actions[module_id]
            decision = rng.integers(actions.shape[1], size=e.shape)
            agent = rng.integers(actions.shape[2], size=e.shape)
            row[:, m] = shape.module_rows[module_id].start + agent
            a_tm1[:, m] = actions[e, decision, agent, k]
            if module_id in HIGH_MODULES:
                now[:, m] = shape.review_times[decision]
                later[:, m] = self._high_next[decision]
                r_t[:, m] = self._high_return[e, decision, k]
                discount_t[:, m] = self._high_discount[decision]
            else:
                now[:, m], later[:, m] = decision, self._low_next[decision]
                r_t[:, m] = self._low_return[e, decision, row[:, m], k]
                discount_t[:, m] = self._low_discount[decision]
        return Batch(
            obs_tm1=self._obs[episode, now, row, sku],
            a_tm1=a_tm1,
            r_t=r_t,
            discount_t=discount_t,
            obs_t=self._obs[episode, later, row, sku],
        )

    def get_state(self) -> dict[str, Any]:
        """Arrays of the episodes held, and the sampling's random state; no copies."""
        held = slice(0, self.size)
        return {
            "obs": self._obs[held],
            "low_return": self._low_return[held],
            "high_return": self._high_return[held],
            **{f"actions/{m}": self._actions[m][held] for m in MODULES},
            "next": self._next,
            "capacity": self.capacity,
            "rng": self._rng.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`, exactly.

        Raises:
            ValueError: if the pool has another capacity or shape.
        """
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"pool capacity {self.capacity} differs from the checkpoint's {state['capacity']}"
            )
        arrays: dict[str, NDArray[Any]] = {
            "obs": self._obs,
            "low_return": self._low_return,
            "high_return": self._high_return,
            **{f"actions/{m}": self._actions[m] for m in MODULES},
        }
        for name, target in arrays.items():
            stored = state[name]
            if stored.shape[1:] != target.shape[1:]:
                raise ValueError(f"pool array {name} of the checkpoint has another shape")
            target[: len(stored)] = stored
            self.size = len(stored)
        self._next = state["next"]
        self._rng.bit_generator.state = state["rng"]

    def _sum_discounted(
        self, rewards: Float32Array, start: IntArray, end: IntArray
    ) -> Float32Array:
        """Sums gamma^i r over [start, end) along axis 1: (B, T, ...) to (B, len(start), ...)."""
        total = np.zeros((len(rewards), len(start), *rewards.shape[2:]), np.float32)
        for i in range(int((end - start).max())):
            inside = start + i < end
            total[:, inside] += self._gamma**i * rewards[:, start[inside] + i]
        return total
