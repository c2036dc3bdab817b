"""Perishables: the units on the stores' shelves by the days that are left."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network
from envs.omnichannel.world.fulfillment import Fulfilled
from envs.omnichannel.world.kernels import age_shelves


class Shelves:
    """Keeps `State.shelf`: stock of the stores by remaining days, of SKUs with a shelf life.

    A shelf life starts when a unit arrives in a store; suppliers, DCs and trucks keep it fresh. On
    the last day it can still be sold, and what is left in the evening is wasted. Walk-ins take
    units by `store_issue`, online orders and pickups are picked by `picking_issue`; what goes to
    another store, where its days start anew, or vanishes is the oldest.

    Attributes:
        life: days by SKU, (K,); 0 keeps forever.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.network = network
        self.life = np.array([sku.shelf_life or 0 for sku in scenario.skus], dtype=np.int64)
        days = np.arange(self.life.max())
        self._is_fresh = (days[:, None] == self.life - 1)[:, None]  # (A, 1, K)
        issue = scenario.fulfillment
        oldest_first = ("fifo", issue.store_issue, issue.picking_issue, "fifo")
        self._oldest_first = np.array([rule == "fifo" for rule in oldest_first])

    @property
    def are_used(self) -> bool:
        """Whether any SKU perishes."""
        return bool(self.life.any())

    def make(self, on_hand: IntArray) -> IntArray:
        """Returns fresh stock on the shelves, (B, A, S, K), from (B, N, K); A is 0 if unused."""
        stores = on_hand[:, self.network.num_dcs :]
        return self._is_fresh * stores[:, None]

    def age(
        self,
        shelf: IntArray,
        received: IntArray,
        moved_out: IntArray,
        served: Fulfilled,
        shrunk: IntArray,
    ) -> tuple[IntArray, IntArray]:
        """Takes a period's units off the shelves, then lets a day pass.

        Args:
            shelf: in the morning, (B, A, S, K).
            received: before demand, with no days gone, (B, S, K).
            moved_out: to other stores, (B, S, K).
            served: what was sold.
            shrunk: units that vanished, (B, S, K).

        Returns:
            Shelves the morning after, before arrivals, and the units wasted, (B, S, K).
        """
        picked = served.sold_pickup + served.online_from_store
        taken = np.stack([moved_out, served.sold_store, picked, shrunk])
        return age_shelves(self.add(shelf, received), self.life, taken, self._oldest_first)

    def add(self, shelf: IntArray, received: IntArray) -> IntArray:
        """Returns the shelves with units, (B, S, K), that have their whole life before them."""
        return shelf + self._is_fresh * received[:, None]
