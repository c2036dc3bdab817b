"""Items that come and go: what may be ordered when, and the quantity that a store begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import BoolArray, FloatArray, IntArray, Network, View
from envs.omnichannel.world.allocation.lots import Lots


class ListingRules:
    """What rules of thumb, agents and recommendations alike keep to where items come and go.

    An order is one for what is on sale when it arrives, by the lead times' rounded means.
    """

    def __init__(self, network: Network, lots: Lots | None) -> None:
        """Takes the network, whose assortment has dates, and the lots of all nodes."""
        assert network.dates is not None, "the assortment has no dates"
        self.network, self.launch = network, network.dates.launch
        self.lots = None if lots is None else lots.take(slice(network.num_dcs, network.num_nodes))
        lanes = network.lane_lead_time
        self._way = lanes[:, None]
        self._whole_way = (lanes + network.lead_time[network.parent])[:, None]  # from the supplier

    @classmethod
    def from_scenario(cls, scenario: Scenario, network: Network) -> Self | None:
        """Returns the rules; None where the assortment has no dates."""
        return None if network.dates is None else cls(network, Lots.from_scenario(scenario))

    def settle_targets(self, targets: Targets, view: View) -> Targets:
        """Returns targets with what is launched, and without what is not to be ordered now.

        Args:
            targets: coordinated.
            view: that they were made for.
        """
        gaps = self.settle_gaps(targets.shipment_gap, targets.supplier_gap, view)
        return replace(targets, shipment_gap=gaps[0], supplier_gap=gaps[1])

    def settle_gaps(
        self, shipment_gap: FloatArray, supplier_gap: FloatArray, view: View
    ) -> tuple[FloatArray, FloatArray]:
        """Returns the same of gaps of stores, (B, S, K), and DCs, (B, W, K), signed units."""
        position = count_positions(view, self.network).store
        missing = np.maximum(self.launch - position, 0)
        shipment = self._start(shipment_gap, self._is_due(view, self._way) * missing)
        may_ship = self.may_order(view)
        # The DC orders what is launched beside what it orders for all others.
        coming = self._is_due(view, self._whole_way) * missing
        supplier = supplier_gap + self.network.sum_by_dc(coming)
        may_order = self._arrives_on_sale(view, self._whole_way).astype(np.int64)
        can_serve = self.network.sum_by_dc(may_order) > 0
        return (
            np.where(may_ship, shipment, np.minimum(shipment, 0)),
            np.where(can_serve, supplier, np.minimum(supplier, 0)),
        )

    def may_order(self, view: View) -> BoolArray:
        """Returns whether what a store orders now arrives while it is on sale, (B, S, K)."""
        return self._arrives_on_sale(view, self._way)

    def _arrives_on_sale(self, view: View, days: IntArray) -> BoolArray:
        """Whether an item is on sale so many days ahead, (S, 1), in a store, (B, S, K)."""
        assert view.starts_in is not None, "there are dates"
        assert view.ends_in is not None, "there are dates"
        found: BoolArray = (view.starts_in <= days) & (days <= view.ends_in)
        return found

    def _is_due(self, view: View, days: IntArray) -> BoolArray:
        """Whether the first day is no more than so many days ahead, and has not passed."""
        assert view.starts_in is not None, "there are dates"
        found: BoolArray = (view.starts_in >= 0) & (view.starts_in <= days)
        return found

    def _start(self, gap: FloatArray, missing: IntArray) -> FloatArray:
        """Gaps of at least what a launch misses, in lots that are no smaller."""
        if self.lots is not None:
            whole = -(-missing // self.lots.multiple) * self.lots.multiple
            missing = np.where(missing > 0, np.maximum(whole, self.lots.minimum), 0)
        return np.where(missing > 0, np.maximum(gap, missing), gap)
