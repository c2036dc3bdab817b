"""Safety stocks: targets of the mean and the spread of demand until the next order arrives."""

from __future__ import annotations

from abc import abstractmethod

from envs.omnichannel.agents.protection import Moments, Protection, compute_served
from envs.omnichannel.types import FloatArray, View, sum_channels
from marl.policies.base import Parameter, Setting
from marl.policies.classes import classify_nodes
from marl.policies.parts import Part, Values
from marl.policies.plan import Plan


class ProtectedStock(Part):
    """Orders up to what shall last until the next order arrives.

    Source: Silver, Pyke & Thomas, Inventory and production management in supply chains, 4th ed.,
    section 6.7 (periodic review, order-up-to level).
    """

    def __init__(self, setting: Setting, values: Values) -> None:
        super().__init__(setting, values)
        self.protection = Protection(self.network)

    @abstractmethod
    def aim(self, plan: Plan, own: Moments, below: Moments) -> tuple[FloatArray, FloatArray]:
        """Returns what the stores, (B, S, K), and the DCs' echelons, (B, W, K), order up to.

        Args:
            plan: in the making.
            own: of the demand that each store is to serve.
            below: of the demand below each DC.
        """

    def apply(self, plan: Plan) -> None:
        """Sets both gaps."""
        own, below = self.measure(plan)
        plan.echelon_deviation = below.deviation
        store_level, dc_level = self.aim(plan, own, below)
        plan.shipment_gap = store_level - plan.position
        plan.aim_echelons(dc_level)

    def measure(self, plan: Plan) -> tuple[Moments, Moments]:
        """Returns the moments that `aim` is told."""
        view, protection = plan.view, self.protection.at(plan.view.day)
        by_channel, variance = self.read_demand(view)
        level = sum_channels(by_channel)
        served = compute_served(view, plan.store_rate)
        return (
            protection.measure_stores(view.ahead, level, variance, served),
            protection.measure_echelons(view.ahead, level, variance),
        )

    def read_demand(self, view: View) -> tuple[FloatArray, FloatArray]:
        """Units a day by channel, (B, S, K, C), and the variance of their sum, (B, S, K)."""
        return view.smoothed, view.variance


class SafetyStock(ProtectedStock):
    """Orders up to the mean plus z standard deviations of the demand until the next order arrives.

    z is one number a class of lead times.
    """

    def __init__(self, setting: Setting, values: Values) -> None:
        super().__init__(setting, values)
        store_class, dc_class = classify_nodes(setting)
        self.store_z = self.get_by_class("store_z", store_class)[..., None]
        self.dc_z = self.get_by_class("dc_z", dc_class)[..., None]

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`store_z_<i>` and `dc_z_<i>` by class of lead time, shortest first."""
        store_class, dc_class = classify_nodes(setting)
        # What is ordered in packs goes up to their size beyond what is needed.
        highest = 12.0 if setting.has_packs else 6.0
        return (
            *(Parameter(f"store_z_{c}", -1.0, 4.0, 1.5) for c in range(store_class.max() + 1)),
            *(Parameter(f"dc_z_{c}", -2.0, highest, 1.5) for c in range(dc_class.max() + 1)),
        )

    def aim(self, plan: Plan, own: Moments, below: Moments) -> tuple[FloatArray, FloatArray]:
        """Returns mean plus z standard deviations."""
        del plan
        return (
            own.mean + self.store_z * own.deviation,
            below.mean + self.dc_z * below.deviation,
        )


class PlainSafetyStock(SafetyStock):
    """The same of the mean and variance of all days before the episode, as a spreadsheet has it."""

    def read_demand(self, view: View) -> tuple[FloatArray, FloatArray]:
        """What was known when the episode began; nothing is learnt since."""
        return self.setting.forecast.read_plain(view.origin)
