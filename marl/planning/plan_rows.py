"""A recommendation's rows: every decision of a plan, and every node's outlook.

Beside each decision stands the one that a classical rule would make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from envs.omnichannel.agents.decisions import DECISIONS
from envs.omnichannel.agents.decisions.base import Decision as AnyDecision
from envs.omnichannel.agents.decisions.base import Line
from envs.omnichannel.agents.positions import (
    compute_store_rate,
    compute_system_rate,
    count_online_waiting,
    count_positions,
)
from envs.omnichannel.types import FloatArray, Network, View, sum_axis
from marl.planning.decision_maker import Proposed
from marl.planning.plan import Plan
from marl.planning.recommendation import Decision, Outlook


@dataclass(frozen=True, kw_only=True)
class PlanRows:
    """Two plans for the same day as the rows of a recommendation."""

    network: Network
    nodes: list[str]
    skus: list[str]
    plan: Plan
    classical: Plan

    def list_decisions(self, proposed: Proposed) -> Iterator[Decision]:
        """Yields every line of every decision that the plan makes."""
        for decision in DECISIONS:
            if getattr(self.plan.decisions, decision.name) is not None:
                for line in decision.lines:
                    yield from self._list_line(decision, line, proposed[decision.target])

    def list_outlook(self, view: View) -> Iterator[Outlook]:
        """Yields stock, forecast, cover and risk of every node and SKU."""
        net, plan = self.network, self.plan
        position = count_positions(view, net).rows[0]
        rate = np.concatenate(
            [compute_system_rate(view, net), compute_store_rate(view, plan.decisions.online_share)],
            axis=1,
        )[0]
        brought = np.concatenate([plan.carried_out.supplied, plan.carried_out.shipped], axis=1)
        coming = sum_axis(view.in_transit, 1)
        coming[:, net.num_dcs :] += sum_axis(view.in_inspection, 1)
        waiting = sum_axis(view.backorders, 1)
        online = count_online_waiting(view, net)
        owed = np.concatenate([net.sum_by_dc(online), waiting - online], axis=1)
        for n, node in enumerate(self.nodes):
            for k, sku in enumerate(self.skus):
                before = int(position[n, k])
                yield Outlook(
                    node=node,
                    sku=sku,
                    on_hand=int(view.on_hand[0, n, k]),
                    on_the_way=int(coming[0, n, k]),
                    owed=int(owed[0, n, k]),
                    position=before,
                    forecast=float(rate[n, k]),
                    cover_before=_compute_cover(before, rate[n, k]),
                    cover_after=_compute_cover(before + int(brought[0, n, k]), rate[n, k]),
                    protection_days=int(net.lead_time[n]) + 1,
                    stockout_probability=float(plan.shortage[n, k]),
                    classical_stockout_probability=float(self.classical.shortage[n, k]),
                )

    def _list_line(
        self, decision: type[AnyDecision], line: Line, proposals: Mapping[str, FloatArray]
    ) -> Iterator[Decision]:
        """One line for each place and SKU: units as carried out, or shares and expected units."""
        net, is_share = self.network, decision.is_share
        chosen = line.take(getattr(self.plan.decisions, decision.name)[0])
        units = np.zeros(chosen.shape)
        if line.units is not None:
            flows = self.plan.today if is_share else self.plan.carried_out
            units = getattr(flows, line.units).mean(axis=0)
        classical = self._find_classical(decision, line)
        proposed = {module: line.take(proposal) for module, proposal in proposals.items()}
        first = 0 if decision.at_dcs else net.num_dcs
        for g in range(len(chosen)):
            node = self.nodes[first + g]
            dc = self.nodes[g if decision.at_dcs else net.parent[g]]
            for k, sku in enumerate(self.skus):
                yield Decision(
                    node=node,
                    sku=sku,
                    decision=line.name,
                    source=line.source.format(place=node, dc=dc),
                    destination=line.destination.format(place=node, dc=dc),
                    units=float(units[g, k]),
                    share=float(chosen[g, k]) if is_share else None,
                    requested=None if is_share else int(chosen[g, k]),
                    proposals={module: float(values[g, k]) for module, values in proposed.items()},
                    classical=None if classical is None else float(classical[g, k]),
                )

    def _find_classical(self, decision: type[AnyDecision], line: Line) -> FloatArray | None:
        """What the classical rule would decide; None: nothing."""
        alternative = getattr(self.classical.decisions, decision.name)
        if alternative is None:
            return None
        if decision.is_share or line.units is None:
            return line.take(alternative[0])
        units: FloatArray = getattr(self.classical.carried_out, line.units)[0]
        return units


def _compute_cover(position: int, rate: float) -> float | None:
    """Days that the position lasts at the rate."""
    return position / rate if rate > 0 else None
