"""The shared experience pool: whole episodes in one array ring, transitions cut on demand.

A transition is one agent's decision for one SKU. All agents of a network read rows of the same
observation, so an observation is stored once for all of them and once for its role as the next
one; only actions are stored by module. n-step returns and the high level's review-period returns
are computed on insertion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES
from envs.omnichannel.types import Float32Array, Half, IntArray
from marl.config import Prioritized
from marl.learning.kernels import gather_rows
from marl.learning.pool_shape import PoolShape, compute_capacity
from marl.learning.priorities import Priorities

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
class Sampled:
    """A worker's share of a round, as the driver sees it."""

    num_episodes: int
    num_env_steps: int
    node: str  # address of the machine that sampled it
    metrics: dict[str, NDArray[np.float64]]  # of the episodes: metric -> (B,)
    report: Any  # RLlib's reduced metrics
    fragment: Any  # the episodes, as the pool takes them; None: handed over to a shard


@dataclass(frozen=True)
class Batch:
    """Transitions for U updates of M modules, N each; names carry the time index."""

    obs_tm1: Half  # (U, M, N, F)
    a_tm1: IntArray  # (U, M, N)
    r_t: Float32Array  # (U, M, N) discounted sum up to the next observation
    discount_t: Float32Array  # (U, M, N)
    obs_t: Half  # (U, M, N, F)
    # Importance weights of prioritised draws, or 0 for a group that is cut short, (U, M, N).
    weight: Float32Array | None = None
    cells: IntArray | None = None  # where to send the TD errors of prioritised draws, (U, M, N)


def find_shard(worker: int, num_shards: int) -> int:
    """Returns the shard to which a worker hands over."""
    return (worker - 1) % num_shards


