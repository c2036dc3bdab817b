"""Prioritised replay of one module: which transitions to draw, and how much each then counts."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import Float32Array, IntArray
from marl.config import Prioritized
from marl.learning.kernels import find_cells, set_priorities, sum_periods

_SMALLEST_ERROR = 1e-3  # so that a transition without error is drawn now and then


class Priorities:
    """Priorities of the transitions of E episodes, with sums by period and agent.

    Source: Schaul et al. 2016, "Prioritized experience replay", proportional variant: transition i
    is drawn with P(i) = p_i^alpha / sum p^alpha, p_i = |TD error| + a little, and its update counts
    (N P(i))^-beta, divided by the largest such weight of its batch. What was never learnt has the
    highest priority met so far.

    The sums follow the data's own shape instead of a binary tree: a draw walks along the periods,
    then looks at one period's agents and one agent's SKUs.

    Args:
        shape: episodes, decisions of an episode, agents, SKUs.
        rules: alpha and beta.
    """

    def __init__(self, shape: tuple[int, int, int, int], rules: Prioritized) -> None:
        episodes, decisions, agents, skus = shape
        self.rules = rules
        self.num_decisions = decisions
        self.by_cell = np.zeros((episodes * decisions, agents, skus), np.float32)
        self.by_agent = np.zeros((episodes * decisions, agents))
        self.by_period = np.zeros(episodes * decisions)
        self.highest = 1.0  # priority, alpha applied

    def renew(self, episodes: IntArray) -> None:
        """Gives all transitions of newly stored episodes the highest priority."""
        decisions = np.arange(self.num_decisions)
        periods = (episodes[:, None] * self.num_decisions + decisions).ravel()
        self.by_cell[periods] = self.highest
        sum_periods(periods, self.by_period, self.by_agent, self.by_cell)

    def sample(self, num_updates: int, batch_size: int, rng: np.random.Generator) -> IntArray:
        """Draws cells in proportion to their priorities, for several updates at once.

        Stratified, as in the source: every update has one draw in each of N equal parts of the sum.
        Such a part is divided among the updates, at random.

        Args:
            num_updates: U.
            batch_size: N, by update.
            rng: of the draws.

        Returns:
            Indices into the flat (episodes, decisions, agents, SKUs), (U, N).
        """
        count = num_updates * batch_size
        points = (np.arange(count) + rng.random(count)) * (self.by_period.sum() / count)
        cells = find_cells(points, self.by_period, self.by_agent, self.by_cell)
        turn = rng.integers(num_updates, size=(batch_size, 1))
        of_update = (np.arange(num_updates) + turn) % num_updates  # (N, U)
        parts = cells.reshape(batch_size, num_updates)
        return np.ascontiguousarray(np.take_along_axis(parts, of_update, axis=1).T)

    def compute_weights(self, cells: IntArray, num_held: int) -> Float32Array:
        """Returns importance weights, (U, N), of cells (U, N); the largest of an update is 1.

        Args:
            cells: as `sample` returned them.
            num_held: transitions that can be drawn, N of the source.
        """
        probability = self.by_cell.reshape(-1)[cells] / self.by_period.sum()
        weights = (num_held * probability) ** -self.rules.beta
        return (weights / weights.max(axis=-1, keepdims=True)).astype(np.float32)

    def update(self, cells: IntArray, td_errors: Float32Array) -> None:
        """Sets the priorities after an update.

        Args:
            cells: as `sample` returned them, any shape.
            td_errors: absolute, of the same shape.
        """
        values = (td_errors.ravel() + np.float32(_SMALLEST_ERROR)) ** np.float32(self.rules.alpha)
        self.highest = max(self.highest, float(values.max()))
        set_priorities(cells.ravel(), values, self.by_period, self.by_agent, self.by_cell)

    def restore(self, by_cell: Float32Array, highest: float) -> None:
        """Restores `by_cell` of the episodes held, and the highest priority."""
        self.by_cell[: len(by_cell)] = by_cell
        self.highest = highest
        sum_periods(np.arange(len(by_cell)), self.by_period, self.by_agent, self.by_cell)
