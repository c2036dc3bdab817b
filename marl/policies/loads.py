"""Parts of a rule that fill each store's load: fair shares, and full trucks."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.agents.packing import limit_total
from envs.omnichannel.types import ONLINE
from marl.policies.base import Parameter, Setting
from marl.policies.parts import Part
from marl.policies.plan import Plan, compute_need


class FairShare(Part):
    """A short DC leaves all its stores the same cover, and keeps a reserve for online orders."""

    packs: ClassVar[bool] = True

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`dc_reserve`: days of the DC's online demand that shipments leave behind."""
        return (Parameter("dc_reserve", low=0.0, high=4.0, initial=0.5),)

    def apply(self, plan: Plan) -> None:
        """Lowers the gaps of each short DC and SKU to equal cover."""
        net, view = self.network, plan.view
        from_dc = (1 - plan.online_share) * view.forecast[..., ONLINE]
        reserve = self.get("dc_reserve", 2) * net.sum_by_dc(from_dc)
        free = np.maximum(view.on_hand[:, : net.num_dcs] - reserve, 0)
        gap, rate = plan.shipment_gap.swapaxes(1, 2), plan.floored_rate.swapaxes(1, 2)
        limited = gap.copy()
        for w, stores in enumerate(net.members):
            limited[..., stores] = limit_total(gap[..., stores], rate[..., stores], free[:, w])
        plan.shipment_gap = limited.swapaxes(1, 2)


class MinimumLoad(Part):
    """A shipment waits until it fills a share of a truck, unless a SKU runs low."""

    packs: ClassVar[bool] = True

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`minimum_load`: share of a truck; `urgent_cover`: share of the target that is low."""
        if setting.truck_capacity is None:
            return ()
        return (
            Parameter("minimum_load", low=0.0, high=1.5, initial=0.5),
            Parameter("urgent_cover", low=0.0, high=1.0, initial=0.3),
        )

    def apply(self, plan: Plan) -> None:
        """Sets the loads: all gaps, or nothing."""
        if self.setting.truck_capacity is None:
            return
        need = compute_need(plan)
        enough = need >= self.get("minimum_load", 1) * self.setting.truck_capacity
        plan.load = np.where(enough | self.is_urgent(plan), need, 0.0)

    def is_urgent(self, plan: Plan) -> NDArray[np.bool_]:
        """Whether some SKU's position is a small part of its target, (B, S)."""
        target = plan.shipment_gap + plan.position
        low = plan.position < self.get("urgent_cover", 2) * target
        return np.logical_or.reduce(low, axis=-1)


class FullTrucks(MinimumLoad):
    """Loads are rounded to full trucks with equal extra cover."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """Adds `round_up`: the share of a started truck from which on it is filled up."""
        if setting.truck_capacity is None:
            return ()
        return (
            *super().make_parameters(setting),
            Parameter("round_up", low=0.0, high=1.0, initial=0.5),
        )

    def apply(self, plan: Plan) -> None:
        """Sets the loads: full trucks, or what is urgent."""
        capacity = self.setting.truck_capacity
        if capacity is None:
            return
        need = compute_need(plan)
        trucks = need / capacity
        full = np.floor(trucks)
        rounded = full + (trucks - full >= self.get("round_up", 1))
        enough = trucks >= self.get("minimum_load", 1)
        urgent = self.is_urgent(plan) & (rounded == 0)
        plan.load = np.where(enough, rounded * capacity, 0.0)
        plan.load = np.where(urgent & (plan.load == 0), np.minimum(need, capacity), plan.load)
