"""Rings of the latest episodes, one for each level: observations, actions and rewards."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.agents.roster import MODULES_OF
from envs.omnichannel.types import Bytes, Float32Array, Half, IntArray
from marl.learning.pool_shape import PoolShape
from marl.learning.returns import Returns


class Ring:
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
        self._rows, times = shape.level_rows(level), shape.decision_times(level)
        rows = self._rows.stop - self._rows.start
        span = n_step if level == "low" else shape.review_period
        self.modules = MODULES_OF[level]
        self.capacity = len(lines) // shape.lines_per_episode(level)
        self.size = 0  # episodes held
        self.next = 0
        self.first_line = first_line
        self.returns = Returns.zeros(
            self.capacity, times, span, (rows, shape.num_skus), shape.horizon, gamma
        )
        periods = np.append(times, shape.horizon)
        self.ends = np.searchsorted(periods, self.returns.next_times)  # among what is kept, (T',)
        # All periods are a view of an episode's, some are a copy.
        self._periods: slice | IntArray = slice(None) if len(times) == shape.horizon else periods
        self.observations: Half = lines.reshape(
            self.capacity, len(periods), rows, shape.num_skus, shape.num_features
        )
        self.actions: dict[str, Bytes] = {
            m: np.zeros((self.capacity, len(times), shape.num_agents(m), shape.num_skus), np.uint8)
            for m in self.modules
        }
        # Of a module's agents among the level's.
        self.first_row = {m: shape.module_rows[m].start - self._rows.start for m in self.modules}

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
            Where they lie, (B,), which differ: B is at most the capacity.
        """
        slots = (self.next + np.arange(len(rewards))) % self.capacity
        self.observations[slots] = observations[:, self._periods, self._rows]
        for module_id, kept in self.actions.items():
            kept[slots] = actions[module_id]
        self.returns.store(slots, rewards[:, :, self._rows])
        self.next = int(slots[-1] + 1) % self.capacity
        self.size = min(self.size + len(slots), self.capacity)
        return slots

    def get_state(self) -> dict[str, Any]:
        """Arrays of the episodes held, and the ring's position; no copies."""
        return {
            **{name: array[: self.size] for name, array in self._arrays().items()},
            "next": self.next,
            "capacity": self.capacity,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`, exactly.

        Raises:
            ValueError: if the ring has another capacity or shape.
        """
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"pool capacity {self.capacity} differs from the checkpoint's {state['capacity']}"
            )
        for name, target in self._arrays().items():
            stored = state[name]
            if stored.shape[1:] != target.shape[1:]:
                raise ValueError(f"pool array {name} of the checkpoint has another shape")
            target[: len(stored)] = stored
            self.size = len(stored)
        self.next = state["next"]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """What is kept of episodes, (E, ...)."""
        return {
            "observations": self.observations,
            "returns": self.returns.sums,
            **{f"actions/{m}": actions for m, actions in self.actions.items()},
        }


def make_rings(
    shape: PoolShape, capacity: dict[str, int], *, n_step: int, gamma: float
) -> tuple[dict[str, Ring], Half]:
    """Makes an empty ring for each level.

    Args:
        shape: of the environment.
        capacity: episodes by level.
        n_step: see `Ring`.
        gamma: discount a period.

    Returns:
        Rings by level, and the lines in which all their observations lie, (lines, F): so that one
        read collects what several modules need.
    """
    sizes = [capacity[level] * shape.lines_per_episode(level) for level in capacity]
    starts = np.cumsum([0, *sizes])
    lines = np.zeros((int(starts[-1]), shape.num_features), np.float16)
    rings = {
        level: Ring(
            shape, level, lines[start:end], first_line=int(start), n_step=n_step, gamma=gamma
        )
        for level, start, end in zip(capacity, starts, starts[1:], strict=False)
    }
    return rings, lines
