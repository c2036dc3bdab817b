"""Event 6: inspections, which restocked and mailed units pass before they are on hand again."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network, SeedArray
from envs.omnichannel.world.allocation.largest_remainder import limit_by_node
from envs.omnichannel.world.period import Event, Fields, Period


class QueueInspections(Event):
    """A location begins a limited number of inspections a period; the rest queues.

    SKUs share the capacity in proportion to what waits.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._capacity = scenario.returns.inspection_capacity or 0

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where the capacity is limited."""
        return scenario.returns.inspection_capacity is not None

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns `inspection_queue`: nobody waits yet."""
        return {"inspection_queue": np.zeros_like(on_hand)}

    def apply(self, period: Period) -> None:
        """Lets the capacity begin, and queues what is left."""
        first, at_dcs = self.network.num_dcs, period.to_inspect_at_dcs
        queue = period.state.inspection_queue
        assert queue is not None, "the event is on"
        waiting = queue.copy()
        waiting[:, first:] += period.to_inspect
        if at_dcs is not None:
            waiting[:, :first] += at_dcs
        begun = limit_by_node(waiting, self._capacity)
        period.to_inspect = begun[:, first:]
        if at_dcs is not None:
            period.to_inspect_at_dcs = begun[:, :first]
        period.flows["queued"] = period.after["inspection_queue"] = waiting - begun


class Inspect(Event):
    """An inspection takes `inspection_days`; without any the units are back before the day ends."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._days = scenario.returns.inspection_days

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns `in_inspection`: nothing yet."""
        net = self.network
        shape = (len(seed), self._days, net.num_stores, net.num_skus)
        return {"in_inspection": np.zeros(shape, np.int64)}

    def apply(self, period: Period) -> None:
        """Begins inspections; those that end now are on hand in the next period."""
        first, at_dcs = self.network.num_dcs, period.to_inspect_at_dcs
        dcs, stores = slice(None, first), slice(first, None)
        if not self._days:
            period.on_hand[:, stores] += period.to_inspect
            if at_dcs is not None:
                period.on_hand[:, dcs] += at_dcs
            return
        done, period.after["in_inspection"] = _shift(period.state.in_inspection, period.to_inspect)
        period.under_way.append((done, stores, 1))
        if at_dcs is not None:
            period.under_way.append((at_dcs, dcs, self._days))


def _shift(slots: IntArray, entering: IntArray) -> tuple[IntArray, IntArray]:
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
