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
        whole_way, last_call = self._find_ways(view)
        shipment = self._start(shipment_gap, self._is_due(view, last_call[0]) * missing)
        may_ship = self.may_order(view)
        # The DC orders what is launched beside what it orders for all others.
        coming = self._is_due(view, last_call[1]) * missing
        supplier = supplier_gap + self.network.sum_by_dc(coming)
        can_serve = self._can_serve(view, whole_way)
        return (
            np.where(may_ship, shipment, np.minimum(shipment, 0)),
            np.where(can_serve, supplier, np.minimum(supplier, 0)),
        )

    def may_supply(self, view: View) -> BoolArray:
        """Returns whether some store can still sell what its DC orders now, (B, W, K)."""
        return self._can_serve(view, self._find_ways(view)[0])

    def _can_serve(self, view: View, whole_way: IntArray) -> BoolArray:
        arrives = self._arrives_on_sale(view, whole_way).astype(np.int64)
        found: BoolArray = self.network.sum_by_dc(arrives) > 0
        return found

    def may_order(self, view: View) -> BoolArray:
        """Returns whether what a store orders now arrives while it is on sale, (B, S, K)."""
        schedule, first = self.network.schedule, self.network.num_dcs
        if schedule is None:
            return self._arrives_on_sale(view, self.network.lane_lead_time[:, None])
        return self._arrives_on_sale(view, schedule.count_lead_time(view.day)[:, first:])

    def _find_ways(self, view: View) -> tuple[IntArray, tuple[IntArray, IntArray]]:
        """Days until today's supplier orders are in the stores, and those that a launch allows.

        What begins before the order after today's can arrive, from the DC or from the supplier, is
        ordered today.
        """
        net = self.network
        if net.schedule is None:
            lanes = net.lane_lead_time
            whole = (lanes + net.lead_time[net.parent])[:, None]
            return whole, (lanes[:, None], whole)
        at_dc = net.schedule.count_lead_time(view.day)[:, net.parent]
        whole = at_dc + net.schedule.count_onward(view.day, at_dc)
        following = net.schedule.count_protection(view.day)
        later = following[:, net.parent]
        later = later + net.schedule.count_onward(view.day, later)
        return whole, (following[:, net.num_dcs :] - 1, later - 1)

    def _arrives_on_sale(self, view: View, days: IntArray) -> BoolArray:
        """Whether an item is on sale so many days ahead, ([B,] S, K or 1): (B, S, K)."""
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
