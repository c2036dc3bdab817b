"""Event 3, after dispatch: stores of a DC help each other with what the DC could not ship."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Network
from envs.omnichannel.world.allocation.ration import ration
from envs.omnichannel.world.period import Event, Period


class Transship(Event):
    """Moves surplus to stores of the same DC that it left short.

    Each DC's stores give in proportion to their surplus, of which they give no more than they
    hold, and receive in proportion to their need, as much as the smaller sum of the two.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        assert scenario.transshipment is not None, "the event is off"
        self.reach = scenario.transshipment.lead_time

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where the scenario has `transshipment`."""
        return scenario.transshipment is not None

    def apply(self, period: Period) -> None:
        """Takes units out of the stores that give, and sends them."""
        net, decisions = self.network, period.decisions
        if decisions.surplus is None:
            return
        stores = period.on_hand[:, net.num_dcs :]
        need = decisions.shipment - period.flows["shipped"]
        surplus = np.minimum(decisions.surplus, stores)
        moved = np.minimum(net.sum_by_dc(need), net.sum_by_dc(surplus))
        out, into = (ration(units, moved, net) for units in (surplus, need))
        stores -= out
        if self.reach:
            period.under_way.append((into, slice(net.num_dcs, None), self.reach))
        else:
            stores += into
        period.flows["transshipped_out"], period.flows["transshipped_in"] = out, into
