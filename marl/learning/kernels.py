"""Compiled loops of runners and pool; one file, for the compiler's cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.compiler import compiled
from envs.omnichannel.types import Float32Array, FloatArray, IntArray

Bits = NDArray[np.uint16]  # float16 as the compiler knows it
TO_EXPLORE = -1  # stands for a level that is still to be drawn


@compiled
def choose_levels(values: Float32Array, levels: IntArray) -> None:
    """Writes the best level of every agent and SKU, the first one of equals.

    Args:
        values: of the levels, (A, B, K, L); agents first, as networks return them.
        levels: (B, A, K), written in place.
    """
    agents, copies, skus, choices = values.shape
    for a in range(agents):
        for b in range(copies):
            for k in range(skus):
                best, highest = 0, values[a, b, k, 0]
                for level in range(1, choices):
                    if values[a, b, k, level] > highest:
                        best, highest = level, values[a, b, k, level]
                levels[b, a, k] = best


@compiled
def uphold_goals(values: Float32Array, goals: IntArray, margin: float, levels: IntArray) -> None:
    """Writes the goal where no level is worth more than the margin above it, else the best one.

    Args:
        values: of a low-level module's levels, (A, B, K, L).
        goals: levels of its role's high-level agent, (B, 1, K).
        margin: of values.
        levels: (B, A, K); the best levels, changed in place.
    """
    agents, copies, skus, _ = values.shape
    for a in range(agents):
        for b in range(copies):
            for k in range(skus):
                best, goal = levels[b, a, k], goals[b, 0, k]
                if values[a, b, k, best] - values[a, b, k, goal] <= margin:
                    levels[b, a, k] = goal


@compiled
def mark_explored(levels: IntArray, uniform: Float32Array, epsilon: FloatArray) -> int:
    """Replaces levels by `TO_EXPLORE` with each copy's probability, in place.

    Args:
        levels: (B, A, K).
        uniform: draws in [0, 1), (B, A, K).
        epsilon: probabilities, (B,).

    Returns:
        How many were replaced.
    """
    copies, agents, skus = levels.shape
    marked = 0
    for b in range(copies):
        for a in range(agents):
            for k in range(skus):
                if uniform[b, a, k] < epsilon[b]:
                    levels[b, a, k] = TO_EXPLORE
                    marked += 1
    return marked


@compiled
def fill_explored(levels: IntArray, drawn: IntArray) -> None:
    """Puts drawn levels, (m,), where levels, (B, A, K), are marked; in place and in order."""
    flat, used = levels.reshape(-1), 0
    for i in range(len(flat)):
        if flat[i] == TO_EXPLORE:
            flat[i] = drawn[used]
            used += 1


@compiled
def gather_rows(table: Bits, row: IntArray) -> Bits:
    """Returns rows of (n, F) by their number, (m, F)."""
    chosen = np.empty((len(row), table.shape[1]), table.dtype)
    for i, r in enumerate(row):
        for f in range(table.shape[1]):
            chosen[i, f] = table[r, f]
    return chosen


@compiled
def find_cells(
    points: FloatArray, by_period: FloatArray, by_agent: FloatArray, by_cell: Float32Array
) -> IntArray:
    """Finds the cell in which each point of the cumulated priorities lies.

    Args:
        points: ascending, in [0, sum of the priorities), (m,).
        by_period: sums over the agents, (P,).
        by_agent: sums over the SKUs, (P, A).
        by_cell: priorities, (P, A, K).

    Returns:
        Indices into the flat (P, A, K), (m,); never a cell of priority zero.
    """
    _, agents, skus = by_cell.shape
    last = len(by_period) - 1
    while last > 0 and by_period[last] == 0:
        last -= 1
    cells = np.empty(len(points), np.int64)
    period, passed = 0, 0.0
    for i, point in enumerate(points):
        while period < last and passed + by_period[period] <= point:
            passed += by_period[period]
            period += 1
        # The last part above zero also takes what rounding leaves over.
        rest, agent, below = point - passed, 0, 0.0
        for a in range(agents):
            if by_agent[period, a] > 0:
                agent, below = a, rest
                if rest < by_agent[period, a]:
                    break
                rest -= by_agent[period, a]
        rest, sku = below, 0
        for k in range(skus):
            if by_cell[period, agent, k] > 0:
                sku = k
                if rest < by_cell[period, agent, k]:
                    break
                rest -= by_cell[period, agent, k]
        cells[i] = (period * agents + agent) * skus + sku
    return cells


@compiled
def set_priorities(
    cells: IntArray,
    values: Float32Array,
    by_period: FloatArray,
    by_agent: FloatArray,
    by_cell: Float32Array,
) -> None:
    """Writes priorities, in place, and sums anew what holds them.

    The sums are made of their parts and not corrected by differences, so they never drift and the
    priorities alone restore them exactly.

    Args:
        cells: indices into the flat (P, A, K), (m,); of equal ones the last counts.
        values: (m,).
        by_period: (P,).
        by_agent: (P, A).
        by_cell: (P, A, K).
    """
    _, agents, skus = by_cell.shape
    flat = by_cell.reshape(-1)
    for i, cell in enumerate(cells):
        flat[cell] = values[i]
    for cell in cells:
        row = cell // skus
        _sum_agent(row // agents, row % agents, by_agent, by_cell)
    for cell in cells:
        _sum_period(cell // (skus * agents), by_period, by_agent)


@compiled
def sum_periods(
    periods: IntArray, by_period: FloatArray, by_agent: FloatArray, by_cell: Float32Array
) -> None:
    """Sums the priorities of some periods, in place and in the order of `set_priorities`."""
    for period in periods:
        for agent in range(by_agent.shape[1]):
            _sum_agent(period, agent, by_agent, by_cell)
        _sum_period(period, by_period, by_agent)


@compiled
def _sum_agent(period: int, agent: int, by_agent: FloatArray, by_cell: Float32Array) -> None:
    total = 0.0
    for k in range(by_cell.shape[2]):
        total += by_cell[period, agent, k]
    by_agent[period, agent] = total


@compiled
def _sum_period(period: int, by_period: FloatArray, by_agent: FloatArray) -> None:
    total = 0.0
    for agent in range(by_agent.shape[1]):
        total += by_agent[period, agent]
    by_period[period] = total
