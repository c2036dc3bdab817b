"""Integer splits that add up: rationing and shares, by largest remainder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.omnichannel.scenario.fulfillment import Rationing
from envs.omnichannel.types import FloatArray, IntArray, Network, sum_axis
from envs.omnichannel.world.kernels import (
    add_to_largest,
    ration_cells,
    split_rows_by_shares,
    split_rows_proportionally,
)

Split = Callable[[IntArray, IntArray], IntArray]  # requests (..., G), total (...) -> (..., G)


def ration(
    requests: IntArray,
    available: IntArray,
    network: Network,
    rule: Rationing = "proportional",
    priority: FloatArray | None = None,
) -> IntArray:
    """Returns what each store gets when its DC cannot serve all requests.

    A short DC hands out exactly what it has, by the rule:

    - `proportional`: to the requests, by largest remainder.
    - `min_shortage`: the next unit to the store that is furthest from its request, so that the
      largest shortage is as small as it can be. The rule of the base-stock benchmark in Kaynov et
      al. (2024, IJPE 267:109088) as public reimplementations state it ("minimize the maximum
      resulting shortfall"); "constrained equal losses" in Thomson (2003, Math. Soc. Sci. 45).
    - `fair_share`: the same amount for all until a request is served: "constrained equal awards"
      (Thomson 2003), max-min fairness in networks.
    - `random_order`: stores one after the other in random order, each in full while stock
      lasts (Kaynov et al. 2024 train with it).

    Ties go to the store that comes first.

    Args:
        requests: units asked of the parent DC, (B, S, K), >= 0.
        available: units the DCs can give, (B, W, K), >= 0.
        network: for the stores of each DC.
        rule: of the scenario.
        priority: of each store, lowest first, (B, S); `random_order` alone reads it.

    Returns:
        Units given, (B, S, K), each at most the request.
    """
    short = network.sum_by_dc(requests) > available
    if not short.any():
        return requests
    if rule == "proportional":
        return ration_cells(requests, np.ascontiguousarray(available), *network.groups)
    granted = requests.copy()
    for w, stores in enumerate(network.members):
        copies, skus = np.nonzero(short[:, w])
        cells = (copies[:, None], stores, skus[:, None])  # a row for each short copy and SKU
        wanted, total = requests[cells], available[copies, w, skus]
        if rule == "random_order":
            assert priority is not None, "random_order needs the period's draw"
            granted[cells] = split_in_order(wanted, total, priority[copies[:, None], stores])
        else:
            granted[cells] = _SPLITS[rule](wanted, total)
    return granted


def ration_proportionally(requests: IntArray, available: IntArray, network: Network) -> IntArray:
    """Returns what each store gets when its DC cannot serve all requests.

    The rule for customers' orders at the DC, and for shipments unless the scenario says otherwise.
    """
    return ration(requests, available, network)


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
    return split_rows_proportionally(rows, total.reshape(-1)).reshape(requests.shape)


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


def split_with_equal_losses(requests: IntArray, total: IntArray) -> IntArray:
    """Returns integers that sum to `total` and leave the largest shortage as small as possible.

    Args:
        requests: (..., G), >= 0.
        total: units to hand out, (...), at most the sum of the requests.

    Returns:
        Units, (..., G), each at most its request.
    """
    missing = requests.sum(axis=-1) - total
    # To hand out what is missing equally is the same problem seen from the other side, except
    # that units which do not divide must be missing at the stores that come last.
    backwards = split_equally(requests[..., ::-1], missing)
    return requests - backwards[..., ::-1]


def split_equally(requests: IntArray, total: IntArray) -> IntArray:
    """Returns integers that sum to `total`, as equal as the requests allow.

    Args:
        requests: (..., G), >= 0.
        total: units to hand out, (...), at most the sum of the requests.

    Returns:
        Units, (..., G), each at most its request.
    """
    size = requests.shape[-1]
    ascending = np.sort(requests, axis=-1)
    below = np.cumsum(ascending, axis=-1) - ascending  # units of all smaller requests
    # With a level as high as request i, the i smaller ones are served and the others get that much.
    reached = below + ascending * (size - np.arange(size))
    served = (reached <= total[..., None]).sum(axis=-1)[..., None]  # requests served in full
    last = np.minimum(served, size - 1)
    left = total[..., None] - np.take_along_axis(below, last, -1)
    level, rest = np.divmod(left, size - last)
    units = np.minimum(requests, level)
    # The rest is less than a unit for each of those that want more; the first ones get it.
    wants_more = requests > level
    return units + (wants_more & (np.cumsum(wants_more, axis=-1) <= rest))


def split_in_order(requests: IntArray, total: IntArray, priority: FloatArray) -> IntArray:
    """Returns integers that sum to `total`: one request after the other in full, lowest first.

    Args:
        requests: (..., G), >= 0.
        total: units to hand out, (...), at most the sum of the requests.
        priority: (..., G).

    Returns:
        Units, (..., G), each at most its request.
    """
    order = np.argsort(priority, axis=-1, kind="stable")
    sorted_requests = np.take_along_axis(requests, order, -1)
    before = np.cumsum(sorted_requests, axis=-1) - sorted_requests
    units = np.clip(total[..., None] - before, 0, sorted_requests)
    given = np.empty_like(units)
    np.put_along_axis(given, order, units, -1)
    return given


_SPLITS: dict[Rationing, Split] = {
    "proportional": split_proportionally,
    "min_shortage": split_with_equal_losses,
    "fair_share": split_equally,
}


def split_by_shares(total: IntArray, shares: FloatArray) -> IntArray:
    """Returns integers that sum to `total`, by shares that sum to one.

    Args:
        total: units to split, (...).
        shares: (..., G), >= 0, sum 1.

    Returns:
        Units, (..., G).
    """
    rows = shares.reshape(-1, shares.shape[-1])
    return split_rows_by_shares(total.reshape(-1), rows).reshape(shares.shape)


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
    add_to_largest(base.reshape(-1, size), (units - base).reshape(-1, size), left.reshape(-1))
    return base
