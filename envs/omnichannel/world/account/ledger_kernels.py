"""Costs of a period's ledger, and the sums that metrics need, compiled.

As in `kernels`: callers check and document, a kernel does the arithmetic. Kernels that call each
other share a file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
    Ledger,
)


class Terms(NamedTuple):
    """The terms of a period's costs, as indices."""

    lost_sales: int
    late: int
    holding: int
    overflow: int
    transport: int
    ordering: int
    returns: int
    waste: int


_TERM = Terms(*range(len(Terms._fields)))


class Rates(NamedTuple):
    """Money per unit unless noted."""

    lost_sale: FloatArray  # (K, C)
    late: FloatArray  # (K,) and period
    holding: FloatArray  # (N,) and period
    capacity: FloatArray  # (N,) units
    overflow: float  # and period
    lane: FloatArray  # (S,) before the tier's factor
    breaks: FloatArray  # units of a shipment at which the next tier begins
    tiers: FloatArray  # factors, one more than breaks
    truck_capacity: int  # units; 0: no trucks are paid
    truck: FloatArray  # (S,) money per started truck
    transshipment: float
    last_mile_store: float
    last_mile_dc: FloatArray  # (S,)
    fixed_order: float  # per order line
    return_base: float  # per store and SKU where anything came back
    return_restock: float
    return_consolidate: float
    return_liquidate: float
    return_scrap: float
    return_mail: float
    waste: float


@compiled
def price_flows(ledger: Ledger, rates: Rates, costs: FloatArray) -> None:
    """Writes money by term, (8, B, N, K) of zeros; the rules are in `CostModel`."""
    # One call a copy: a call copies the description of every array of a ledger.
    for b in range(len(ledger.on_hand)):
        _price_stock(ledger, rates, costs, b)
        _price_service(ledger, rates, costs, b)
        _price_transport(ledger, rates, costs, b)
        _price_returns(ledger, rates, costs, b)


@compiled
def _price_stock(ledger: Ledger, rates: Rates, costs: FloatArray, b: int) -> None:
    """Holding, overflow and orders."""
    _, nodes, skus = ledger.on_hand.shape
    for i in range(nodes):
        stock = 0
        for k in range(skus):
            stock += ledger.on_hand[b, i, k]
        above = max(stock - rates.capacity[i], 0.0) * rates.overflow
        for k in range(skus):
            on_hand = ledger.on_hand[b, i, k]
            costs[_TERM.holding, b, i, k] = on_hand * rates.holding[i]
            costs[_TERM.overflow, b, i, k] = above / max(stock, 1) * on_hand
    for w in range(ledger.supplied.shape[1]):
        for k in range(skus):
            if ledger.supplied[b, w, k] > 0:
                costs[_TERM.ordering, b, w, k] = rates.fixed_order


@compiled
def _price_service(ledger: Ledger, rates: Rates, costs: FloatArray, b: int) -> None:
    """Units that were lost, and those that wait."""
    _, stores, skus, channels = ledger.lost.shape
    first = ledger.supplied.shape[1]
    for s in range(stores):
        for k in range(skus):
            money = 0.0
            for c in range(channels):
                money += ledger.lost[b, s, k, c] * rates.lost_sale[k, c]
            costs[_TERM.lost_sales, b, first + s, k] = money
            costs[_TERM.late, b, first + s, k] = ledger.waiting[b, s, k] * rates.late[k]


@compiled
def _price_transport(ledger: Ledger, rates: Rates, costs: FloatArray, b: int) -> None:
    """Lanes, trucks, transshipments and the last mile."""
    _, stores, skus = ledger.shipped.shape
    first = ledger.supplied.shape[1]
    for s in range(stores):
        load, tier, trucks = 0, 0, 0
        for k in range(skus):
            load += ledger.shipped[b, s, k]
        while tier < len(rates.breaks) and rates.breaks[tier] <= load:
            tier += 1
        if rates.truck_capacity:
            trucks = (load + rates.truck_capacity - 1) // rates.truck_capacity
        for k in range(skus):
            shipped = ledger.shipped[b, s, k]
            money = shipped * rates.lane[s] * rates.tiers[tier]
            money += shipped / max(load, 1) * trucks * rates.truck[s]
            money += ledger.transshipped_in[b, s, k] * rates.transshipment
            money += ledger.online_from_store[b, s, k] * rates.last_mile_store
            from_dc = ledger.online_from_dc[b, s, k] + ledger.store_from_dc[b, s, k]
            from_dc += ledger.pickup_from_dc[b, s, k]
            costs[_TERM.transport, b, first + s, k] = money + from_dc * rates.last_mile_dc[s]


