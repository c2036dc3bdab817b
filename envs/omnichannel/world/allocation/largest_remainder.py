"""Integer splits by largest remainder: in proportion to requests, by shares, jointly rounded.

All loops that call one another share this file, because the compiler's cache on disk notices
changes of a function's own file only.
"""

from __future__ import annotations

from math import floor

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import FloatArray, IntArray, sum_axis

_SORTED_FROM = 32  # entries from which one sort is cheaper than one search for each unit left


def split_proportionally(requests: IntArray, total: IntArray) -> IntArray:
    """Returns integers that sum to `total`, proportional to `requests`.

    Exact integer arithmetic: a remainder is never lost to floating point.

    Args:
        requests: weights, (..., G), >= 0 with a positive sum.
        total: units to hand out, (...), at most the sum of the requests.

    Returns:
        Units, (..., G), each at most its request.
    """
    rows = requests.reshape(-1, requests.shape[-1])
    return _split_rows_proportionally(rows, total.reshape(-1)).reshape(requests.shape)


def limit_by_node(wanted: IntArray, capacity: int) -> IntArray:
    """Returns what each node does of (B, N, K) units when it can do `capacity` over all SKUs.

    Proportional to what is wanted of each SKU, by largest remainder.
    """
    total = sum_axis(wanted, 2)
    over = total > capacity
    if not over.any():
        return wanted
    done = wanted.copy()
    done[over] = split_proportionally(wanted[over], np.full(int(over.sum()), capacity))
    return done


def split_by_shares(total: IntArray, shares: FloatArray) -> IntArray:
    """Returns integers that sum to `total`, by shares that sum to one.

    Args:
        total: units to split, (...).
        shares: (..., G), >= 0, sum 1.

    Returns:
        Units, (..., G).
    """
    rows = shares.reshape(-1, shares.shape[-1])
    return _split_rows_by_shares(total.reshape(-1), rows).reshape(shares.shape)


def round_jointly(units: FloatArray) -> IntArray:
    """Returns integers whose sum is the rounded sum, by largest remainder.

    A load that fills m trucks still fills m: rounded one by one, its SKUs could come to a unit
    more and pay for another truck.

    Args:
        units: (..., G), >= 0.

    Returns:
        Units, (..., G), each within one of its value.
    """
    base = np.floor(units).astype(np.int64)
    left = np.floor(units.sum(axis=-1) + 0.5).astype(np.int64) - base.sum(axis=-1)
    size = units.shape[-1]
    _add_to_largest(base.reshape(-1, size), (units - base).reshape(-1, size), left.reshape(-1))
    return base


@compiled
def _split_rows_by_shares(total: IntArray, shares: FloatArray) -> IntArray:
    """Splits each total, (M,), by the row's shares, (M, G), by largest remainder."""
    units = np.zeros(shares.shape, np.int64)
    remainder = np.empty(shares.shape[1])
    for m in range(len(total)):
        left = total[m]
        if not left:
            continue
        for g in range(len(remainder)):
            quota = shares[m, g] * total[m]
            units[m, g] = floor(quota)
            remainder[g] = quota - units[m, g]
            left -= units[m, g]
        _add_largest_first(units[m], remainder, left)
    return units


@compiled
def _split_rows_proportionally(requests: IntArray, total: IntArray) -> IntArray:
    """Splits each total, (M,), in proportion to the row's requests, (M, G), by largest remainder.

    Integer arithmetic throughout.
    """
    units = np.empty(requests.shape, np.int64)
    remainder = np.empty(requests.shape[1], np.int64)
    for m, whole in enumerate(total):
        wanted = 0
        for request in requests[m]:
            wanted += request
        left, divisor = whole, max(wanted, 1)
        for g, request in enumerate(requests[m]):
            units[m, g], remainder[g] = _divide(request * whole, divisor)
            left -= units[m, g]
        _add_to_many(units[m], remainder, left)
    return units


@compiled
def _divide(number: int, divisor: int) -> tuple[int, int]:
    """Quotient and remainder of numbers >= 0, exactly; a float's division is the faster one."""
    quotient = int(number / divisor)
    rest = number - quotient * divisor
    while rest < 0:
        quotient -= 1
        rest += divisor
    while rest >= divisor:
        quotient += 1
        rest -= divisor
    return quotient, rest


@compiled
def _add_to_largest(units: IntArray, remainder: FloatArray, left: IntArray) -> None:
    """Adds a unit to the `left` entries of each row with the largest remainders, in place.

    Args:
        units: (M, G).
        remainder: (M, G), >= 0; overwritten.
        left: (M,).
    """
    for m in range(len(units)):
        _add_largest_first(units[m], remainder[m], left[m])


@compiled
def _add_largest_first(units: IntArray, remainder: FloatArray | IntArray, left: int) -> None:
    """Adds a unit for the `left` largest remainders, in place; earlier entries win ties."""
    for _ in range(min(left, len(units))):
        largest = 0
        for g in range(1, len(units)):
            if remainder[g] > remainder[largest]:
                largest = g
        units[largest] += 1
        remainder[largest] = -1  # below all: each entry gets one unit at most


@compiled
def _add_to_many(units: IntArray, remainder: IntArray, left: int) -> None:
    """The same for many entries: one sort finds the smallest remainder that gets a unit."""
    if len(units) < _SORTED_FROM or not left:
        _add_largest_first(units, remainder, left)
        return
    smallest = np.sort(remainder)[len(units) - left]
    ties = left
    for rest in remainder:
        ties -= rest > smallest
    for g in range(len(units)):
        if remainder[g] > smallest:
            units[g] += 1
        elif remainder[g] == smallest and ties:
            units[g] += 1
            ties -= 1


@compiled
def ration_cells(
    requests: IntArray, available: IntArray, starts: IntArray, stores: IntArray
) -> IntArray:
    """Cuts the requests to each DC that is short, (B, S, K), in proportion.

    Args:
        requests: (B, S, K).
        available: (B, W, K).
        starts: DC w has `stores[starts[w]:starts[w + 1]]`, (W + 1,).
        stores: grouped by DC, (S,).
    """
    granted = requests.copy()
    for b in range(len(requests)):
        for w in range(len(starts) - 1):
            group = stores[starts[w] : starts[w + 1]]
            units, remainder = np.empty(len(group), np.int64), np.empty(len(group), np.int64)
            for k in range(requests.shape[2]):
                wanted = 0
                for s in group:
                    wanted += requests[b, s, k]
                whole = available[b, w, k]
                if wanted > whole:
                    left = whole
                    for g, s in enumerate(group):
                        units[g], remainder[g] = _divide(requests[b, s, k] * whole, wanted)
                        left -= units[g]
                    _add_to_many(units, remainder, left)
                    for g, s in enumerate(group):
                        granted[b, s, k] = units[g]
    return granted
