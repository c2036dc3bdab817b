"""Eq. 6, the weighted mean of all proposals, for all decisions of a period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from envs.omnichannel.agents.decisions.averaging_kernels import (
    AveragingPlan,
    average_in_days,
    average_quantities,
    average_shares,
)
from envs.omnichannel.agents.decisions.base import Decision, Quantity
from envs.omnichannel.agents.positions import (
    compute_store_rate,
    compute_system_rate,
    count_positions,
)
from envs.omnichannel.agents.protection import (
    Protection,
    compute_online_served,
    count_more_days,
)
from envs.omnichannel.flows import Proposals
from envs.omnichannel.types import FloatArray, IntArray, Network, View, sum_channels


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
        in_sigmas = any(isinstance(d, Quantity) and d.in_sigmas for d in decisions)
        self._protection = Protection(network) if in_sigmas else None

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
        share = means[self._online][..., 0] if online_share is None else online_share
        given = options, self._plan, weights
        stocks = count_positions(view, self.network).rows, np.ascontiguousarray(view.on_hand)
        more = count_more_days(self.network, view.day)
        if self._protection is None and more is None:
            forecast = np.ascontiguousarray(view.forecast)
            wrong = average_in_days(*given, forecast, *stocks, share, means)
        else:
            wrong = average_shares(*given, means)
            if wrong < 0:
                measured = self._measure(view, share, more)
                average_quantities(*given, *measured, *stocks, means)
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

    def _measure(
        self, view: View, online_share: FloatArray, more: IntArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """What a unit of cover comes to, and what covers are on top of, (B, N, K) units each.

        In sigmas: standard deviation and mean of demand until the next order arrives. In days: the
        demand of a day, and of the days that a stock must last longer than lead times say.
        """
        if self._protection is None:
            assert more is not None, "covers in days, of which lead times say all"
            store = compute_store_rate(view, online_share)
            rate = np.concatenate([compute_system_rate(view, self.network), store], axis=1)
            return rate, rate * more
        level, served = sum_channels(view.smoothed), compute_online_served(view, online_share)
        protection = self._protection.at(view.day)
        own = protection.measure_stores(view.ahead, level, view.variance, served)
        below = protection.measure_echelons(view.ahead, level, view.variance)
        deviation = np.concatenate([below.deviation, own.deviation], axis=1)
        return deviation, np.concatenate([below.mean, own.mean], axis=1)

    def _make_plan(self) -> AveragingPlan:
        net, decisions = self.network, self.decisions
        size = len(decisions), max(len(d.proposers) for d in decisions)
        options = max(len(grid) for d in decisions for grid in d.grids)
        plan = AveragingPlan(
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
                if not decision.in_sigmas:
                    plan.lead_time[i, first : first + self._places[i]] = decision.lead_time
        return plan
