"""Eq. 6, compiled: the weighted mean of all proposals, for all decisions of a period."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import ONLINE, PICKUP, STORE, FloatArray, IntArray


class AveragingPlan(NamedTuple):
    """How D decisions are averaged, with at most P proposers of at most L options each."""

    is_share: IntArray  # (D,) bool
    value: FloatArray  # (D, P, 1 to 3, L) what options stand for: shares, or days of cover
    # (D, P, 2) of each proposer: its module, the first of its agents' rows that counts; a module of
    # -1 where a decision has fewer proposers.
    proposer: IntArray
    num_options: IntArray  # (M,) by module
    pushed: IntArray  # (D,) the proposer who pushes, one for all stores; -1: nobody
    first: IntArray  # (D,) the row with which its places begin
    lead_time: FloatArray  # (D, N) to be covered beyond the days, periods, by row
    parent: IntArray  # (S,) each store's DC


@compiled
def average_in_days(
    options: tuple[IntArray, ...],
    plan: AveragingPlan,
    weights: FloatArray,
    forecast: FloatArray,
    positions: IntArray,
    on_hand: IntArray,
    online_share: FloatArray,
    means: tuple[FloatArray, ...],
) -> int:
    """Writes the mean of the proposals for each decision, where covers are days of the forecast.

    Args:
        options: by module, (B, A, K); A is 1 where one holds for all places.
        plan: of the decisions.
        weights: (1, D, P) or (B, D, P).
        forecast: units a period, (B, S, K, C).
        positions: inventory positions, units, (B, N + 1, K).
        on_hand: units, (B, N, K).
        online_share: that quantities are proposed for, (B, S, K).
        means: by decision, written in place, (B, G, K, 1 to 3).

    Returns:
        The first module with options that stand for nothing, and then nothing is written; or -1.
    """
    wrong = average_shares(options, plan, weights, means)
    if wrong < 0:
        rate = np.empty(on_hand.shape)
        _add_rates(rate, forecast, online_share, plan.parent)
        expected = np.empty((0, 0, 0))
        average_quantities(options, plan, weights, rate, expected, positions, on_hand, means)
    return wrong


@compiled
def average_shares(
    options: tuple[IntArray, ...],
    plan: AveragingPlan,
    weights: FloatArray,
    means: tuple[FloatArray, ...],
) -> int:
    """Writes the mean of the proposed shares; args and result as of `average_in_days`."""
    for module in range(len(options)):
        if not _are_valid(options[module].reshape(-1), plan.num_options[module]):
            return module
    for i in range(len(means)):
        if plan.is_share[i]:
            _add_proposals(means[i], options, plan, weights[:, i], i)
    return -1


@compiled
def average_quantities(
    options: tuple[IntArray, ...],
    plan: AveragingPlan,
    weights: FloatArray,
    unit: FloatArray,
    expected: FloatArray,
    positions: IntArray,
    on_hand: IntArray,
    means: tuple[FloatArray, ...],
) -> None:
    """Writes the mean gaps of the proposed quantities, of options that are valid.

    Args as of `average_in_days`, and:
        unit: what one unit of cover comes to, (B, N, K): a day's demand, or a standard deviation.
        expected: units that covers are on top of, (B, N, K); empty: none.
    """
    push = np.empty((len(on_hand), len(plan.parent), on_hand.shape[2], 1))
    for i in range(len(means)):
        if not plan.is_share[i]:
            pushed, row, own = plan.pushed[i], plan.first[i], weights[:, i]
            total = _sum_others(own, pushed)
            _add_proposals(means[i], options, plan, own, i)
            _take_positions(means[i], unit, positions, row, total)
            _add_expected(means[i], expected, row, total)
            if pushed >= 0:
                module, first = plan.proposer[i, pushed]
                _begin(push, plan.lead_time[i, row:], np.ones(1))
                _add_options(push, options[module], first, plan.value[i, pushed], np.ones(1))
                _take_positions(push, unit, positions, row, np.ones(1))
                _add_expected(push, expected, row, np.ones(1))
                _add_push(means[i], push, own[:, pushed], on_hand, plan.parent)


@compiled
def _are_valid(options: IntArray, num_options: int) -> bool:
    """Whether all options, (n,), are in [0, num_options)."""
    valid = True
    for i in range(len(options)):
        valid &= 0 <= options[i] < num_options
    return valid


@compiled
def _add_proposals(
    mean: FloatArray,
    options: tuple[IntArray, ...],
    plan: AveragingPlan,
    weights: FloatArray,
    decision: int,
) -> None:
    """Writes the weighted shares or covers, (B, G, K, 1 to 3), of all but who pushes.

    Gaps are linear in the days of cover, so the covers are averaged and one gap is made of their
    mean. Only a push to all stores of a DC is a gap of its own: it is kept within what the DC
    holds, by the same factor for each store.
    """
    pushed, row = plan.pushed[decision], plan.first[decision]
    _begin(mean, plan.lead_time[decision, row:], _sum_others(weights, pushed))
    for p in range(weights.shape[1]):
        module, first = plan.proposer[decision, p]
        if module >= 0 and p != pushed:
            _add_options(mean, options[module], first, plan.value[decision, p], weights[:, p])


@compiled
def _sum_others(weights: FloatArray, pushed: int) -> FloatArray:
    """The weight of all proposers, (B, P), but who pushes, (B,); 1 where nobody does."""
    total = np.ones(len(weights))
    if pushed >= 0:
        for b in range(len(weights)):
            total[b] = 0.0
            for p in range(weights.shape[1]):
                if p != pushed:
                    total[b] += weights[b, p]
    return total


@compiled
def _begin(mean: FloatArray, lead_time: FloatArray, total: FloatArray) -> None:
    """Writes weighted lead times, which all covers are on top of, (B, G, K, 1 to 3)."""
    copies, places, skus, width = mean.shape
    rows = mean.reshape(copies, places, skus * width)
    for b in range(copies):
        weight = total[min(b, len(total) - 1)]
        for g in range(places):
            for i in range(skus * width):
                rows[b, g, i] = weight * lead_time[g]


@compiled
def _add_options(
    mean: FloatArray, chosen: IntArray, first: int, value: FloatArray, weights: FloatArray
) -> None:
    """Adds what a proposer's options, (B, A, K), stand for, (1 to 3, L), weighted."""
    copies, places, skus, width = mean.shape
    flat, units = chosen.reshape(copies, -1), mean.reshape(copies, -1)
    for d in range(width):
        stands_for = value[d]
        for b in range(copies):
            weight = weights[min(b, len(weights) - 1)]
            for g in range(places):
                start = (first + g) * skus if chosen.shape[1] > 1 else 0
                for k in range(skus):
                    at = (g * skus + k) * width + d
                    units[b, at] += weight * stands_for[flat[b, start + k]]


