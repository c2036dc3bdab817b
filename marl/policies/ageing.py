"""Perishables: what will be wasted before an order arrives counts as if it were not there."""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.agents.protection import compute_served
from envs.omnichannel.types import STORE, BoolArray, FloatArray, IntArray, sum_channels
from marl.policies.base import Parameter, Setting
from marl.policies.parts import Values
from marl.policies.plan import Plan
from marl.policies.safety_stock import SafetyStock


class FreshSafetyStock(SafetyStock):
    """`SafetyStock` less the expected waste, with a z of their own for perishables.

    Source: Broekmeulen & van Donselaar 2009, A heuristic to manage perishable inventory with batch
    ordering, positive lead-times, and time-varying demand, Computers & Operations Research 36(11)
    (EWA, eq. 4 to 6): each coming day takes what is expected from the shelf, what is left of the
    oldest units is outdated, and what is outdated before the order arrives is ordered again.
    """

    def __init__(self, setting: Setting, values: Values) -> None:
        super().__init__(setting, values)
        is_fresh = setting.shelf_life > 0
        self.store_z = np.where(is_fresh, self.get("fresh_store_z", 2), self.store_z)
        self.dc_z = np.where(is_fresh, self.get("fresh_dc_z", 2), self.dc_z)

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """Adds `fresh_store_z` and `fresh_dc_z`, in place of the others for perishables."""
        highest = 12.0 if setting.has_packs else 6.0
        return (
            *super().make_parameters(setting),
            Parameter("fresh_store_z", low=-2.0, high=4.0, initial=1.0),
            Parameter("fresh_dc_z", low=-4.0, high=highest, initial=1.0),
        )

    def apply(self, plan: Plan) -> None:
        """Sets both gaps, and adds what will be wasted until the order can be sold."""
        super().apply(plan)
        if plan.view.shelf is None:
            return
        protection = self.protection.at(plan.view.day)
        own = self.foresee(plan, protection.store_days - 1)
        below = self.foresee(plan, protection.echelon_days - 1)
        plan.shipment_gap = plan.shipment_gap + own
        plan.up_to_gap = plan.up_to_gap + self.network.sum_by_dc(below)
        plan.supplier_gap = plan.up_to_gap

    def foresee(self, plan: Plan, nights: IntArray) -> FloatArray:
        """Returns the expected waste of so many nights by store, units, (B, S, K)."""
        view, setting = plan.view, self.setting
        assert view.shelf is not None
        served = compute_served(view, plan.store_rate)
        walk_in = view.smoothed[..., STORE]
        picked = np.maximum(served * sum_channels(view.smoothed) - walk_in, 0)
        by_day = np.diff(view.ahead, axis=1, prepend=0.0)
        return expect_waste(
            view.shelf.astype(np.float64),
            view.in_transit[:, :, self.network.num_dcs :].astype(np.float64),
            np.stack([walk_in, picked]),
            np.broadcast_to(by_day, (*by_day.shape[:2], *walk_in.shape[1:])),
            setting.shelf_life,
            setting.oldest_first,
            nights if nights.ndim > 1 else nights[None, :, None],
        )


@compiled
def expect_waste(
    shelf: FloatArray,
    arriving: FloatArray,
    demand: FloatArray,
    factor: FloatArray,
    life: IntArray,
    oldest_first: BoolArray,
    nights: IntArray,
) -> FloatArray:
    """Returns the units that the coming nights are expected to waste, (B, S, K).

    Args:
        shelf: units by remaining days, slot 0 has its last one, (B, A, S, K).
        arriving: on their way, slot 0 arrives tomorrow, (B, L, S, K).
        demand: expected of a day by purpose, (T, B, S, K).
        factor: of the demand on each day ahead, (B, H, S, K).
        life: days in a store by SKU, (K,); 0 keeps forever.
        oldest_first: whether the purpose takes the oldest units, else the freshest, (T,).
        nights: ahead that count, (B or 1, S, K or 1).
    """
    copies, _, stores, skus = shelf.shape
    wasted = np.zeros((copies, stores, skus))
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                days = life[k]
                if not days:
                    continue
                left = shelf[b, :days, s, k].copy()
                for night in range(nights[b % len(nights), s, k % nights.shape[2]]):
                    ahead = min(night, factor.shape[1] - 1)
                    for t in range(len(demand)):
                        units = demand[t, b, s, k] * factor[b, ahead, s, k]
                        for i in range(days):
                            slot = i if oldest_first[t] else days - 1 - i
                            part = min(left[slot], units)
                            left[slot] -= part
                            units -= part
                    wasted[b, s, k] += left[0]
                    for slot in range(days - 1):
                        left[slot] = left[slot + 1]
                    left[days - 1] = arriving[b, night, s, k] if night < arriving.shape[1] else 0.0
    return wasted
