"""Event 7: perishables, which are on the stores' shelves by the days that they have left.

A shelf life starts when a unit arrives in a store; suppliers, DCs and trucks keep it fresh. On the
last day it can still be sold, and what is left at its end is wasted. Walk-ins take units by
`store_issue`, online orders and pickups are picked by `picking_issue`; what goes to another store,
where its days start anew, or vanishes is the oldest.
"""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network, SeedArray
from envs.omnichannel.world.period import Event, Fields, Period


class _ShelfEvent(Event):
    """Both events of SKUs with a shelf life.

    Attributes:
        life: days by SKU, (K,); 0 keeps forever.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self.life = np.array([sku.shelf_life or 0 for sku in scenario.skus], dtype=np.int64)
        days = np.arange(self.life.max())
        self._is_fresh = (days[:, None] == self.life - 1)[:, None]  # (A, 1, K)

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where a SKU has a shelf life."""
        return scenario.has_perishables

    def make_fresh(self, units: IntArray) -> IntArray:
        """Returns units in stores, (B, S, K), by remaining days, (B, A, S, K): all are fresh."""
        return self._is_fresh * units[:, None]


class Spoil(_ShelfEvent):
    """Takes a period's units off the shelves, then lets a day pass."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        issue = scenario.fulfillment
        oldest_first = ("fifo", issue.store_issue, issue.picking_issue, "fifo")
        self._oldest_first = np.array([rule == "fifo" for rule in oldest_first])

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns `shelf`: all is fresh."""
        return {"shelf": self.make_fresh(on_hand[:, self.network.num_dcs :])}

    def apply(self, period: Period) -> None:
        """Wastes what was not sold on its last day."""
        flows, first = period.flows, self.network.num_dcs
        moved_out = flows["transshipped_out"]
        received = (period.offered - period.state.on_hand)[:, first:] + moved_out
        picked = flows["sold_pickup"] + flows["online_from_store"]
        walk_ins = flows["sold_store"] + flows.get("substituted_in", 0)
        taken = np.stack([moved_out, walk_ins, picked, flows["shrunk"]])
        assert period.state.shelf is not None, "the event is on"
        shelf = period.state.shelf + self.make_fresh(received)
        period.after["shelf"], wasted = _age_shelves(shelf, self.life, taken, self._oldest_first)
        period.on_hand[:, first:] -= wasted
        flows["wasted"] = wasted


class Shelve(_ShelfEvent):
    """Puts what arrived in the stores on the shelves, its whole life before it."""

    def apply(self, period: Period) -> None:
        """Adds the arrivals."""
        arrived = (period.on_hand - period.flows["on_hand"])[:, self.network.num_dcs :]
        period.after["shelf"] = period.after["shelf"] + self.make_fresh(arrived)


@compiled
def _age_shelves(
    shelf: IntArray, life: IntArray, taken: IntArray, oldest_first: IntArray
) -> tuple[IntArray, IntArray]:
    """Takes units off the shelves, one purpose after the other; what is left ages by a day.

    Args:
        shelf: by remaining days, slot 0 has its last day, (B, A, S, K).
        life: days by SKU, (K,); 0 is not tracked.
        taken: by purpose, (T, B, S, K), in all at most what is there.
        oldest_first: whether the purpose takes the oldest units, else the freshest, (T,).

    Returns:
        Shelves afterwards, (B, A, S, K), and units that reached the end, (B, S, K).
    """
    copies, _, stores, skus = shelf.shape
    after = np.zeros_like(shelf)
    wasted = np.zeros((copies, stores, skus), np.int64)
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                days = life[k]
                if not days:
                    continue
                left = shelf[b, :, s, k].copy()
                for t in range(len(taken)):
                    units = taken[t, b, s, k]
                    for i in range(days):
                        slot = i if oldest_first[t] else days - 1 - i
                        part = min(left[slot], units)
                        left[slot] -= part
                        units -= part
                wasted[b, s, k] = left[0]
                after[b, : days - 1, s, k] = left[1:days]
    return after, wasted
