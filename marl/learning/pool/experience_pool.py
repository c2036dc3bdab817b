"""The shared experience pool: whole episodes in array rings, transitions cut on demand.

A transition is one agent's decision for one SKU. All agents of a level read rows of the same
observation, so an observation is stored once for all of them and for its role as the next one;
only actions are stored by module. n-step returns and the high level's review-period returns are
computed on insertion. Each level has a ring of its own, so that the high level, which decides
seldom and for all locations at once, may keep many more episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.agents.roster import MODULES, level_of
from envs.omnichannel.types import Bytes, Float32Array, FloatArray, Half, IntArray
from marl.config import Prioritized
from marl.learning.pool.base import Held
from marl.learning.pool.kernels import look_up
from marl.learning.pool.pairs import Pairs
from marl.learning.pool.priorities import Priorities
from marl.learning.pool.rings import make_rings
from marl.learning.pool.size import PoolShape, PoolSize


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


@dataclass(frozen=True)
class Batch:
    """Transitions for U updates of M modules, N each; names carry the time index."""

    obs_tm1: Half  # (U, M, N, F)
    a_tm1: IntArray  # (U, M, N)
    r_t: Float32Array  # (U, M, N) discounted sum up to the next observation
    discount_t: Float32Array  # (U, M, N)
    obs_t: Half  # (U, M, N, F)
    weight: Float32Array | None = None  # importance weights of prioritised draws, (U, M, N)
    cells: IntArray | None = None  # where to send the TD errors of prioritised draws, (U, M, N)

    @property
    def num_updates(self) -> int:
        """U."""
        return len(self.r_t)

    def take(self, num_updates: int) -> Batch:
        """Returns views of the first updates."""
        return Batch(
            obs_tm1=self.obs_tm1[:num_updates],
            a_tm1=self.a_tm1[:num_updates],
            r_t=self.r_t[:num_updates],
            discount_t=self.discount_t[:num_updates],
            obs_t=self.obs_t[:num_updates],
            weight=None if self.weight is None else self.weight[:num_updates],
            cells=None if self.cells is None else self.cells[:num_updates],
        )


class ExperiencePool:
    """The latest episodes, sampled by transition: uniformly, or by priority.

    Args:
        shape: of the environment.
        size: how much to keep; rounded down to whole episodes, at least one of each level.
        n_step: periods a low-level return spans.
        gamma: discount a period.
        seed: of the sampling.
        prioritized: None: every transition is as likely.
        separate: draw N for every agent instead of every module, by module; not by priority.
        odds: how often the agents' SKUs are drawn, by module, (A_m, K); None: all as often.
    """

    def __init__(
        self,
        shape: PoolShape,
        size: PoolSize,
        *,
        n_step: int,
        gamma: float,
        seed: int,
        prioritized: Prioritized | None = None,
        separate: bool = False,
        odds: Mapping[str, FloatArray] | None = None,
    ) -> None:
        self.shape = shape
        capacity = {level: max(1, n) for level, n in size.count_episodes(shape).items()}
        self.rings, self._lines = make_rings(shape, capacity, n_step=n_step, gamma=gamma)
        self._rooms: list[Batch | None] = [None, None]
        # Who has a network: module_id and agent, None where the agents share it.
        self._learners: list[tuple[str, int | None]] = [
            (m, agent)
            for m in MODULES
            for agent in (range(shape.layout.modules[m].num_agents) if separate else (None,))
        ]
        self._pairs = self._find_pairs(odds)
        self._rng = np.random.default_rng(seed)
        self._priorities = None
        if prioritized is not None:
            self._priorities = {
                m: Priorities(self.rings[level_of(m)].actions[m].shape, prioritized)
                for m in MODULES
            }

    @property
    def memory_mb(self) -> float:
        """Memory of all arrays."""
        capacity = {level: ring.capacity for level, ring in self.rings.items()}
        return self.shape.compute_memory_mb(capacity)

    @property
    def num_env_steps(self) -> int:
        """Periods held of the low level."""
        return self.rings["low"].size * self.shape.layout.horizon

    def num_transitions(self, module_id: str) -> int:
        """Transitions of a module: decisions for a SKU."""
        return self.rings[level_of(module_id)].num_transitions(module_id)

    @property
    def held(self) -> Held:
        """How much there is to draw from."""
        return Held(self.num_env_steps, {m: self.num_transitions(m) for m in MODULES})

    def add(self, fragment: Fragment) -> None:
        """Stores whole episodes over the oldest ones.

        Raises:
            ValueError: if they are more than the pool holds; then none is stored.
        """
        capacity = min(ring.capacity for ring in self.rings.values())
        if fragment.num_episodes > capacity:
            raise ValueError(
                f"a fragment of {fragment.num_episodes} episodes does not fit a pool of {capacity}"
            )
        for ring in self.rings.values():
            slots = ring.add(fragment.observations, fragment.actions, fragment.rewards)
            if self._priorities is not None:
                for module_id in ring.modules:
                    self._priorities[module_id].renew(slots)

    def sample(self, num_updates: int, batch_size: int) -> Batch:
        """Draws transitions for all modules and several updates at once.

        Args:
            num_updates: U.
            batch_size: N, by module and update.
        """
        return self._fill(self._allocate(num_updates, batch_size))

    def sample_in_place(self, num_updates: int, batch_size: int) -> Batch:
        """As `sample`, into arrays that the call after the next one writes over.

        What the system takes to hand out as much fresh memory is longer than the draw.
        """
        room, other = self._rooms
        if room is None or len(room.r_t) < num_updates or room.r_t.shape[2] != batch_size:
            room = self._allocate(num_updates, batch_size)
        self._rooms = [other, room]
        return self._fill(room.take(num_updates))

    def _allocate(self, num_updates: int, batch_size: int) -> Batch:
        """A batch whose weights are 1 and whose other arrays are to be filled."""
        dims = (num_updates, len(self._learners), batch_size)
        is_weighted = self._priorities is not None
        return Batch(
            obs_tm1=np.empty((*dims, self.shape.layout.num_features), np.float16),
            a_tm1=np.empty(dims, np.int64),
            r_t=np.empty(dims, np.float32),
            discount_t=np.empty(dims, np.float32),
            obs_t=np.empty((*dims, self.shape.layout.num_features), np.float16),
            weight=np.ones(dims, np.float32) if is_weighted else None,
            cells=None if self._priorities is None else np.empty(dims, np.int64),
        )

    def _fill(self, batch: Batch) -> Batch:
        """Draws into all arrays of a batch."""
        num_updates, _, batch_size = dims = batch.r_t.shape
        line_tm1, line_t = np.empty(dims, np.int64), np.empty(dims, np.int64)
        for m, (module_id, own) in enumerate(self._learners):
            size = num_updates, batch_size
            if self._priorities is None or batch.weight is None or batch.cells is None:
                cells = self._draw_cells(module_id, own, size)
            else:
                priorities, held = self._priorities[module_id], self.num_transitions(module_id)
                cells, found = priorities.sample(*size, self._rng)
                batch.weight[:, m] = priorities.compute_weights(found, held)
                if self._pairs is not None:
                    batch.weight[:, m] *= self._pairs[module_id, own].exists(cells)
                batch.cells[:, m] = cells
            ring = self.rings[level_of(module_id)]
            look_up(
                cells,
                ring.actions[module_id],
                ring.returns.sums,
                ring.returns.discounts,
                ring.ends,
                ring.first_row[module_id],
                ring.first_line,
                batch.a_tm1[:, m],
                batch.r_t[:, m],
                batch.discount_t[:, m],
                line_tm1[:, m],
                line_t[:, m],
            )
        # One block's copy a row: so more of them are under way at once than in a compiled loop.
        self._lines.take(line_tm1, axis=0, out=batch.obs_tm1, mode="clip")
        self._lines.take(line_t, axis=0, out=batch.obs_t, mode="clip")
        return batch

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
        """Draws transitions of a module as indices into its flat actions, (U, N), by chance alone.

        Those of one agent, if it is given.
        """
        count = self.num_transitions(module_id)
        if self._pairs is not None:
            return self._pairs[module_id, own].draw(count, dims, self._rng)
        if own is None:
            return self._rng.integers(count, size=dims)
        layout = self.shape.layout
        agents, skus = layout.modules[module_id].num_agents, layout.num_skus
        time, sku = np.divmod(self._rng.integers(count // agents, size=dims), skus)
        cells: IntArray = (time * agents + own) * skus + sku
        return cells

    def _find_pairs(
        self, odds: Mapping[str, FloatArray] | None
    ) -> dict[tuple[str, int | None], Pairs] | None:
        """What each learner learns from; None where that is all, and all as often."""
        layout, odds = self.shape.layout, odds or {}
        carried = layout.carried
        if carried is None:
            if not odds:
                return None
            carried = np.ones((layout.num_dcs + layout.num_stores, layout.num_skus), np.bool_)
        whole = np.ones((1, layout.num_skus), np.bool_)  # the network has what some store has
        rows = np.concatenate([carried, whole])
        return {
            (m, own): Pairs.of(rows[layout.modules[m].rows], own, odds.get(m))
            for m, own in self._learners
        }

    def get_state(self) -> dict[str, Any]:
        """Arrays of the episodes held, and the sampling's random state; no copies."""
        return {
            **{level: ring.get_state() for level, ring in self.rings.items()},
            **{
                f"priorities/{m}": {
                    "by_cell": p.by_cell[: self.rings[level_of(m)].size],
                    "highest": p.highest,
                }
                for m, p in (self._priorities or {}).items()
            },
            "rng": self._rng.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`, exactly.

        Raises:
            ValueError: if the pool has another capacity or shape.
        """
        for level, ring in self.rings.items():
            ring.set_state(state[level])
        for module_id, priorities in (self._priorities or {}).items():
            own = state[f"priorities/{module_id}"]
            priorities.restore(own["by_cell"], own["highest"])
        self._rng.bit_generator.state = state["rng"]
