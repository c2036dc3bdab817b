"""Event 3: who gets an order, and what was paid this week, of which suppliers have budgets."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network, SeedArray
from envs.omnichannel.world.allocation.supplier_limits import SupplierLimits
from envs.omnichannel.world.period import Event, Fields, Period


class NameSuppliers(Event):
    """Says who got each order, where that makes a difference in its price."""

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where a supplier has prices of its own."""
        return any(supplier.unit_cost for supplier in scenario.suppliers or ())

    def apply(self, period: Period) -> None:
        """Looks at today's calendar."""
        schedule = self.network.schedule
        assert schedule is not None, "there are suppliers"
        period.flows["supplier"] = schedule.name_suppliers(period.state.day)


class Spend(Event):
    """Adds up the money of what suppliers confirmed, from Monday on."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        limits = SupplierLimits.from_scenario(scenario, network)
        assert limits is not None, "no supplier has a budget"
        self._limits = limits

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where a supplier has a budget."""
        return any(supplier.weekly_budget is not None for supplier in scenario.suppliers or ())

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Nothing was spent."""
        del on_hand
        return {"spent": np.zeros((len(seed), len(self._limits.budget)))}

    def apply(self, period: Period) -> None:
        """Adds today's orders."""
        state, schedule = period.state, self.network.schedule
        assert schedule is not None, "there are suppliers"
        assert state.spent is not None, "the event is on"
        today = self._limits.add_up(period.flows["supplied"], schedule.name_suppliers(state.day))
        period.after["spent"] = self._limits.carry_over(state.spent, state.day) + today
