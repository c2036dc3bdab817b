"""Prioritised replay of one module: draws of transitions, and their importance weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from envs.omnichannel.types import Float32Array, FloatArray, IntArray
from marl.config import Prioritized
from marl.learning.pool.priority_kernels import (
    FAN_OUT,
    fill_priorities,
    find_cells,
    set_priorities,
    sum_priorities,
)

# Memory of a transition: its priority, and its part of the sums.
BYTES_PER_TRANSITION = 4 + 4 / FAN_OUT + 8 / FAN_OUT**2

_CACHE_LINE = 64  # bytes
_SMALLEST_ERROR = 1e-3  # so that a transition without error is drawn now and then


class Priorities:
    """Priorities of the transitions of E episodes, with their sums in a tree.

    Source: Schaul et al. 2016, "Prioritized experience replay", proportional variant: transition i
    is drawn with P(i) = p_i^alpha / sum p^alpha, p_i = |TD error| + a little, and its update counts
    (N P(i))^-beta, divided by the largest such weight of its batch. What was never learnt has the
    highest priority met so far.

    The draws of several updates are sought together, in ascending order: so they walk along the
    tree's tops, and only from there on down.

    Args:
        shape: episodes, decisions of an episode, agents, SKUs.
        rules: alpha and beta.
    """

    def __init__(self, shape: tuple[int, ...], rules: Prioritized) -> None:
        self.rules = rules
        self.highest = 1.0  # priority, alpha applied
        num_cells = math.prod(shape)
        num_tops = -(-num_cells // FAN_OUT**2)
        tops: FloatArray = _make_zeros(num_tops, np.float64)
        blocks: Float32Array = _make_zeros(num_tops * FAN_OUT, np.float32)
        cells: Float32Array = _make_zeros(num_tops * FAN_OUT**2, np.float32)
        self._tree = tops, blocks, cells
        self.by_cell = cells[:num_cells].reshape(shape)

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self._tree[0].sum())

    def renew(self, episodes: IntArray) -> None:
        """Gives all transitions of newly stored episodes the highest priority."""
        size = self.by_cell[0].size
        fill_priorities(episodes * size, size, self.highest, *self._tree)

    def sample(
        self, num_updates: int, batch_size: int, rng: np.random.Generator
    ) -> tuple[IntArray, Float32Array]:
        """Draws cells in proportion to their priorities, for several updates at once.

        Stratified, as in the source: every update has one draw in each of N equal parts of the sum.
        Such a part is divided among the updates, at random.

        Args:
            num_updates: U.
            batch_size: N, by update.
            rng: of the draws.

        Returns:
            Indices into the flat (episodes, decisions, agents, SKUs), (U, N), and the priorities
            there.
        """
        count = num_updates * batch_size
        points = (np.arange(count) + rng.random(count)) * (self.total / count)
        turns = rng.integers(num_updates, size=batch_size)
        cells = np.empty((num_updates, batch_size), np.int64)
        priorities = np.empty(cells.shape, np.float32)
        find_cells(points, turns, *self._tree, cells, priorities)
        return cells, priorities

    def compute_weights(self, priorities: Float32Array, num_held: int) -> Float32Array:
        """Returns importance weights of draws, (U, N); the largest of an update is 1.

        Args:
            priorities: as `sample` returned them, (U, N).
            num_held: transitions that can be drawn, N of the source.
        """
        weights = (priorities * np.float32(num_held / self.total)) ** np.float32(-self.rules.beta)
        weights /= weights.max(axis=-1, keepdims=True)
        return weights

    def update(self, cells: IntArray, td_errors: Float32Array) -> None:
        """Sets the priorities after an update.

        Args:
            cells: as `sample` returned them, any shape.
            td_errors: absolute, of the same shape.
        """
        values = (td_errors.ravel() + np.float32(_SMALLEST_ERROR)) ** np.float32(self.rules.alpha)
        self.highest = max(self.highest, float(values.max()))
        set_priorities(cells.ravel(), values, *self._tree)

    def restore(self, by_cell: Float32Array, highest: float) -> None:
        """Restores `by_cell` of the episodes held, and the highest priority.

        Raises:
            ValueError: if a priority is no number above zero.
        """
        if not 0 < highest < np.inf or not (np.isfinite(by_cell) & (by_cell >= 0)).all():
            raise ValueError("pool priorities of the checkpoint are no numbers above zero")
        self.by_cell.reshape(-1)[: by_cell.size] = by_cell.ravel()
        self.highest = highest
        sum_priorities(*self._tree)


def _make_zeros(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Zeros, (count,), that begin where a line of the processor's cache does."""
    size = np.dtype(dtype).itemsize * count
    memory = np.zeros(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size].view(dtype)
