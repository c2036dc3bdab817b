"""Rings of the latest episodes, one for each level: observations, actions and rewards."""

from __future__ import annotations

import math

import numpy as np

from envs.omnichannel.agents.roster import MODULES_OF
from envs.omnichannel.types import Bytes, Float32Array, Half, IntArray
from marl.learning.pool.returns import Returns
from marl.learning.pool.ring import Ring
from marl.learning.pool.size import PoolShape


class LevelRing(Ring):
    """The latest episodes as the modules of a level see them.

    E episodes; T' decisions of an episode; R rows of the level's agents; K SKUs; F features. Kept
    are the observations with which it decides, and the last one: a return ends at one of them.

    Args:
        shape: of the environment.
        level: "high" or "low".
        lines: room for the observations, (E * (T' + 1) * R * K, F).
        first_line: of that room, among the lines of all rings.
        n_step: periods that a return of the low level spans; one of the high level spans a review
            period.
        gamma: discount a period.
    """

    def __init__(
        self,
        shape: PoolShape,
        level: str,
        lines: Half,
        *,
        first_line: int,
        n_step: int,
        gamma: float,
    ) -> None:
        layout = shape.layout
        self._rows, times = layout.rows_of(level), layout.decision_times(level)
        rows = self._rows.stop - self._rows.start
        span = n_step if level == "low" else layout.review_period
        self.modules = MODULES_OF[level]
        self.first_line = first_line
        capacity = len(lines) // shape.lines_per_episode(level)
        self.returns = Returns.zeros(
            capacity, times, span, (rows, layout.num_skus), layout.horizon, gamma
        )
        periods = np.append(times, self.returns.next_times[-1])
        self.ends = np.searchsorted(periods, self.returns.next_times)  # among what is kept, (T',)
        # All periods are a view of an episode's, some are a copy.
        self._periods: slice | IntArray = slice(None) if len(times) == layout.horizon else periods
        self.observations: Half = lines.reshape(
            capacity, len(periods), rows, layout.num_skus, layout.num_features
        )
        own = {m: layout.modules[m] for m in self.modules}
        self.actions: dict[str, Bytes] = {
            name: np.zeros((capacity, len(times), m.num_agents, layout.num_skus), np.uint8)
            for name, m in own.items()
        }
        # Of a module's agents among the level's.
        self.first_row = {name: m.rows.start - self._rows.start for name, m in own.items()}
        super().__init__(
            {
                "observations": self.observations,
                "returns": self.returns.sums,
                **{f"actions/{m}": actions for m, actions in self.actions.items()},
            }
        )

    def num_transitions(self, module_id: str) -> int:
        """Decisions of a module for a SKU that are held."""
        return self.size * math.prod(self.actions[module_id].shape[1:])

    def add(self, observations: Half, actions: dict[str, Bytes], rewards: Float32Array) -> IntArray:
        """Stores whole episodes over the oldest ones.

        Args:
            observations: of all periods and rows, (B, T + 1, R', K, F).
            actions: by module, those of the other level too.
            rewards: of all rows, (B, T, R', K).

        Returns:
            Where they lie, (B,).
        """
        slots = self.advance(len(rewards))
        self.observations[slots] = observations[:, self._periods, self._rows]
        for module_id, kept in self.actions.items():
            kept[slots] = actions[module_id][:, : kept.shape[1]]
        self.returns.store(slots, rewards[:, :, self._rows])
        return slots


def make_rings(
    shape: PoolShape, capacity: dict[str, int], *, n_step: int, gamma: float
) -> tuple[dict[str, LevelRing], Half]:
    """Makes an empty ring for each level.

    Args:
        shape: of the environment.
        capacity: episodes by level.
        n_step: see `LevelRing`.
        gamma: discount a period.

    Returns:
        Rings by level, and the lines in which all their observations lie, (lines, F): so that one
        read collects what several modules need.
    """
    sizes = [capacity[level] * shape.lines_per_episode(level) for level in capacity]
    starts = np.cumsum([0, *sizes])
    lines = np.zeros((int(starts[-1]), shape.layout.num_features), np.float16)
    rings = {
        level: LevelRing(
            shape, level, lines[start:end], first_line=int(start), n_step=n_step, gamma=gamma
        )
        for level, start, end in zip(capacity, starts, starts[1:], strict=False)
    }
    return rings, lines
