"""Priorities and their sums, compiled: a tree in which every node sums sixteen parts.

At the bottom lie the priorities themselves, sixteen of them in one line of the processor's cache;
`blocks` holds the sums of sixteen priorities, `tops` those of sixteen blocks. All of it is as long
as whole tops need; what lies beyond the last priority is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.compiler import compiled
from envs.omnichannel.types import Float32Array, FloatArray, IntArray

FAN_OUT = 16  # the loops below have this number written out
_AT_ONCE = 128  # draws whose reads overlap, and still lie in the nearest cache when needed

# Unsigned, as all places in the tree: of a signed one, the compiler asks at every access whether it
# is negative and counts from the end, which took half of the time.
_1, _2, _3, _4, _8, _16 = (np.uint64(n) for n in (1, 2, 3, 4, 8, FAN_OUT))


@compiled
def find_cells(
    points: FloatArray,
    turns: IntArray,
    tops: FloatArray,
    blocks: Float32Array,
    priorities: Float32Array,
    cells: IntArray,
    found: Float32Array,
) -> None:
    """Finds in which priority each point of their cumulated sum lies.

    Args:
        points: ascending, in [0, sum of the priorities), (N U,): U of each stratum.
        turns: the update that has the first point of a stratum; the next one has the second, (N,).
        tops: (n / 256,).
        blocks: (n / 16,).
        priorities: (n,), not all of them zero.
        cells: indices into the priorities, (U, N), written in place; never one of priority zero.
        found: the priorities there, (U, N), written in place.
    """
    last = np.uint64(len(tops) - 1)
    while last > 0 and tops[last] == 0:
        last -= _1
    num_updates, num_strata = cells.shape
    strata_at_once = max(_AT_ONCE // num_updates, 1)
    room = strata_at_once * num_updates
    places, rests = np.empty(room, np.uint64), np.empty(room)
    top, passed, touched = np.uint64(0), 0.0, np.float32(0)
    for first in range(0, num_strata, strata_at_once):
        strata = min(strata_at_once, num_strata - first)
        # What is read next lies here and there: it is fetched first, so that none waits alone.
        for i in range(strata * num_updates):
            point = points[first * num_updates + i]
            while top < last and passed + tops[top] <= point:
                passed += tops[top]
                top += _1
            places[i], rests[i] = top, point - passed
        for i in range(strata * num_updates):
            touched += blocks[places[i] * _16]
        for i in range(strata * num_updates):
            places[i], rests[i] = _find_part(blocks, places[i] * _16, rests[i])
        for i in range(strata * num_updates):
            touched += priorities[places[i] * _16]
        for i in range(strata * num_updates):
            places[i], _ = _find_part(priorities, places[i] * _16, rests[i])
        for u in range(num_updates):
            for s in range(strata):
                nth = u - turns[first + s]
                nth += num_updates if nth < 0 else 0
                cell = places[np.uint64(s * num_updates + nth)]
                cells[u, first + s], found[u, first + s] = cell, priorities[cell]
    if touched < 0:  # never: but what is not used would not be read
        cells[:] = -1


@compiled
def set_priorities(
    cells: IntArray,
    values: Float32Array,
    tops: FloatArray,
    blocks: Float32Array,
    priorities: Float32Array,
) -> None:
    """Writes priorities, in place, and sums anew what holds them.

    The sums are made of their parts and not corrected by differences, so they never drift and the
    priorities alone restore them exactly.

    Args:
        cells: indices into the priorities, (m,); of equal ones the last counts.
        values: (m,).
        tops: (n / 256,).
        blocks: (n / 16,).
        priorities: (n,).
    """
    for first in range(0, len(cells), _AT_ONCE):
        these = cells[first : first + _AT_ONCE]
        for i, cell in enumerate(these):
            priorities[np.uint64(cell)] = values[first + i]
        for cell in these:
            _sum_parts(blocks, np.uint64(cell) // _16, priorities)
        for cell in these:
            _sum_parts(tops, np.uint64(cell) // _16 // _16, blocks)


@compiled
def fill_priorities(
    starts: IntArray,
    count: int,
    value: float,
    tops: FloatArray,
    blocks: Float32Array,
    priorities: Float32Array,
) -> None:
    """Gives `count` priorities from each start on, (m,), one value, and sums anew; in place."""
    for start in starts:
        priorities[start : start + count] = value
        last = start + count - 1
        for block in range(start // FAN_OUT, last // FAN_OUT + 1):
            _sum_parts(blocks, np.uint64(block), priorities)
        for top in range(start // FAN_OUT**2, last // FAN_OUT**2 + 1):
            _sum_parts(tops, np.uint64(top), blocks)


@compiled
def sum_priorities(tops: FloatArray, blocks: Float32Array, priorities: Float32Array) -> None:
    """Sums all priorities anew, in place and in the order of `set_priorities`."""
    for block in range(len(blocks)):
        _sum_parts(blocks, np.uint64(block), priorities)
    for top in range(len(tops)):
        _sum_parts(tops, np.uint64(top), blocks)


@compiled
def _find_part(parts: NDArray[Any], at: np.uint64, rest: float) -> tuple[np.uint64, float]:
    """Returns in which of sixteen parts from `at` on a point of their sum lies, and what is left.

    Halves them four times without a branch, which would be guessed wrong every other time. The
    last part above zero also takes what rounding leaves over.
    """
    first = at
    below = _sum_eight(parts, at)
    at, rest = (at + _8, rest - below) if below <= rest else (at, rest)
    below = (parts[at] + parts[at + _2]) + (parts[at + _1] + parts[at + _3])
    at, rest = (at + _4, rest - below) if below <= rest else (at, rest)
    below = parts[at] + parts[at + _1]
    at, rest = (at + _2, rest - below) if below <= rest else (at, rest)
    below = parts[at]
    at, rest = (at + _1, rest - below) if below <= rest else (at, rest)
    while parts[at] == 0 and at > first:
        at -= _1
    return at, rest


@compiled
def _sum_parts(sums: NDArray[Any], place: np.uint64, parts: NDArray[Any]) -> None:
    first = place * _16
    sums[place] = _sum_eight(parts, first) + _sum_eight(parts, first + _8)


@compiled
def _sum_eight(parts: NDArray[Any], at: np.uint64) -> float:
    """In pairs, so that additions need not wait for one another."""
    return ((parts[at] + parts[at + _4]) + (parts[at + _2] + parts[at + _4 + _2])) + (
        (parts[at + _1] + parts[at + _4 + _1]) + (parts[at + _3] + parts[at + _4 + _3])
    )
