"""Integer splits that add up: rationing and shares, by largest remainder."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray, Network


def ration_proportionally(
    requests: IntArray, available: IntArray, network: Network
) -> IntArray:
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
    if bool((network.sum_by_dc(requests) <= available).all()):
        return requests
    granted = np.zeros_like(requests)
    for w, members in enumerate(network.children):
        stores = members[members >= 0]
        asked = requests[:, stores].transpose(0, 2, 1)  # (B, K, S')
        short = asked.sum(axis=-1) > available[:, w]
        given = asked.copy()
        given[short] = split_proportionally(asked[short], available[:, w][short])
        granted[:, stores] = given.transpose(0, 2, 1)
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
    product = requests * total[..., None]
    divisor = np.maximum(requests.sum(axis=-1, keepdims=True), 1)
    base = product // divisor
    left = total - base.sum(axis=-1)
    return base + _largest_first(product % divisor, left)


def split_by_shares(total: IntArray, shares: FloatArray) -> IntArray:
    """Returns integers that sum to `total`, by shares that sum to one.

    Args:
        total: units to split, (...).
        shares: (..., G), >= 0, sum 1.

    Returns:
        Units, (..., G).
    """
    # The tolerance keeps 0.3 * 10 from becoming 2 plus a remainder.
    quota = shares * total[..., None] + 1e-9
    base = np.floor(quota).astype(np.int64)
    left = total - base.sum(axis=-1)
    if not left.any():
        return base
    return base + _largest_first(quota - base, left)


def _largest_first(remainder: IntArray | FloatArray, left: IntArray) -> IntArray:
    """One more unit for the `left` largest remainders; earlier entries win ties."""
    order = np.argsort(-remainder, axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[-1]), axis=-1)
    return (rank < left[..., None]).astype(np.int64)
