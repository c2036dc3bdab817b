"""Compiled loops of runners and pool; one file, for the compiler's cache."""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import Bytes, Float32Array, FloatArray, IntArray

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
def look_up(
    cells: IntArray,
    actions: Bytes,
    returns: Float32Array,
    discounts: Float32Array,
    times: IntArray,
    next_times: IntArray,
    first_row: int,
    size: tuple[int, int],
    a_tm1: IntArray,
    r_t: Float32Array,
    discount_t: Float32Array,
    line_tm1: IntArray,
    line_t: IntArray,
) -> None:
    """Writes what a module's transitions hold, and where their observations lie.

    E episodes, T' decisions of an episode, A agents, K SKUs.

    Args:
        cells: indices into the flat actions, (U, N).
        actions: (E, T', A, K).
        returns: (E, T', R, K); where there is one row, there is one agent, whose it is.
        discounts: by decision, (T',).
        times: period of the decision, (T',).
        next_times: period of the next observation, (T',).
        first_row: of the module's agents.
        size: periods and rows of an episode's observations.
        a_tm1: (U, N), written in place as all that follow.
        r_t: (U, N).
        discount_t: (U, N).
        line_tm1: index into the flat (episodes, periods, rows, SKUs), (U, N).
        line_t: the same of the next observation, (U, N).
    """
    _, decisions, agents, skus = actions.shape
    periods, rows = size
    own, all_rows = agents * skus, rows * skus
    first, first_return = first_row * skus, first_row * skus if returns.shape[2] > 1 else 0
    flat, sums = actions.reshape(-1), returns.reshape(-1)
    kept = np.empty(cells.shape[1], np.uint64)
    for u in range(cells.shape[0]):
        for n in range(cells.shape[1]):
            cell = cells[u, n]
            of_period = _divide(cell, own)
            episode = _divide(of_period, decisions)
            place = cell - of_period * own  # among the agents and SKUs, as in the observation
            decision = np.uint64(of_period - episode * decisions)  # not negative: no check
            discount_t[u, n] = discounts[decision]
            start = episode * periods
            line_tm1[u, n] = (start + times[decision]) * all_rows + first + place
            line_t[u, n] = (start + next_times[decision]) * all_rows + first + place
            # Read below: loads that depend on nothing else overlap.
            kept[n] = of_period * returns.shape[2] * skus + first_return + place
        for n in range(cells.shape[1]):
            a_tm1[u, n] = flat[np.uint64(cells[u, n])]
        for n in range(cells.shape[1]):
            r_t[u, n] = sums[kept[n]]


@compiled
def _divide(number: int, divisor: int) -> int:
    """Divides whole numbers from 0 to 2^53: exact, and several times as fast as their division."""
    return int(number / divisor)
