"""The targets of a rule for a period, while its parts work on them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from envs.omnichannel.agents.packing import fill_to_total
from envs.omnichannel.agents.positions import (
    compute_store_rate,
    compute_system_rate,
    count_positions,
    count_surplus,
)
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import (
    LOWEST_RATE,
    BoolArray,
    FloatArray,
    IntArray,
    Network,
    View,
    sum_axis,
)
from marl.policies.base import Setting

_NEVER = -1e12  # units: a gap that no days of demand bring above zero


@dataclass
class Plan:
    """What a rule aims at in a period, in the making."""

    view: View
    position: IntArray  # (B, S, K) inventory position of the stores, units
    echelon: IntArray  # (B, W, K) echelon inventory position of the DCs, units
    online_share: FloatArray  # (B, S, K)
    store_rate: FloatArray  # (B, S, K) units a day that the stores are to serve
    system_rate: FloatArray  # (B, W, K) units a day demanded below the DC
    shipment_gap: FloatArray  # (B, S, K) target - position, units, signed
    supplier_gap: FloatArray  # (B, W, K) the same for the DC's echelon
    up_to_gap: FloatArray  # (B, W, K) the supplier gap before a reorder rule holds orders back
    disposition: FloatArray  # (B, S, K, 3)
    load: FloatArray | None = None  # (B, S) units that leave for each store; None: all gaps
    carried: BoolArray | None = None  # ([B,] S, K) what stores may order; None: everything
    # (B, W, K) standard deviation of what the echelon must last for; None: the rule knows of none
    echelon_deviation: FloatArray | None = None
    room: FloatArray | None = None  # (B, S, K) units that stores can still put away; None: all
    aim: FloatArray | None = None  # (B, S, K) what stores order up to on order days; None: always
    surplus_of: Network | None = None  # in which the stores' surplus is left out; None: it counts

    @classmethod
    def start(cls, view: View, setting: Setting) -> Self:
        """An empty plan: nothing is ordered, shipped or restocked."""
        network = setting.network
        positions = count_positions(view, network)
        position, echelon = positions.store, positions.echelon
        share = np.zeros(position.shape)
        return cls(
            view=view,
            position=position,
            echelon=echelon,
            online_share=share,
            store_rate=compute_store_rate(view, share),
            system_rate=compute_system_rate(view, network),
            shipment_gap=-position.astype(np.float64),
            supplier_gap=-echelon.astype(np.float64),
            up_to_gap=-echelon.astype(np.float64),
            disposition=np.zeros((*position.shape, 3)),
            carried=None if network.carried is None else network.carried[network.num_dcs :],
            surplus_of=network if setting.leaves_out_surplus else None,
        )

    def select(self, copies: IntArray) -> Plan:
        """The plans of some copies."""
        others = {"view", "carried", "surplus_of"}
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in others}
        chosen: dict[str, Any] = {n: None if a is None else a[copies] for n, a in arrays.items()}
        own = self.carried
        if own is not None and own.ndim == self.position.ndim:
            own = own[copies]
        return Plan(
            view=self.view.select(copies),
            carried=own,
            surplus_of=self.surplus_of,
            **chosen,
        )

    def aim_echelons(self, level: FloatArray) -> None:
        """Sets the suppliers' gaps.

        Args:
            level: what the echelons order up to, units, (B, W, K).
        """
        self.up_to_gap = level - self.echelon
        if self.surplus_of is not None:
            self.up_to_gap = self.up_to_gap + count_surplus(self.view, self.surplus_of, level)
        self.supplier_gap = self.up_to_gap

    def keep_rules(self, setting: Setting) -> None:
        """Changes the gaps to what shelves, listings and calendars allow, before packing."""
        if setting.shelf_rules is not None:
            self.shipment_gap, self.supplier_gap = setting.shelf_rules.settle_gaps(
                self.shipment_gap, self.supplier_gap, self.online_share, self.view
            )
            self.room = setting.shelf_rules.measure_room(self.view)
        if setting.listing is not None:
            self.shipment_gap, self.supplier_gap = setting.listing.settle_gaps(
                self.shipment_gap, self.supplier_gap, self.view
            )
            may_order = setting.listing.may_order(self.view)
            self.carried = may_order if self.carried is None else self.carried & may_order
        schedule = setting.network.schedule
        if schedule is not None:
            taken = schedule.take_orders(self.view.day)[:, setting.network.num_dcs :]
            self.carried = taken if self.carried is None else self.carried & taken
            self.aim = self.shipment_gap + self.position
            self.shipment_gap = np.where(taken, self.shipment_gap, np.minimum(self.shipment_gap, 0))

    def pack(self) -> FloatArray:
        """Returns the shipment gaps after the loads are filled, (B, S, K)."""
        if self.load is None:
            return self.shipment_gap
        if self.carried is None:
            return self._fill(self.shipment_gap, self.load)
        # No load is filled up with what a store does not carry.
        gap = np.where(self.carried, self.shipment_gap, _NEVER)
        load = np.where(self.carried.any(axis=-1), self.load, 0.0)
        filled = self._fill(gap, load)
        return np.where(self.carried, filled, np.minimum(self.shipment_gap, 0))

    def _fill(self, gap: FloatArray, load: FloatArray) -> FloatArray:
        """Gaps that come to the load, (B, S, K), none beyond its room."""
        rate, room = self.floored_rate, self.room
        if room is None:
            return fill_to_total(gap, rate, load)
        is_full = np.zeros(gap.shape, np.bool_)
        while True:
            left = np.maximum(load - np.where(is_full, room, 0.0).sum(axis=-1), 0)
            filled = fill_to_total(np.where(is_full, _NEVER, gap), rate, left)
            # The more are full, the more days the others get, so whoever is full stays so.
            over = ~is_full & (filled > room)
            if not over.any():
                return np.where(is_full, room, filled)
            is_full |= over

    @property
    def floored_rate(self) -> FloatArray:
        """The stores' rates, above zero, (B, S, K)."""
        return np.maximum(self.store_rate, LOWEST_RATE)

    def make_targets(self) -> Targets:
        """Returns the finished plan."""
        return Targets(
            supplier_gap=self.supplier_gap,
            shipment_gap=self.pack(),
            online_share=self.online_share,
            disposition=self.disposition,
        )


def compute_need(plan: Plan) -> FloatArray:
    """Units that the gaps ask for, by store, (B, S)."""
    return sum_axis(np.maximum(plan.shipment_gap, 0), 2)