@compiled
def _add_rates(
    rate: FloatArray, forecast: FloatArray, online_share: FloatArray, parent: IntArray
) -> None:
    """Writes units a period, (B, N, K): below each DC, and what each store is to serve."""
    copies, stores, skus, channels = forecast.shape
    num_dcs = rate.shape[1] - stores
    for b in range(copies):
        for w in range(num_dcs):
            for k in range(skus):
                rate[b, w, k] = 0.0
        for s in range(stores):
            for k in range(skus):
                store, online = forecast[b, s, k, STORE], forecast[b, s, k, ONLINE]
                own, below = store + online_share[b, s, k] * online, store + online
                if channels > PICKUP:
                    own += forecast[b, s, k, PICKUP]
                    below += forecast[b, s, k, PICKUP]
                rate[b, num_dcs + s, k] = own
                rate[b, parent[s], k] += below


@compiled
def _take_positions(
    cover: FloatArray, rate: FloatArray, positions: IntArray, row: int, total: FloatArray
) -> None:
    """Turns covers, (B, G, K, 1), into gaps; places begin at a row of the others."""
    copies, places, skus, _ = cover.shape
    cells = places * skus
    units, rates = cover.reshape(copies, cells), rate.reshape(copies, -1)
    held = positions.reshape(copies, -1)
    for b in range(copies):
        weight = total[min(b, len(total) - 1)]
        for i in range(cells):
            position = weight * held[b, row * skus + i]
            units[b, i] = units[b, i] * rates[b, row * skus + i] - position


@compiled
def _add_expected(gap: FloatArray, expected: FloatArray, row: int, total: FloatArray) -> None:
    """Adds what covers are on top of, (B, N, K), to the gaps, (B, G, K, 1), weighted."""
    copies, places, skus, _ = gap.shape
    cells = places * skus
    units, means = gap.reshape(copies, cells), expected.reshape(len(expected), -1)
    for b in range(len(expected)):
        weight = total[min(b, len(total) - 1)]
        for i in range(cells):
            units[b, i] += weight * means[b, row * skus + i]


@compiled
def _add_push(
    gap: FloatArray, push: FloatArray, weights: FloatArray, on_hand: IntArray, parent: IntArray
) -> None:
    """Adds the gaps of a push, (B, S, K, 1), as far as the DCs' stock, (B, N, K), goes."""
    copies, stores, skus, _ = push.shape
    wanted = np.empty((on_hand.shape[1] - stores, skus))
    for b in range(copies):
        weight = weights[min(b, len(weights) - 1)]
        wanted[:] = 0.0
        for s in range(stores):
            for k in range(skus):
                wanted[parent[s], k] += max(push[b, s, k, 0], 0.0)
        for s in range(stores):
            for k in range(skus):
                factor = min(on_hand[b, parent[s], k] / max(wanted[parent[s], k], 1e-9), 1.0)
                kept = push[b, s, k, 0] * factor if push[b, s, k, 0] > 0 else push[b, s, k, 0]
                gap[b, s, k, 0] += weight * kept
