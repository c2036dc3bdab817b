"""Event 3: orders and shipments are put on their way, with lead times that are fixed or drawn."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.period import Event, Period


class Dispatch(Event):
    """Takes shipments out of the DCs; what has no way to go is there at once."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        random = [dc.random_lead_time for dc in scenario.network.dcs]
        random += [store.random_lead_time for store in scenario.network.stores]
        self._is_random = any(table is not None for table in random)
        tables = [
            {int(fixed): 1.0} if table is None else table
            for table, fixed in zip(random, network.lead_time, strict=True)
        ]
        self.reach = max(max(table) for table in tables)
        probability = np.zeros((network.num_nodes, self.reach + 1))
        for node, table in enumerate(tables):
            for days, share in table.items():
                probability[node, days] = share
        # Without the last day, so that rounding errors can never make a way longer than that.
        self._cumulative = np.cumsum(probability, axis=1)[:, :-1]
        # For all copies and SKUs.
        self._lead_time = np.repeat(network.lead_time[:, None], network.num_skus, axis=1)[None]
        self._some_at_once = bool((network.lead_time == 0).any())
        if network.schedule is not None:
            longest = self.reach + network.schedule.longest_wait
            self.reach = max(longest, network.schedule.reach)

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Draws the lead times of what is sent in the period, (B, N, K), where any is random.

        Every supplier order line has its own; what goes to a store travels together.
        """
        if not self._is_random:
            return {}
        net, seed, period = self.network, state.seed, state.period
        lines = (net.num_dcs, net.num_skus)
        supplier = draws.sample_uniform(seed, period, draws.SUPPLIER_LEAD_TIME, lines)
        lane = draws.sample_uniform(seed, period, draws.LANE_LEAD_TIME, (net.num_stores, 1))
        lane = np.broadcast_to(lane, (len(seed), net.num_stores, net.num_skus))
        uniform = np.concatenate([supplier, lane], axis=1)
        lead_time = np.zeros(uniform.shape, np.int64)
        for below in self._cumulative.T:  # one pass a day: few days, many cells
            lead_time += uniform > below[:, None]
        return {"lead_time": lead_time}

    def apply(self, period: Period) -> None:
        """Sends what suppliers confirmed and what DCs ship."""
        net, drawn, shipped = self.network, period.demand.lead_time, period.flows["shipped"]
        period.sent = np.concatenate([period.flows["supplied"], shipped], axis=1)
        if net.schedule is not None:
            period.lead_time = net.schedule.count_lead_time(period.state.day, drawn)
        else:
            period.lead_time = self._lead_time if drawn is None else drawn
        if drawn is not None or net.schedule is not None or self._some_at_once:
            period.on_hand = period.on_hand + (period.lead_time == 0) * period.sent
        else:
            period.on_hand = period.on_hand.copy()
        period.on_hand[:, : net.num_dcs] -= net.sum_by_dc(shipped)
