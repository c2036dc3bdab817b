"""The compiled loop that looks transitions up; one file, for the compiler's cache."""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import Bytes, Float32Array, IntArray


@compiled
def look_up(
    cells: IntArray,
    actions: Bytes,
    returns: Float32Array,
    discounts: Float32Array,
    ends: IntArray,
    first_row: int,
    first_line: int,
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
        returns: of the level's R rows, (E, T', R, K).
        discounts: by decision, (T',).
        ends: of the returns, among the T' + 1 observations of an episode, (T',).
        first_row: of the module's agents, of R.
        first_line: of the level's observations.
        a_tm1: (U, N), written in place as all that follow.
        r_t: (U, N).
        discount_t: (U, N).
        line_tm1: of the observation, which lie as (E, T' + 1, R, K), (U, N).
        line_t: the same of the next observation, (U, N).
    """
    _, decisions, agents, skus = actions.shape
    own, all_rows, first = agents * skus, returns.shape[2] * skus, first_row * skus
    flat, sums = actions.reshape(-1), returns.reshape(-1)
    kept = np.empty(cells.shape[1], np.uint64)
    for u in range(cells.shape[0]):
        for n in range(cells.shape[1]):
            cell = cells[u, n]
            of_period = _divide(cell, own)
            episode = _divide(of_period, decisions)
            place = first + cell - of_period * own  # among the level's rows and SKUs
            decision = of_period - episode * decisions
            discount_t[u, n] = discounts[np.uint64(decision)]  # not negative: no check
            # An episode has one observation more than decisions.
            line_tm1[u, n] = first_line + (of_period + episode) * all_rows + place
            start = episode * (decisions + 1)
            line_t[u, n] = first_line + (start + ends[np.uint64(decision)]) * all_rows + place
            # Read below: loads that depend on nothing else overlap.
            kept[n] = of_period * all_rows + place
        for n in range(cells.shape[1]):
            a_tm1[u, n] = flat[np.uint64(cells[u, n])]
        for n in range(cells.shape[1]):
            r_t[u, n] = sums[kept[n]]


@compiled
def _divide(number: int, divisor: int) -> int:
    """Divides whole numbers from 0 to 2^53: exact, and several times as fast as their division."""
    return int(number / divisor)
