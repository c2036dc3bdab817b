"""Event 3: what a DC gives to its stores when it cannot serve all requests."""

from __future__ import annotations

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation.ration import get_rule, ration
from envs.omnichannel.world.period import Event, Period


class Ration(Event):
    """DCs ship what is requested; one that is short shares its stock by the scenario's rule."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._rule = scenario.fulfillment.rationing
        self._by_cover = get_rule(self._rule).by_cover
        self._at_once = (network.lead_time[: network.num_dcs] == 0)[:, None]

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Draws the order of the stores, (B, S), where the rule is random."""
        if not get_rule(self._rule).is_random:
            return {}
        stores = (self.network.num_stores,)
        return {
            "rationing": draws.sample_uniform(state.seed, state.period, draws.RATIONING, stores)
        }

    def apply(self, period: Period) -> None:
        """Hands out stock on hand, and orders whose lead time is zero."""
        dcs, schedule = self.network.num_dcs, self.network.schedule
        on_hand, at_once = period.on_hand[:, :dcs], self._at_once
        if schedule is not None:
            at_once = schedule.count_lead_time(period.state.day)[:, :dcs] == 0
        shares_by = period.decisions.covers if self._by_cover else period.demand.rationing
        period.flows["shipped"] = ration(
            period.decisions.shipment,
            on_hand + at_once * period.flows["supplied"],
            self.network,
            self._rule,
            shares_by,
        )
