"""Units on their way: lead times, dispatch and arrivals."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import (
    Decisions,
    Flows,
    IntArray,
    Network,
    SeedArray,
    State,
    no_units,
)
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation.ration import ration_proportionally
from envs.omnichannel.world.kernels import move_pipelines


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
        # For all copies and SKUs.
        self._lead_time = np.repeat(network.lead_time[:, None], network.num_skus, axis=1)[None]
        self._some_at_once = bool((network.lead_time == 0).any())
        self._way_back = np.stack([network.parent, network.lane_lead_time + 1], axis=1)

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
        self, on_hand: IntArray, supplied: IntArray, shipped: IntArray, lead_time: IntArray | None
    ) -> tuple[IntArray, IntArray]:
        """Event 3: takes shipments out of the DCs; what has no way to go is there at once.

        Args:
            on_hand: before, (B, N, K).
            supplied: confirmed supplier orders, (B, W, K).
            shipped: to stores, (B, S, K).
            lead_time: drawn, (B, N, K); None takes the fixed ones.

        Returns:
            On hand afterwards and what was sent to each node, (B, N, K).
        """
        net = self.network
        sent = np.concatenate([supplied, shipped], axis=1)
        if lead_time is not None or self._some_at_once:
            at_once = (self._lead_time if lead_time is None else lead_time) == 0
            on_hand = on_hand + at_once * sent
        else:
            on_hand = on_hand.copy()
        on_hand[:, : net.num_dcs] -= net.sum_by_dc(shipped)
        return on_hand, sent

    def move(
        self, state: State, flows: Flows, sent: IntArray, lead_time: IntArray | None
    ) -> tuple[IntArray, IntArray]:
        """Puts what was sent and consolidated on its way, then event 1 of the next period.

        Consolidated returns are due in the lane's lead time + 1.

        Args:
            state: before the period.
            flows: of the period.
            sent: to each node, (B, N, K).
            lead_time: drawn, (B, N, K); None takes the fixed ones.

        Returns:
            What arrives at each node, (B, N, K), and what is in transit then, (B, L, N, K).
        """
        periods = self._lead_time if lead_time is None else lead_time
        arrived, in_transit = move_pipelines(
            state.in_transit, sent, periods, flows.consolidated, self._way_back
        )
        if self.transshipment is not None and self.transshipment.lead_time:
            stores = slice(self.network.num_dcs, None)
            send(flows.transshipped_in, self.transshipment.lead_time, stores, arrived, in_transit)
        return arrived, in_transit

    def transship(
        self,
        on_hand: IntArray,
        decisions: Decisions,
        shipped: IntArray,
    ) -> tuple[IntArray, IntArray]:
        """Event 3, after dispatch: moves surplus to stores of the same DC that it left short.

        Each DC's stores give in proportion to their surplus and receive in proportion to their
        need, as much as the smaller sum of the two.

        Args:
            on_hand: after dispatch, (B, N, K); changed in place.
            decisions: requests, of which a store needs what was not shipped, and its surplus, of
                which it gives no more than it holds.
            shipped: by the DCs, (B, S, K).

        Returns:
            Units out of and into each store, (B, S, K).
        """
        if self.transshipment is None or decisions.surplus is None:
            none = no_units(shipped.shape)
            return none, none
        net, lead_time = self.network, self.transshipment.lead_time
        stores = on_hand[:, net.num_dcs :]
        need, surplus = decisions.shipment - shipped, np.minimum(decisions.surplus, stores)
        moved = np.minimum(net.sum_by_dc(need), net.sum_by_dc(surplus))
        out, into = (ration_proportionally(units, moved, net) for units in (surplus, need))
        stores -= out
        if not lead_time:
            stores += into
        return out, into


def send(
    units: IntArray, periods: int, nodes: slice, arrived: IntArray, in_transit: IntArray
) -> None:
    """Puts units on a way of `periods` >= 1, when the pipelines have moved already; in place.

    Args:
        units: to the nodes, (B, N', K).
        periods: of their way.
        nodes: where they go to, N' of N.
        arrived: this period, (B, N, K).
        in_transit: (B, L, N, K).
    """
    target = arrived if periods == 1 else in_transit[:, periods - 2]
    target[:, nodes] += units


def shift(slots: IntArray, entering: IntArray) -> tuple[IntArray, IntArray]:
    """Takes out the first slot, (B, ...), and moves the others nearer, (B, L, ...), L >= 1.

    What is entering has L periods to go.
    """
    if slots.shape[1] == 1:
        return slots[:, 0] + entering, np.zeros_like(slots)
    moved = np.empty_like(slots)
    moved[:, :-1] = slots[:, 1:]
    moved[:, -2] += entering
    moved[:, -1] = 0
    return slots[:, 0], moved
