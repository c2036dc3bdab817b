"""Event 1 of the next period: units whose lead time ends become on hand."""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network
from envs.omnichannel.world.period import Event, Period


class Arrive(Event):
    """Puts what was sent and consolidated on its way, and brings in what is due.

    Consolidated returns are due at the DC in the lane's lead time + 1. What is on hand before is
    the stock at the end of the period, which the ledger keeps.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._way_back = np.stack([network.parent, network.lane_lead_time + 1], axis=1)
        self.reach = int(self._way_back[:, 1].max())

    def apply(self, period: Period) -> None:
        """Moves all pipelines a period nearer."""
        arrived, in_transit = _move_pipelines(
            period.state.in_transit,
            period.sent,
            period.lead_time,
            period.flows["consolidated"],
            self._way_back,
        )
        for units, nodes, periods in period.under_way:
            target = arrived if periods == 1 else in_transit[:, periods - 2]
            target[:, nodes] += units
        period.after["in_transit"] = in_transit
        period.flows["on_hand"] = period.on_hand
        period.on_hand = period.on_hand + arrived


@compiled
def _move_pipelines(
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
