"""Shelf rules in what is decided: no target below what a store shows, no order that has no room."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.agents.protection import Protection, compute_online_served, pick_days
from envs.omnichannel.flows import Decisions, Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, View, sum_axis, sum_channels
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.allocation.shelf_space import ShelfSpace


class ShelfRules:
    """What rules of thumb, agents and recommendations alike keep to where shelves have rules."""

    def __init__(self, space: ShelfSpace, network: Network, lots: Lots | None) -> None:
        """Takes the stores' shelves and rooms, and the lots of all nodes."""
        self.space, self.network, first = space, network, network.num_dcs
        self.lots = None if lots is None else lots.take(slice(first, network.num_nodes))
        self._protection = Protection(network)
        shown = space.presentation
        self._shown = shown if network.carried is None else shown * network.carried[first:]

    @classmethod
    def from_scenario(cls, scenario: Scenario, network: Network) -> Self | None:
        """Returns the rules; None where the scenario has none."""
        space = ShelfSpace.from_scenario(scenario)
        return None if space is None else cls(space, network, Lots.from_scenario(scenario))

    def raise_targets(self, targets: Targets, view: View) -> Targets:
        """Returns targets that leave the stores what they show when the order arrives.

        A store's target is at least its demand over the lead time plus the presentation; that of a
        DC's echelon at least the demand until an order reaches the stores plus all they show.

        Args:
            targets: coordinated.
            view: that they were made for.
        """
        if not self._shown.any():
            return targets
        gaps = targets.shipment_gap, targets.supplier_gap
        shipment, supplier = self._raise(*gaps, targets.online_share, view)
        return replace(targets, shipment_gap=shipment, supplier_gap=supplier)

    def settle_gaps(
        self,
        shipment_gap: FloatArray,
        supplier_gap: FloatArray,
        online_share: FloatArray,
        view: View,
    ) -> tuple[FloatArray, FloatArray]:
        """Returns gaps of stores and DCs before loads are packed: raised so, and with room.

        Args:
            shipment_gap: of the stores, units, signed, (B, S, K).
            supplier_gap: of the DCs, (B, W, K).
            online_share: of online orders that the stores serve, (B, S, K).
            view: what is known.
        """
        if self._shown.any():
            shipment_gap, supplier_gap = self._raise(shipment_gap, supplier_gap, online_share, view)
        room = self.space.maximum + self.space.capacity[:, None] - count_stock(view, self.network)
        return np.minimum(shipment_gap, room), supplier_gap

    def measure_room(self, view: View) -> FloatArray:
        """Returns the units of each SKU that stores could put away, were all others sold out."""
        most = self.space.maximum + self.space.capacity[:, None]
        return np.maximum(most - count_stock(view, self.network), 0).astype(np.float64)

    def _raise(
        self,
        shipment_gap: FloatArray,
        supplier_gap: FloatArray,
        online_share: FloatArray,
        view: View,
    ) -> tuple[FloatArray, FloatArray]:
        store, echelon = self._measure_least(view, online_share)
        shown = self.network.sum_by_dc(self._shown[None])
        return (
            np.where(self._shown > 0, np.maximum(shipment_gap, store), shipment_gap),
            np.where(shown > 0, np.maximum(supplier_gap, echelon), supplier_gap),
        )

    def _measure_least(self, view: View, online_share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The lowest gaps of stores and echelons, units, signed."""
        net, level = self.network, sum_channels(view.smoothed)
        position = count_positions(view, net)
        served = compute_online_served(view, online_share) * level
        protection = self._protection.at(view.day)
        store = served * _sum_days(view.ahead, protection.store_days - 1) + self._shown
        until = _sum_days(view.ahead, protection.echelon_days - 1)
        below = net.sum_by_dc(level * until + self._shown)
        return store - position.store, below - position.echelon

    def limit(self, decisions: Decisions, view: View) -> Decisions:
        """Returns decisions whose orders fit into the stores, as far as their stock is known."""
        stock = count_stock(view, self.network)
        return replace(decisions, shipment=self.space.limit(decisions.shipment, stock, self.lots))


def _sum_days(ahead: FloatArray, days: IntArray) -> FloatArray:
    """Factors of a day's demand summed over each store's days ahead, 0 to H, (B, S, K)."""
    own = days if days.ndim > 1 else days[:, None]
    return np.where(own > 0, pick_days(ahead, np.maximum(days, 1)), 0.0)


def count_stock(view: View, network: Network) -> IntArray:
    """Returns the units in stores, on their way there or in inspection, (B, S, K).

    Those that somebody waits for count as well.
    """
    first = network.num_dcs
    stock = view.on_hand[:, first:] + sum_axis(view.in_transit, 1)[:, first:]
    stock = stock + sum_axis(view.in_inspection, 1)
    queue = view.inspection_queue
    return stock if queue is None else stock + queue[:, first:]
