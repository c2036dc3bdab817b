"""Shares of the reward of eq. 8 for every row, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import Float32Array, FloatArray, IntArray


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
