"""Eq. 6, the weighted mean of all proposals, for all decisions of a period in one compiled loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.agents.decisions.base import Decision, Quantity
from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
    Network,
    Proposals,
    View,
)


class _Plan(NamedTuple):
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


class Averaging:
    """The mean of the proposals for each of a list of decisions.

    Shares come first: the online share says how much demand the stores are to serve, and so what a
    cover of so many days means in units.

    Attributes:
        modules: all that propose anything.
    """

    def __init__(self, decisions: Sequence[Decision], network: Network) -> None:
        self.decisions, self.network = decisions, network
        self.modules = tuple(dict.fromkeys(m for d in decisions for m in d.proposers))
        self._places = [network.num_dcs if d.at_dcs else network.num_stores for d in decisions]
        self._widths = [d.grids[0].shape[1] for d in decisions]
        self._online = [d.target for d in decisions].index("online_share")
        self._plan = self._make_plan()

    def weigh(self, weights: Mapping[str, FloatArray]) -> FloatArray:
        """Returns the proposers' weights as one array, (1 or B, D, P).

        Args:
            weights: by target, (P,), or (B, P) where every copy has its own; sum 1.
        """
        rows = [np.atleast_2d(weights[d.target]) for d in self.decisions]
        table = np.zeros((max(map(len, rows)), *self._plan.proposer.shape[:2]))
        for i, row in enumerate(rows):
            table[:, i, : row.shape[1]] = row
        return table

    def average(
        self,
        options: tuple[IntArray, ...],
        view: View,
        weights: FloatArray,
        online_share: FloatArray | None = None,
    ) -> dict[str, FloatArray]:
        """Returns the targets by name, (B, G, K), or (B, G, K, 3) of dispositions.

        Args:
            options: of `modules`, (B, A_m, K), without gaps; one of a high-level agent holds for
                all places.
            view: of B copies.
            weights: as `weigh` returns them.
            online_share: that quantities are proposed for, (B, S, K); None: their mean.

        Raises:
            IndexError: if an option stands for nothing.
        """
        copies, skus = len(view.period), self.network.num_skus
        shapes = zip(self._places, self._widths, strict=True)
        means = tuple(np.empty((copies, places, skus, width)) for places, width in shapes)
        wrong = _average_proposals(
            options,
            self._plan,
            weights,
            np.ascontiguousarray(view.forecast),
            count_positions(view, self.network).rows,
            np.ascontiguousarray(view.on_hand),
            means[self._online][..., 0] if online_share is None else online_share,
            means,
        )
        if wrong >= 0:
            last = self._plan.num_options[wrong] - 1
            raise IndexError(f"{self.modules[wrong]} has options outside 0 to {last}")
        return {
            d.target: mean if width > 1 else mean[..., 0]
            for d, mean, width in zip(self.decisions, means, self._widths, strict=True)
        }

    def propose(
        self, options: tuple[IntArray, ...], view: View, online_share: FloatArray
    ) -> Proposals:
        """Returns all proposals, (P, B, G, K) or (P, B, G, K, 3): means of one proposer each.

        Args as of `average`.
        """
        alone = []
        for p in range(self._plan.proposer.shape[1]):
            weights = np.zeros((1, *self._plan.proposer.shape[:2]))
            weights[..., p] = 1.0
            alone.append(self.average(options, view, weights, online_share))
        return {
            d.target: np.stack([found[d.target] for found in alone[: len(d.proposers)]])
            for d in self.decisions
        }

    def _make_plan(self) -> _Plan:
        net, decisions = self.network, self.decisions
        size = len(decisions), max(len(d.proposers) for d in decisions)
        options = max(len(grid) for d in decisions for grid in d.grids)
        plan = _Plan(
            is_share=np.array([d.is_share for d in decisions]),
            value=np.zeros((*size, max(self._widths), options)),
            proposer=np.full((*size, 2), -1),
            num_options=np.zeros(len(self.modules), np.int64),
            pushed=np.full(size[0], -1),
            first=np.array([0 if d.at_dcs else net.num_dcs for d in decisions]),
            lead_time=np.zeros((size[0], net.num_nodes)),
            parent=net.parent,
        )
        for i, decision in enumerate(decisions):
            for p, grid in enumerate(decision.grids):
                module = self.modules.index(decision.proposers[p])
                plan.proposer[i, p] = module, decision.first[p]
                plan.num_options[module] = len(grid)
                plan.value[i, p, : grid.shape[1], : len(grid)] = grid.T
            if isinstance(decision, Quantity):
                plan.pushed[i], first = decision.pushed, plan.first[i]
                plan.lead_time[i, first : first + self._places[i]] = decision.lead_time
        return plan


@compiled
def _average_proposals(
    options: tuple[IntArray, ...],
    plan: _Plan,
    weights: FloatArray,
    forecast: FloatArray,
    positions: IntArray,
    on_hand: IntArray,
    online_share: FloatArray,
    means: tuple[FloatArray, ...],
) -> int:
    """Writes the mean of the proposals for each decision.

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
    for module in range(len(options)):
        if not _are_valid(options[module].reshape(-1), plan.num_options[module]):
            return module
    rate, push = np.empty(on_hand.shape), np.empty((*online_share.shape, 1))
    for i in range(len(means)):
        if plan.is_share[i]:
            _add_proposals(means[i], options, plan, weights[:, i], i)
    _add_rates(rate, forecast, online_share, plan.parent)
    for i in range(len(means)):
        if not plan.is_share[i]:
            pushed, row, own = plan.pushed[i], plan.first[i], weights[:, i]
            _add_proposals(means[i], options, plan, own, i)
            _take_positions(means[i], rate, positions, row, _sum_others(own, pushed))
            if pushed >= 0:
                module, first = plan.proposer[i, pushed]
                _begin(push, plan.lead_time[i, row:], np.ones(1))
                _add_options(push, options[module], first, plan.value[i, pushed], np.ones(1))
                _take_positions(push, rate, positions, row, np.ones(1))
                _add_push(means[i], push, own[:, pushed], on_hand, plan.parent)
    return -1


@compiled
def _are_valid(options: IntArray, num_options: int) -> bool:
    """Whether all options, (n,), are in [0, num_options)."""
    valid = True
    for i in range(len(options)):
        valid &= 0 <= options[i] < num_options
    return valid


@compiled
def _add_proposals(
    mean: FloatArray, options: tuple[IntArray, ...], plan: _Plan, weights: FloatArray, decision: int
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
    """Turns days of cover, (B, G, K, 1), into gaps; places begin at a row of the others."""
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
