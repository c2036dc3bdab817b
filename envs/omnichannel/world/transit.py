"""What is on its way: lead times, dispatch and arrivals."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Decisions, Flows, IntArray, Network, SeedArray, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation import ration_proportionally


class Pipelines:
    """Puts orders and shipments on their way and brings them in.

    Attributes:
        num_slots: L, the longest way of anything.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.network = network
        random = [dc.random_lead_time for dc in scenario.network.dcs]
        random += [store.random_lead_time for store in scenario.network.stores]
        self.is_random = any(table is not None for table in random)
        tables = [
            {int(fixed): 1.0} if table is None else table
            for table, fixed in zip(random, network.lead_time, strict=True)
        ]
        longest = max(max(table) for table in tables)
        consolidation = int(network.lane_lead_time.max()) + 1
        self.transshipment = scenario.transshipment
        lateral = self.transshipment.lead_time if self.transshipment else 0
        self.num_slots = max(longest, consolidation, lateral)
        probability = np.zeros((network.num_nodes, longest + 1))
        for node, table in enumerate(tables):
            for days, share in table.items():
                probability[node, days] = share
        # Without the last day, so that rounding errors can never make a way longer than that.
        self._cumulative = np.cumsum(probability, axis=1)[:, :-1]
        self._nodes = np.arange(network.num_nodes)

    def sample_lead_times(self, seed: SeedArray, period: IntArray) -> IntArray | None:
        """Draws the lead times of what is sent in the period, (B, N, K); None if all are fixed.

        Every supplier order line has its own; what goes to a store travels together.
        """
        if not self.is_random:
            return None
        net = self.network
        lines = (net.num_dcs, net.num_skus)
        supplier = draws.sample_uniform(seed, period, draws.SUPPLIER_LEAD_TIME, lines)
        lane = draws.sample_uniform(seed, period, draws.LANE_LEAD_TIME, (net.num_stores, 1))
        lane = np.broadcast_to(lane, (len(seed), net.num_stores, net.num_skus))
        uniform = np.concatenate([supplier, lane], axis=1)
        lead_time = np.zeros(uniform.shape, np.int64)
        for below in self._cumulative.T:  # one pass a day: few days, many cells
            lead_time += uniform > below[:, None]
        return lead_time

    def dispatch(
        self, state: State, supplied: IntArray, shipped: IntArray, lead_time: IntArray | None
    ) -> tuple[IntArray, IntArray]:
        """Event 3: puts orders and shipments on their way; returns on hand and in transit.

        Args:
            state: before.
            supplied: confirmed supplier orders, (B, W, K).
            shipped: to stores, (B, S, K).
            lead_time: drawn, (B, N, K); None takes the fixed ones.
        """
        net = self.network
        sent = np.concatenate([supplied, shipped], axis=1)  # (B, N, K)
        in_transit = state.in_transit.copy()
        if lead_time is None:
            later = (net.lead_time > 0)[:, None]
            in_transit[:, net.lead_time - 1, self._nodes] += np.where(later, sent, 0)
        else:
            later = lead_time > 0
            slot = np.maximum(lead_time - 1, 0)[:, None]
            moved = np.take_along_axis(in_transit, slot, 1) + np.where(later, sent, 0)[:, None]
            np.put_along_axis(in_transit, slot, moved, 1)
        on_hand = state.on_hand + np.where(later, 0, sent)
        on_hand[:, : net.num_dcs] -= net.sum_by_dc(shipped)
        return on_hand, in_transit

    def transship(
        self,
        on_hand: IntArray,
        in_transit: IntArray,
        decisions: Decisions,
        shipped: IntArray,
    ) -> tuple[IntArray, IntArray]:
        """Event 3, after dispatch: moves surplus to stores of the same DC that it left short.

        Each DC's stores give in proportion to their surplus and receive in proportion to their
        need, as much as the smaller sum of the two.

        Args:
            on_hand: after dispatch, (B, N, K); changed in place.
            in_transit: (B, L, N, K); changed in place.
            decisions: requests, of which a store needs what was not shipped, and its surplus, of
                which it gives no more than it holds.
            shipped: by the DCs, (B, S, K).

        Returns:
            Units out of and into each store, (B, S, K).
        """
        if self.transshipment is None or decisions.surplus is None:
            none = np.broadcast_to(np.int64(0), shipped.shape)
            return none, none
        net, lead_time = self.network, self.transshipment.lead_time
        stores = on_hand[:, net.num_dcs :]
        need, surplus = decisions.shipment - shipped, np.minimum(decisions.surplus, stores)
        moved = np.minimum(net.sum_by_dc(need), net.sum_by_dc(surplus))
        out, into = (ration_proportionally(units, moved, net) for units in (surplus, need))
        stores -= out
        if lead_time:
            in_transit[:, lead_time - 1, net.num_dcs :] += into
        else:
            stores += into
        return out, into

    def send_returns(self, flows: Flows, in_transit: IntArray) -> None:
        """Adds consolidated returns to `in_transit`, in place; due in lane lead time + 1."""
        net = self.network
        for s, (w, slot) in enumerate(zip(net.parent, net.lane_lead_time, strict=True)):
            in_transit[:, slot, w] += flows.consolidated[:, s]


def shift(slots: IntArray) -> IntArray:
    """Moves every slot one period nearer, (B, L, ...)."""
    moved = np.empty_like(slots)
    moved[:, :-1] = slots[:, 1:]
    moved[:, -1:] = 0
    return moved
