"""Event 5, after all demand is served: walk-ins who found a SKU sold out take another one."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.substitution import tabulate_substitution
from envs.omnichannel.types import STORE, FloatArray, IntArray, Network, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.demand.quantiles import thin
from envs.omnichannel.world.period import Event, Period


class Substitute(Event):
    """Sells what is left of a substitute to walk-ins who would be lost, rule by rule.

    A unit so sold is a sale of the substitute and no lost sale. What the substitute is short of
    stays lost for the SKU that was asked for: nobody looks for a substitute of a substitute.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        assert scenario.substitution is not None, "the event is off"
        names = scenario.store_names, scenario.sku_names
        self.rules = tabulate_substitution(scenario.substitution, *names)

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where the scenario has `substitution`."""
        return scenario.substitution is not None

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Draws how many accept, (B, S, R)."""
        shape = (self.network.num_stores, len(self.rules))
        stream = draws.SUBSTITUTION
        return {"substitution": draws.sample_uniform(state.seed, state.period, stream, shape)}

    def apply(self, period: Period) -> None:
        """Offers the stock that the period's own demand left."""
        assert period.demand.substitution is not None, "substitution needs the period's draws"
        flows, stock = period.flows, period.on_hand[:, self.network.num_dcs :]
        lost = flows["lost"].copy()
        taken_from, sold = np.zeros_like(stock), np.zeros_like(stock)
        for r, rule in enumerate(self.rules):
            unmet = lost[..., rule.of, STORE] * rule.at
            accepted = thin(unmet, rule.share, period.demand.substitution[..., r])
            units = np.minimum(accepted, stock[..., rule.by])
            stock[..., rule.by] -= units
            lost[..., rule.of, STORE] -= units
            taken_from[..., rule.of] += units
            sold[..., rule.by] += units
        period.handed_over[..., STORE] += sold
        flows |= {"lost": lost, "substituted_out": taken_from, "substituted_in": sold}
