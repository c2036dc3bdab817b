"""Safety stocks: targets of the mean and the spread of demand until the next order arrives."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray, View, sum_channels
from marl.policies.base import Parameter, Setting
from marl.policies.classes import classify_nodes
from marl.policies.parts import Part, Values
from marl.policies.plan import Plan

_REVIEW = 1  # days between two orders of a rule


class SafetyStock(Part):
    """Orders up to the mean plus z standard deviations of the demand until the next order arrives.

    The stock must last for the lead time and the day of the order; its demand is that of these very
    weekdays, its spread that of the store and SKU. z is one number a class of lead times.

    Source: Silver, Pyke & Thomas, Inventory and production management in supply chains, 4th ed.,
    section 6.7 (periodic review, order-up-to level).
    """

    def __init__(self, setting: Setting, values: Values) -> None:
        super().__init__(setting, values)
        store_class, dc_class = classify_nodes(setting)
        self.store_z = self.get_by_class("store_z", store_class)[..., None]
        self.dc_z = self.get_by_class("dc_z", dc_class)[..., None]
        network = self.network
        lanes = network.lane_lead_time
        self.store_days = lanes + _REVIEW
        ways = np.array([round(float(lanes[own].mean())) for own in network.members])
        dc_days = network.lead_time[: network.num_dcs] + ways + _REVIEW
        self.echelon_days = dc_days[network.parent]  # (S,) that the DC's echelon must last for

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`store_z_<i>` and `dc_z_<i>` by class of lead time, shortest first."""
        store_class, dc_class = classify_nodes(setting)
        return (
            *(Parameter(f"store_z_{c}", -1.0, 4.0, 1.5) for c in range(store_class.max() + 1)),
            *(Parameter(f"dc_z_{c}", -2.0, 6.0, 1.5) for c in range(dc_class.max() + 1)),
        )

    def apply(self, plan: Plan) -> None:
        """Sets both gaps."""
        view, network = plan.view, self.network
        by_channel, variance = self.read_demand(view)
        level = sum_channels(by_channel)
        total = sum_channels(view.forecast)
        served = np.divide(plan.store_rate, total, out=np.zeros_like(total), where=total > 0)
        days = pick_days(view.ahead, self.store_days)
        spread = np.sqrt(thin_variance(level, variance, served) * days)
        plan.shipment_gap = served * level * days + self.store_z * spread - plan.position
        days = pick_days(view.ahead, self.echelon_days)
        spread = np.sqrt(network.sum_by_dc(variance * days))
        plan.up_to_gap = network.sum_by_dc(level * days) + self.dc_z * spread - plan.echelon
        plan.supplier_gap = plan.up_to_gap

    def read_demand(self, view: View) -> tuple[FloatArray, FloatArray]:
        """Units a day by channel, (B, S, K, C), and the variance of their sum, (B, S, K)."""
        return view.smoothed, view.variance


class PlainSafetyStock(SafetyStock):
    """The same of the mean and variance of all days before the episode, as a spreadsheet has it."""

    def read_demand(self, view: View) -> tuple[FloatArray, FloatArray]:
        """What was known when the episode began; nothing is learnt since."""
        return self.setting.forecast.read_plain(view.origin)


def pick_days(ahead: FloatArray, days: IntArray) -> FloatArray:
    """Returns the factor of a day's demand over each store's days ahead, (B, S, K).

    Args:
        ahead: as of `Signals.ahead`, (B, H, S or 1, K).
        days: of each store, 1 to H, (S,).
    """
    stores = np.arange(len(days)) if ahead.shape[2] > 1 else np.zeros(len(days), np.int64)
    picked: FloatArray = ahead[:, days - 1, stores]
    return picked


def thin_variance(mean: FloatArray, variance: FloatArray, share: FloatArray) -> FloatArray:
    """Returns the variance of a share of demand, each unit of which is taken by chance.

    Source: Casella & Berger, Statistical inference, 2nd ed., theorem 4.4.7, of binomial thinning:
    share² (variance - mean) + share mean; that of regular demand, whose variance is below its
    mean, is taken to shrink as the share does.
    """
    return share * share * np.maximum(variance - mean, 0) + share * np.minimum(variance, mean)
