"""Coordination and credit, compiled.

A kernel works on one copy after the other, so that what it needs of a copy stays in the processor's
cache. Kernels that call each other share a file, because the compiler's cache on disk notices
changes of a function's own file only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.agents.units import Units
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    RESTOCK,
    STORE,
    Float32Array,
    FloatArray,
    IntArray,
)


class Options(NamedTuple):
    """What the agents chose, (B, A_m, K); those of the high level are for all nodes."""

    ordering_high: IntArray
    ordering_low: IntArray
    shipping_high: IntArray
    shipping_low: IntArray
    return_high: IntArray
    return_low: IntArray


class Grids(NamedTuple):
    """What levels stand for."""

    dc_cover: FloatArray  # (L,) days
    store_cover: FloatArray  # (L,) days
    push_cover: FloatArray  # (L',) days
    online_share: FloatArray  # (L',)
    disposition: FloatArray  # (L'', 3)


class Weights(NamedTuple):
    """Of the proposers of each decision, in the order of `roster.PROPOSERS`; sum 1.

    (1, P) for all copies, or (B, P).
    """

    supplier_gap: FloatArray
    shipment_gap: FloatArray
    online_share: FloatArray
    disposition: FloatArray


class Lanes(NamedTuple):
    """From DCs to stores."""

    parent: IntArray  # (S,)
    lead_time: IntArray  # (S,) periods
    online_slots: int  # the first slots of the backorders are online orders


class Wishes(NamedTuple):
    """The arrays of `types.Targets`."""

    supplier_gap: FloatArray
    shipment_gap: FloatArray
    online_share: FloatArray
    disposition: FloatArray


@compiled
def are_valid(levels: IntArray, num_options: int) -> bool:
    """Whether all levels, (B, A, K), are in [0, num_options)."""
    flat, valid = levels.reshape(-1), True
    for i in range(len(flat)):
        valid &= 0 <= flat[i] < num_options
    return valid


@compiled
def average_proposals(
    levels: Options,
    grids: Grids,
    weights: Weights,
    units: Units,
    lanes: Lanes,
    wishes: Wishes,
) -> None:
    """Eq. 6 for all decisions of B copies.

    Args:
        levels: valid ones.
        grids: what they stand for.
        weights: of the proposers.
        units: what is known.
        lanes: to the stores.
        wishes: written in place.
    """
    copies, num_dcs, skus = wishes.supplier_gap.shape
    stores = wishes.shipment_gap.shape[1]
    own, push = np.empty((stores, skus)), np.empty((stores, skus))
    echelon, rates, wanted = np.empty((3, num_dcs, skus))
    for b in range(copies):
        wanted[:] = 0.0
        _add_positions(own, echelon, units, lanes, b)
        _average_shares(levels, grids, weights, wishes, b)
        own_weights = min(b, len(weights.supplier_gap) - 1)
        _add_rates(rates, units, lanes, b)
        high, low = weights.supplier_gap[own_weights]
        for w in range(num_dcs):
            for k in range(skus):
                cover = high * grids.dc_cover[levels.ordering_high[b, 0, k]]
                cover += low * grids.dc_cover[levels.ordering_low[b, w, k]]
                wishes.supplier_gap[b, w, k] = cover * rates[w, k] - echelon[w, k]
        high, low, balanced, low_push = weights.shipment_gap[own_weights]
        others = high + low + low_push
        for s in range(stores):
            for k in range(skus):
                rate = _get_store_rate(units.forecast[b, s, k], wishes.online_share[b, s, k])
                days = grids.push_cover[levels.shipping_high[b, 0, k]]
                push[s, k] = (lanes.lead_time[s] + days) * rate - own[s, k]
                wanted[lanes.parent[s], k] += max(push[s, k], 0.0)
                cover = others * lanes.lead_time[s]
                cover += high * grids.store_cover[levels.ordering_high[b, 0, k]]
                cover += low * grids.store_cover[levels.ordering_low[b, num_dcs + s, k]]
                cover += low_push * grids.push_cover[levels.shipping_low[b, s, k]]
                wishes.shipment_gap[b, s, k] = cover * rate - others * own[s, k]
        for s in range(stores):
            w = lanes.parent[s]
            for k in range(skus):
                # The push is kept within what the DC holds, by the same factor for each store.
                factor = min(units.on_hand[b, w, k] / max(wanted[w, k], 1e-9), 1.0)
                kept = push[s, k] * factor if push[s, k] > 0 else push[s, k]
                wishes.shipment_gap[b, s, k] += balanced * kept


@compiled
def _add_positions(
    own: FloatArray, echelon: FloatArray, units: Units, lanes: Lanes, b: int
) -> None:
    """Inventory positions of stores, (S, K), and DCs, (W, K), as in `inventory`."""
    num_dcs, skus = echelon.shape
    has_queue = units.inspection_queue.shape[1] > 0
    for node in range(units.on_hand.shape[1]):
        for k in range(skus):
            position = units.on_hand[b, node, k]
            for slot in range(units.in_transit.shape[1]):
                position += units.in_transit[b, slot, node, k]
            if has_queue:
                position += units.inspection_queue[b, node, k]
            if node < num_dcs:
                echelon[node, k] = position
                continue
            s, waiting = node - num_dcs, 0
            for slot in range(units.in_inspection.shape[1]):
                position += units.in_inspection[b, slot, s, k]
            for slot in range(units.backorders.shape[1]):
                if slot < lanes.online_slots:
                    waiting += units.backorders[b, slot, s, k]
                else:
                    position -= units.backorders[b, slot, s, k]
            own[s, k] = position
            echelon[lanes.parent[s], k] += position - waiting


@compiled
def _average_shares(
    levels: Options, grids: Grids, weights: Weights, wishes: Wishes, b: int
) -> None:
    """Averages what is fractions: online shares and dispositions."""
    _, stores, skus = wishes.online_share.shape
    own_weights = min(b, len(weights.supplier_gap) - 1)
    for s in range(stores):
        for k in range(skus):
            high, low = weights.online_share[own_weights]
            share = high * grids.online_share[levels.shipping_high[b, 0, k]]
            share += low * grids.online_share[levels.shipping_low[b, s, k]]
            wishes.online_share[b, s, k] = share
            high, low = weights.disposition[own_weights]
            for i in range(3):
                share = high * grids.disposition[levels.return_high[b, 0, k], i]
                share += low * grids.disposition[levels.return_low[b, s, k], i]
                wishes.disposition[b, s, k, i] = share


@compiled
def _add_rates(rates: FloatArray, units: Units, lanes: Lanes, b: int) -> None:
    """Units a period demanded in all regions of each DC, (W, K)."""
    rates[:] = 0.0
    _, stores, skus, channels = units.forecast.shape
    for s in range(stores):
        for k in range(skus):
            rate = 0.0
            for c in range(channels):
                rate += units.forecast[b, s, k, c]
            rates[lanes.parent[s], k] += rate


@compiled
def _get_store_rate(forecast: FloatArray, online_share: float) -> float:
    """Units a period that the store itself is to serve, of a forecast (C,)."""
    rate = forecast[STORE] + online_share * forecast[ONLINE]
    return rate + forecast[PICKUP] if len(forecast) > PICKUP else rate


@compiled
def round_gaps(gap: FloatArray) -> IntArray:
    """Positive gaps rounded half up, the others zero, (n,)."""
    units = np.empty(len(gap), np.int64)
    for i in range(len(gap)):
        units[i] = np.int64(max(gap[i], 0.0) + 0.5)
    return units


@compiled
def project_shares(shares: FloatArray) -> FloatArray:
    """Clips disposition shares, (n, 3), and makes their sum 1; restocks all where it is 0."""
    projected = np.empty(shares.shape)
    for i in range(len(shares)):
        total = 0.0
        for j in range(3):
            projected[i, j] = min(max(shares[i, j], 0.0), 1.0)
            total += projected[i, j]
        for j in range(3):
            nothing = 1.0 if j == RESTOCK else 0.0
            projected[i, j] = projected[i, j] / max(total, 1e-12) if total > 0 else nothing
    return projected


class Scales(NamedTuple):
    """What loss is divided by, and the weights of its shares (`RewardModel`)."""

    cell: FloatArray  # (S, K)
    store: FloatArray  # (S, 1)
    dc: FloatArray  # (W, K)
    sku: FloatArray  # (K,)
    local_weight: float
    store_weight: float


@compiled
def share_credit(
    loss: FloatArray, team: FloatArray, scales: Scales, parent: IntArray, rewards: Float32Array
) -> None:
    """Writes each row's share of eq. 8, negative loss.

    Args:
        loss: money, (B, N, K).
        team: what all share, (B,).
        scales: of the scenario.
        parent: (S,).
        rewards: written in place, (B, N + 1, K).
    """
    copies, nodes, skus = loss.shape
    num_dcs = nodes - len(parent)
    wide = scales.local_weight + scales.store_weight
    below = np.empty((num_dcs, skus))
    for b in range(copies):
        below[:] = 0.0
        for s in range(len(parent)):
            total = 0.0
            for k in range(skus):
                total += loss[b, num_dcs + s, k]
                below[parent[s], k] += loss[b, num_dcs + s, k]
            store = scales.store_weight * total / scales.store[s, 0]
            for k in range(skus):
                own = scales.local_weight * loss[b, num_dcs + s, k] / scales.cell[s, k]
                rewards[b, num_dcs + s, k] = -(own + store + team[b])
        for k in range(skus):
            total = 0.0
            for i in range(nodes):
                total += loss[b, i, k]
            for w in range(num_dcs):
                lost = loss[b, w, k] + below[w, k]
                rewards[b, w, k] = -(wide * lost / scales.dc[w, k] + team[b])
            rewards[b, nodes, k] = -(wide * total / scales.sku[k] + team[b])


@compiled
def split_credit(
    by_term: FloatArray,
    weights: FloatArray,
    team_weight: float,
    scales: Scales,
    parent: IntArray,
    shares: Float32Array,
) -> None:
    """Writes each row's share of groups of costs, negative, of the first copy.

    Args:
        by_term: money, (8, B, N, K).
        weights: of the terms in each group, (G, 8).
        team_weight: of the network's loss, in what all share.
        scales: of the scenario.
        parent: (S,).
        shares: written in place, (G, N + 1, K).
    """
    terms, _, nodes, skus = by_term.shape
    loss, team = np.zeros((len(weights), nodes, skus)), np.zeros(len(weights))
    for g in range(len(weights)):
        for t in range(terms):
            if weights[g, t] != 0.0:
                for i in range(nodes):
                    for k in range(skus):
                        cost = weights[g, t] * by_term[t, 0, i, k]
                        loss[g, i, k] += cost
                        team[g] += team_weight * cost
    share_credit(loss, team, scales, parent, shares)