class ExperiencePool:
    """A ring of the latest episodes, sampled by transition: uniformly, or by priority.

    Args:
        shape: of the environment.
        capacity_env_steps: periods to keep; rounded down to whole episodes, at least one.
        max_memory_mb: upper bound of the memory, which shrinks the capacity.
        n_step: periods a low-level return spans.
        gamma: discount a period.
        seed: of the sampling.
        prioritized: None: every transition is as likely.
        grouped: draw all agents of a module together, for one SKU and time; not by priority.
        separate: draw N for every agent instead of every module, by module; not by priority.
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
        prioritized: Prioritized | None = None,
        grouped: bool = False,
        separate: bool = False,
    ) -> None:
        self.capacity = max(1, compute_capacity(shape, capacity_env_steps, max_memory_mb))
        self.shape = shape
        self.size = 0  # episodes held
        self._next = 0
        self._grouped = grouped
        # Who has a network: module_id and agent, None where the agents share it.
        self._learners: list[tuple[str, int | None]] = [
            (m, agent)
            for m in MODULES
            for agent in (range(shape.num_agents(m)) if separate else (None,))
        ]
        self._rng = np.random.default_rng(seed)
        t, n = shape.horizon, self.capacity
        reviews = shape.review_times
        self._obs = np.zeros(
            (n, t + 1, shape.num_rows, shape.num_skus, shape.num_features), np.float16
        )
        self._actions = {
            m: np.zeros((n, shape.num_decisions(m), shape.num_agents(m), shape.num_skus), np.uint8)
            for m in MODULES
        }
        self._priorities = (
            None
            if prioritized is None
            else {m: Priorities(a.shape, prioritized) for m, a in self._actions.items()}
        )
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
        for priorities in (self._priorities or {}).values():
            priorities.renew(slots)
        self._next = int(slots[-1] + 1) % self.capacity
        self.size = min(self.size + len(slots), self.capacity)

    def sample(self, num_updates: int, batch_size: int) -> Batch:
        """Draws transitions for all modules and several updates at once.

        Args:
            num_updates: U.
            batch_size: N, by module and update.
        """
        shape = self.shape
        dims = (num_updates, len(self._learners), batch_size)
        cells = np.empty(dims, np.int64)
        row, sku = np.empty(dims, np.int64), np.empty(dims, np.int64)
        episode, now, later = (np.empty(dims, np.int64) for _ in range(3))
        a_tm1 = np.empty(dims, np.int64)
        r_t, discount_t = np.empty(dims, np.float32), np.empty(dims, np.float32)
        is_weighted = self._grouped or self._priorities is not None
        weight = np.ones(dims, np.float32) if is_weighted else None
        for m, (module_id, own) in enumerate(self._learners):
            actions = self._actions[module_id]
            chosen = cells[:, m] = self._draw_cells(module_id, own, (num_updates, batch_size))
            if self._priorities is not None and weight is not None:
                held = self.num_transitions(module_id)
                weight[:, m] = self._priorities[module_id].compute_weights(chosen, held)
            if self._grouped and weight is not None:
                agents = shape.num_agents(module_id)
                weight[:, m, batch_size - batch_size % agents :] = 0
            e, decision, agent, k = np.unravel_index(chosen, actions.shape)
            episode[:, m], sku[:, m] = e, k
            row[:, m] = shape.module_rows[module_id].start + agent
            a_tm1[:, m] = actions.reshape(-1)[chosen]
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
            obs_tm1=self._gather_observations(episode, now, row, sku),
            a_tm1=a_tm1,
            r_t=r_t,
            discount_t=discount_t,
            obs_t=self._gather_observations(episode, later, row, sku),
            weight=weight,
            cells=None if self._priorities is None else cells,
        )

    def update_priorities(self, batch: Batch, td_errors: Float32Array) -> None:
        """Tells the pool how wrong the networks were; nothing to do where draws are uniform.

        Args:
            batch: as `sample` returned it, before anything was added.
            td_errors: absolute, (U, M, N).
        """
        if self._priorities is None or batch.cells is None:
            return
        for m, module_id in enumerate(MODULES):
            self._priorities[module_id].update(batch.cells[:, m], td_errors[:, m])

    def _draw_cells(self, module_id: str, own: int | None, dims: tuple[int, int]) -> IntArray:
        """Draws transitions of a module as indices into its flat actions, (U, N).

        Those of one agent, if it is given. Groups come one after the other; what is left of the
        batch is a part of one more.
        """
        if self._grouped or own is not None:
            _, _, agents, skus = self._actions[module_id].shape
            members = np.arange(agents) if own is None else np.array([own])
            groups = -(-dims[1] // len(members))
            drawn = self._rng.integers(
                self.num_transitions(module_id) // agents, size=(dims[0], groups, 1)
            )
            time, sku = np.divmod(drawn, skus)
            cells: IntArray = (time * agents + members) * skus + sku
            return cells.reshape(dims[0], -1)[:, : dims[1]]
        if self._priorities is None:
            return self._rng.integers(self.num_transitions(module_id), size=dims)
        drawn = self._priorities[module_id].sample(dims[0] * dims[1], self._rng)
        return drawn.reshape(dims)

    def _gather_observations(
        self, episode: IntArray, period: IntArray, row: IntArray, sku: IntArray
    ) -> Half:
        """Returns one row's features of one SKU for each index, (..., F)."""
        _, periods, rows, skus, features = self._obs.shape
        line = ((episode * periods + period) * rows + row) * skus + sku
        bits = self._obs.reshape(-1, features).view(np.uint16)
        return gather_rows(bits, line.ravel()).reshape(*line.shape, features).view(np.float16)

    def get_state(self) -> dict[str, Any]:
        """Arrays of the episodes held, and the sampling's random state; no copies."""
        held = slice(0, self.size)
        return {
            "obs": self._obs[held],
            "low_return": self._low_return[held],
            "high_return": self._high_return[held],
            **{f"actions/{m}": self._actions[m][held] for m in MODULES},
            **self._get_priorities(),
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
        for module_id, priorities in (self._priorities or {}).items():
            own = state[f"priorities/{module_id}"]
            priorities.restore(own["by_cell"], own["highest"])
        self._next = state["next"]
        self._rng.bit_generator.state = state["rng"]

    def _get_priorities(self) -> dict[str, Any]:
        """What a restored pool must draw with, by module."""
        return {
            f"priorities/{m}": {
                "by_cell": p.by_cell[: self.size * p.num_decisions],
                "highest": p.highest,
            }
            for m, p in (self._priorities or {}).items()
        }

    def _sum_discounted(
        self, rewards: Float32Array, start: IntArray, end: IntArray
    ) -> Float32Array:
        """Sums gamma^i r over [start, end) along axis 1: (B, T, ...) to (B, len(start), ...)."""
        total = np.zeros((len(rewards), len(start), *rewards.shape[2:]), np.float32)
        for i in range(int((end - start).max())):
            inside = start + i < end
            total[:, inside] += self._gamma**i * rewards[:, start[inside] + i]
        return total
