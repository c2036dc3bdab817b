"""Event 1: order lines that never arrive, or arrive in part, which nobody knows before."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, SeedArray, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.period import Event, Fields, Period


class LoseOrders(Event):
    """Takes away again what did not come of the lines that were due.

    A line is what is due of a SKU at a location on a day: one order, or those that lead times bring
    together. What was consolidated, inspected or transshipped was not ordered, and always arrives;
    the state keeps it apart, because pipelines hold both.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        given = scenario.network.deliveries
        rules = [(0.0, 0.0, 0.0) if d is None else (d.never, d.partial, d.share) for d in given]
        self._never, self._partial, self._share = np.array(rules, np.float64).T[..., None]  # (N, 1)
        self._lots = Lots.from_scenario(scenario)
        self._way_back = network.lane_lead_time + 1  # of consolidated units, periods
        ways = [int(self._way_back.max()), scenario.returns.inspection_days]
        if scenario.transshipment is not None:
            ways.append(scenario.transshipment.lead_time)
        self._longest = max(ways)

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where a location has a `delivery`."""
        return scenario.loses_orders

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns what is on its way without an order: nothing, (B, L', N, K)."""
        copies, *cells = on_hand.shape
        return {"in_return": np.zeros((copies, self._longest - 1, *cells), np.int64)}

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Draws what becomes of each line that is due, uniform, (B, N, K)."""
        shape = (self.network.num_nodes, self.network.num_skus)
        return {"delivery": draws.sample_uniform(state.seed, state.period, draws.DELIVERY, shape)}

    def apply(self, period: Period) -> None:
        """Takes what never arrives off the stock on hand."""
        uniform = period.demand.delivery
        assert uniform is not None, "undelivered orders need the period's draws"
        due = period.on_hand - period.flows["on_hand"] - self._let_return(period)
        some = np.floor(self._share * due + 0.5).astype(np.int64)
        some = some if self._lots is None else self._lots.floor(some)
        arrived = np.where(uniform < self._never + self._partial, some, due)
        arrived = np.where(uniform < self._never, 0, arrived)
        period.flows["undelivered"] = due - arrived
        period.on_hand = period.on_hand - period.flows["undelivered"]

    def _let_return(self, period: Period) -> IntArray:
        """Moves what was not ordered a period nearer; returns what of it arrives, (B, N, K)."""
        net, before = self.network, period.state.in_return
        assert before is not None, "the event is on"
        coming = np.concatenate([before, np.zeros_like(period.on_hand)[:, None]], axis=1)
        for units, nodes, periods in period.under_way:
            coming[:, periods - 1, nodes] += units
        back = period.flows["consolidated"]
        for periods in np.unique(self._way_back):
            on_this = np.where((self._way_back == periods)[:, None], back, 0)
            coming[:, periods - 1, : net.num_dcs] += net.sum_by_dc(on_this)
        period.after["in_return"] = coming[:, 1:]
        return coming[:, 0]
