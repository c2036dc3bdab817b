"""Event 6: returns by mail, which come to the DC and are restocked there after inspection."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network, SeedArray
from envs.omnichannel.world.events.returns import ReturnProcess
from envs.omnichannel.world.period import Event, Fields, Period


class TakeBackMail(Event):
    """A share of the online returns goes by mail; what can be sold again is the DC's."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._process = ReturnProcess(scenario)
        # What a DC inspects travels in its pipeline, as if from a supplier next door.
        self.reach = scenario.returns.inspection_days

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where some of the returns go by mail."""
        return scenario.returns.by_mail > 0

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns `mail_due`: nothing yet."""
        net, delays = self.network, len(self._process.delays)
        shape = (len(seed), delays, net.num_stores, net.num_skus)
        return {"mail_due": np.zeros(shape, np.int64)}

    def apply(self, period: Period) -> None:
        """Collects what comes by mail, scraps a part and hands the rest to the inspection."""
        state, demand, flows = period.state, period.demand, period.flows
        assert state.mail_due is not None, "the event is on"
        came, period.after["mail_due"] = self._process.collect_mail(
            state.mail_due, period.handed_over, demand
        )
        unfit = self._process.scrap(came, 1 - demand.scrap_rounding)
        flows["mailed"] = came - unfit
        flows["returned"] = flows["returned"] + came
        flows["scrapped"] = flows["scrapped"] + unfit
        period.to_inspect_at_dcs = self.network.sum_by_dc(flows["mailed"])
