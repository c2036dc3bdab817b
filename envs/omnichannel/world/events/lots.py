"""Event 3: what is confirmed and shipped in part stays whole packs."""

from __future__ import annotations

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Network
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.period import Event, Period


class KeepLots(Event):
    """Suppliers confirm whole packs, and DCs that are short share theirs among the stores.

    A supplier that confirms a part of an order may fall below its own minimum; a DC sends no
    shipment below the store's.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        lots = Lots.from_scenario(scenario)
        assert lots is not None
        self._dcs = lots.take(slice(network.num_dcs))
        self._stores = lots.take(slice(network.num_dcs, network.num_nodes))

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where orders have rules."""
        return scenario.order_rules is not None


class ConfirmLots(KeepLots):
    """After supply cuts and capacities, which leave units."""

    def apply(self, period: Period) -> None:
        """Leaves broken packs out of the supplier orders."""
        period.flows["supplied"] = self._dcs.floor(period.flows["supplied"])


class ShipLots(KeepLots):
    """After rationing and capacities, which leave units."""

    def apply(self, period: Period) -> None:
        """Ships whole packs."""
        flows, parent = period.flows, self.network.parent
        flows["shipped"] = self._stores.ration(flows["shipped"], flows["requested"], parent)