@compiled
def _price_returns(ledger: Ledger, rates: Rates, costs: FloatArray, b: int) -> None:
    """Returned units, and those that vanished or spoilt."""
    _, stores, skus = ledger.returned.shape
    first = ledger.supplied.shape[1]
    for s in range(stores):
        for k in range(skus):
            money = rates.return_base if ledger.returned[b, s, k] > 0 else 0.0
            money += ledger.restocked[b, s, k] * rates.return_restock
            money += ledger.consolidated[b, s, k] * rates.return_consolidate
            money += ledger.liquidated[b, s, k] * rates.return_liquidate
            money += ledger.scrapped[b, s, k] * rates.return_scrap
            money += ledger.mailed[b, s, k] * rates.return_mail
            costs[_TERM.returns, b, first + s, k] = money
            vanished = ledger.shrunk[b, s, k] + ledger.wasted[b, s, k]
            costs[_TERM.waste, b, first + s, k] = vanished * rates.waste


@compiled
def weigh_terms(costs: FloatArray, weights: FloatArray, weighted: FloatArray) -> None:
    """Adds the terms of costs, (8, n), up under weights, (8,), into (n,) of zeros."""
    for term in range(len(costs)):
        if weights[term] != 0:
            for i in range(len(weighted)):
                weighted[i] += weights[term] * costs[term, i]


class Sums(NamedTuple):
    """What metrics need, summed over the periods."""

    demand: IntArray  # (B, S, K, C), as the next three
    served: IntArray
    on_time: IntArray
    lost: IntArray
    wait_days: IntArray  # (B, S, K), as all below
    returned: IntArray
    restocked: IntArray
    consolidated: IntArray
    liquidated: IntArray
    scrapped: IntArray
    mailed: IntArray
    waiting: IntArray
    shrunk: IntArray
    wasted: IntArray
    on_hand: IntArray  # (B, N, K)
    covered: IntArray  # (B,) store-SKU-periods in which all demand was served on time
    demand_moments: FloatArray  # (2, B, K) of the network's demand: sum, sum of squares
    order_moments: FloatArray  # (2, B, K) of the orders from suppliers


@compiled
def add_ledger(sums: Sums, ledger: Ledger) -> None:
    """Adds a period to the sums, in place."""
    _add(sums.demand, ledger.demand)
    _add(sums.on_time, ledger.on_time)
    _add(sums.lost, ledger.lost)
    _add(sums.wait_days, ledger.wait_days)
    _add(sums.returned, ledger.returned)
    _add(sums.restocked, ledger.restocked)
    _add(sums.consolidated, ledger.consolidated)
    _add(sums.liquidated, ledger.liquidated)
    _add(sums.scrapped, ledger.scrapped)
    _add(sums.mailed, ledger.mailed)
    _add(sums.waiting, ledger.waiting)
    _add(sums.shrunk, ledger.shrunk)
    _add(sums.wasted, ledger.wasted)
    _add(sums.on_hand, ledger.on_hand)
    units = np.empty(ledger.demand.shape[2], np.int64)
    for b in range(len(ledger.demand)):
        _add_service(sums, ledger, units, b)
        _add_moments(sums.demand_moments, units, b)
        units[:] = 0
        for w in range(ledger.supplied.shape[1]):
            for k in range(len(units)):
                units[k] += ledger.supplied[b, w, k]
        _add_moments(sums.order_moments, units, b)


@compiled
def _add(total: IntArray, units: IntArray) -> None:
    """Adds units to a total of their shape, as one row: its axes are short."""
    to, flat = total.reshape(-1), units.reshape(-1)
    for i in range(len(to)):
        to[i] += flat[i]


@compiled
def _add_moments(moments: FloatArray, units: IntArray, b: int) -> None:
    """Adds units, (K,), and their squares to (2, B, K)."""
    for k in range(len(units)):
        moments[0, b, k] += units[k]
        moments[1, b, k] += units[k] * units[k]


@compiled
def _add_service(sums: Sums, ledger: Ledger, demanded: IntArray, b: int) -> None:
    """Adds what was served, and where all was on time; writes the network's demand, (K,)."""
    _, stores, skus, channels = ledger.demand.shape
    demanded[:] = 0
    for s in range(stores):
        for k in range(skus):
            units, on_time = 0, 0
            for c in range(channels):
                units += ledger.demand[b, s, k, c]
                on_time += ledger.on_time[b, s, k, c]
            served = sums.served[b, s, k]
            served[STORE] += ledger.sold_store[b, s, k] + ledger.store_from_dc[b, s, k]
            served[ONLINE] += ledger.online_from_store[b, s, k] + ledger.online_from_dc[b, s, k]
            if channels > PICKUP:
                served[PICKUP] += ledger.sold_pickup[b, s, k] + ledger.pickup_from_dc[b, s, k]
            demanded[k] += units
            sums.covered[b] += units == on_time
