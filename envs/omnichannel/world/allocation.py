"""Integer splits that add up: rationing and shares, by largest remainder."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray, Network, sum_axis


def ration_proportionally(requests: IntArray, available: IntArray, network: Network) -> IntArray:
    """Returns what each store gets when its DC cannot serve all requests.

    Proportional to the requests, rounded by largest remainder, so that a short DC hands out
    exactly what it has; ties go to the store that comes first.

    Args:
        requests: units asked of the parent DC, (B, S, K), >= 0.
        available: units the DCs can give, (B, W, K), >= 0.
        network: for the stores of each DC.

    Returns:
        Units given, (B, S, K), each at most the request.
    """
    short = network.sum_by_dc(requests) > available
    if not short.any():
        return requests
    granted = requests.copy()
    for w, stores in enumerate(network.members):
        copies, skus = np.nonzero(short[:, w])
        cells = (copies[:, None], stores, skus[:, None])  # a row for each short copy and SKU
        granted[cells] = split_proportionally(requests[cells], available[copies, w, skus])
    return granted


def split_proportionally(requests: IntArray, total: IntArray) -> IntArray:
    """Returns integers that sum to `total`, proportional to `requests`.

    Exact integer arithmetic: a remainder is never lost to floating point.

    Args:
        requests: weights, (..., G), >= 0 with a positive sum.
        total: units to hand out, (...), at most the sum of the requests.

    Returns:
        Units, (..., G), each at most its request.
    """
    divisor = np.maximum(requests.sum(axis=-1, keepdims=True), 1)
    base, remainder = np.divmod(requests * total[..., None], divisor)
    left = total - base.sum(axis=-1)
    return base + _largest_first(remainder, left)


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
    quota = shares * total[..., None]
    base = np.floor(quota).astype(np.int64)
    left = total - sum_axis(base, base.ndim - 1)
    # With shares of 0 and 1, and for the many cells without a return, nothing is left over.
    open_cells = left > 0
    if open_cells.any():
        remainder = (quota - base)[open_cells]
        base[open_cells] += _largest_first(remainder, left[open_cells])
    return base


def _largest_first(remainder: IntArray | FloatArray, left: IntArray) -> IntArray:
    """One more unit for the `left` largest remainders; earlier entries win ties."""
    order = np.argsort(-remainder, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1)
    return (rank < left[..., None]).astype(np.int64)
