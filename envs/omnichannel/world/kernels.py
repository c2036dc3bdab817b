"""The loops over cells that NumPy would run as a dozen passes over memory, compiled.

Kernels that call each other share a file, because the compiler's cache on disk notices changes of a
function's own file only; see `demand/kernels.py` and `ledger_kernels.py` for others. Callers check
and document; a kernel does the arithmetic of one rule. Arrays are C-contiguous with the batch axis
first, `n` runs over the flattened cells of a copy, integers are exact, and no kernel changes its
inputs unless it says so.
"""

from __future__ import annotations

from math import floor

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
)


@compiled
def serve_from_stores(
    on_hand: IntArray,
    demand: IntArray,
    backorders: IntArray,
    slots: IntArray,
    online_share: FloatArray,
    reserve: int,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Serves walk-ins, pickups, then online orders from each store; who waits counts as well.

    Args:
        on_hand: (B, N, K), stores last.
        demand: (B, S, K, C).
        backorders: (B, P, S, K).
        slots: of channel c are `slots[c, 0]` to `slots[c, 1]`, (C, 2).
        online_share: of online orders that the store is to serve, (B, S, K).
        reserve: units kept back from online orders.

    Returns:
        On hand afterwards; units sold by channel, (B, S, K, C); online orders beyond them that the
        store was to serve, and those that the DC is to serve, (B, S, K).
    """
    copies, stores, skus, channels = demand.shape
    first = on_hand.shape[1] - stores
    after = on_hand.copy()
    sold = np.empty(demand.shape, np.int64)
    short, for_dc = np.empty(demand.shape[:3], np.int64), np.empty(demand.shape[:3], np.int64)
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                left = on_hand[b, first + s, k]
                for c in (STORE, PICKUP):
                    if c < channels:
                        orders = demand[b, s, k, c]
                        for slot in range(slots[c, 0], slots[c, 1]):
                            orders += backorders[b, slot, s, k]
                        units = min(left, orders)
                        sold[b, s, k, c] = units
                        left -= units
                orders = demand[b, s, k, ONLINE]
                for slot in range(slots[ONLINE, 0], slots[ONLINE, 1]):
                    orders += backorders[b, slot, s, k]
                wanted = floor(online_share[b, s, k] * orders + 0.5)
                units = min(wanted, max(left - reserve, 0))
                sold[b, s, k, ONLINE] = units
                short[b, s, k] = wanted - units
                for_dc[b, s, k] = orders - wanted
                after[b, first + s, k] = left - units
    return after, sold, short, for_dc


@compiled
def settle_orders(
    backorders: IntArray,
    demand: IntArray,
    served: IntArray,
    slots: IntArray,
    forever: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Hands units out to who waits longest; what is open then ages a slot, or is lost.

    Args:
        backorders: (B, P, S, K).
        demand: of the period, (B, S, K, C).
        served: units handed over by channel, (B, S, K, C).
        slots: of channel c are `slots[c, 0]` to `slots[c, 1]`, (C, 2).
        forever: whether a channel's orders wait without limit and without age, (C,).

    Returns:
        Backorders afterwards, (B, P, S, K); units of the new demand that were served and units
        lost, (B, S, K, C); unit-days that the online orders served now had waited, (B, S, K), which
        are counted while they pass where ages are not kept.
    """
    copies, stores, skus, channels = demand.shape
    after = np.empty_like(backorders)
    on_time, lost = np.empty_like(demand), np.empty_like(demand)
    wait_days = np.zeros((copies, stores, skus), np.int64)
    for b in range(copies):
        new, given, before, then = demand[b], served[b], backorders[b], after[b]
        for c in range(channels):
            start, end, ageless = slots[c, 0], slots[c, 1], forever[c]
            for s in range(stores):
                for k in range(skus):
                    left, kept, days = given[s, k, c], 0, 0
                    for slot in range(end - 1, start - 1, -1):
                        waiting = before[slot, s, k]
                        taken = min(waiting, left)
                        left -= taken
                        days += waiting if ageless else (slot - start + 1) * taken
                        if ageless or slot == end - 1:
                            kept = waiting - taken
                        else:
                            then[slot + 1, s, k] = waiting - taken
                    missing = new[s, k, c] - left
                    on_time[b, s, k, c] = left
                    if start == end:
                        lost[b, s, k, c] = missing
                    elif ageless:
                        then[start, s, k], lost[b, s, k, c] = kept + missing, 0
                    else:
                        then[start, s, k], lost[b, s, k, c] = missing, kept
                    if c == ONLINE:
                        wait_days[b, s, k] = days
    return after, on_time, lost, wait_days


@compiled
def collect_returns(
    due: IntArray, expected: FloatArray, rounding: FloatArray, cumulative: FloatArray
) -> tuple[IntArray, IntArray]:
    """Spreads new returns over the delays, and takes out what comes back now.

    Args:
        due: with customers by delay, (B, D, n).
        expected: new returns, (B, n), not rounded.
        rounding: uniform in (0, 1), (B, n).
        cumulative: probability of at most each delay, (D,).

    Returns:
        What comes back now, (B, n), and what is due then, (B, D, n).
    """
    copies, delays, cells = due.shape
    returned = np.empty((copies, cells), np.int64)
    after = np.empty_like(due)
    counted = np.empty(cells, np.int64)
    for b in range(copies):
        new, uniform, before, later = expected[b], rounding[b], due[b], after[b]
        for n in range(cells):
            counted[n] = int(new[n] * cumulative[0] + uniform[n])
            returned[b, n] = before[0, n] + counted[n]
        for d in range(1, delays):
            for n in range(cells):
                # Rounded down along the cumulative distribution: each delay's mean is exact.
                so_far = int(new[n] * cumulative[d] + uniform[n])
                later[d - 1, n] = before[d, n] + so_far - counted[n]
                counted[n] = so_far
        later[delays - 1] = 0
    return returned, after


@compiled
def move_pipelines(
    in_transit: IntArray, sent: IntArray, lead_time: IntArray, back: IntArray, way_back: IntArray
) -> tuple[IntArray, IntArray]:
    """Puts units on their way, then moves every slot a period nearer.

    Args:
        in_transit: by destination, (B, L, N, K).
        sent: to each node, (B, N, K).
        lead_time: of what is sent, (B, N, K), or (1, N, K) for all copies; 0 is there already.
        back: from each store to its DC, (B, S, K).
        way_back: of each store, its DC and the periods of the way, (S, 2).

    Returns:
        What arrives, (B, N, K), and what is still in transit, (B, L, N, K).
    """
    copies, slots, nodes, skus = in_transit.shape
    arrived = np.empty((copies, nodes, skus), np.int64)
    later = np.empty_like(in_transit)
    cells, kept = nodes * skus, (slots - 1) * nodes * skus
    for b in range(copies):
        own = b % len(lead_time)
        before, after = in_transit[b].reshape(kept + cells), later[b].reshape(kept + cells)
        for n in range(kept):
            after[n] = before[n + cells]
        after[kept:] = 0
        for i in range(nodes):
            for k in range(skus):
                arrived[b, i, k] = in_transit[b, 0, i, k]
                periods = lead_time[own, i, k]
                if periods == 1:
                    arrived[b, i, k] += sent[b, i, k]
                elif periods > 1:
                    later[b, periods - 2, i, k] += sent[b, i, k]
        for s in range(len(way_back)):
            dc, periods = way_back[s, 0], way_back[s, 1]
            for k in range(skus):
                if periods == 1:
                    arrived[b, dc, k] += back[b, s, k]
                else:
                    later[b, periods - 2, dc, k] += back[b, s, k]
    return arrived, later


@compiled
def age_shelves(
    shelf: IntArray, life: IntArray, taken: IntArray, oldest_first: IntArray
) -> tuple[IntArray, IntArray]:
    """Takes units off the shelves, one purpose after the other; what is left ages by a day.

    Args:
        shelf: by remaining days, slot 0 has its last day, (B, A, S, K).
        life: days by SKU, (K,); 0 is not tracked.
        taken: by purpose, (T, B, S, K), in all at most what is there.
        oldest_first: whether the purpose takes the oldest units, else the freshest, (T,).

    Returns:
        Shelves afterwards, (B, A, S, K), and units that reached the end, (B, S, K).
    """
    copies, _, stores, skus = shelf.shape
    after = np.zeros_like(shelf)
    wasted = np.zeros((copies, stores, skus), np.int64)
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                days = life[k]
                if not days:
                    continue
                left = shelf[b, :, s, k].copy()
                for t in range(len(taken)):
                    units = taken[t, b, s, k]
                    for i in range(days):
                        slot = i if oldest_first[t] else days - 1 - i
                        part = min(left[slot], units)
                        left[slot] -= part
                        units -= part
                wasted[b, s, k] = left[0]
                after[b, : days - 1, s, k] = left[1:days]
    return after, wasted
