"""Demand until the next order arrives, which a stock must last for, by mean and variance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.omnichannel.agents.positions import compute_store_rate
from envs.omnichannel.types import FloatArray, IntArray, Network, View, sum_channels

_REVIEW = 1  # periods between two orders


class Moments(NamedTuple):
    """Of the units demanded while a stock must last, by place and SKU."""

    mean: FloatArray  # units
    variance: FloatArray  # units²

    @property
    def deviation(self) -> FloatArray:
        """The standard deviation, units."""
        return np.sqrt(self.variance)


class Protection:
    """Lead time and review: a stock must last until what is ordered one period later arrives.

    A store waits for its lane, a DC's echelon for its supplier and the way on to the stores. The
    demand is that of these very days, by weekday, season and announced promotions; its spread is
    that of the store and SKU.

    Source: Silver, Pyke & Thomas, Inventory and production management in supply chains, 4th ed.,
    section 6.7 (periodic review, order-up-to level).
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        lanes = network.lane_lead_time
        self.store_days = lanes + _REVIEW  # (S,)
        ways = np.array([round(float(lanes[own].mean())) for own in network.members])
        dc_days = network.lead_time[: network.num_dcs] + ways + _REVIEW
        self.echelon_days = dc_days[network.parent]  # (S,) that the DC's echelon must last for

    def measure_stores(
        self,
        ahead: FloatArray,
        level: FloatArray,
        variance: FloatArray,
        served: FloatArray | float = 1.0,
    ) -> Moments:
        """Returns the moments of what each store is to serve, (B, S, K).

        Args:
            ahead: as of `Signals.ahead`, (B, H, S or 1, K).
            level: units a day of all channels, (B, S, K).
            variance: of a day's units around it, (B, S, K).
            served: share of the demand that the store itself serves, (B, S, K).
        """
        days = pick_days(ahead, self.store_days)
        return Moments(served * level * days, thin_variance(level, variance, served) * days)

    def measure_echelons(
        self, ahead: FloatArray, level: FloatArray, variance: FloatArray
    ) -> Moments:
        """Returns the moments of the demand below each DC, (B, W, K); args as of the stores."""
        days, network = pick_days(ahead, self.echelon_days), self.network
        return Moments(network.sum_by_dc(level * days), network.sum_by_dc(variance * days))


def compute_served(view: View, store_rate: FloatArray) -> FloatArray:
    """Returns the share of its region's demand that each store is to serve, (B, S, K).

    Args:
        view: what is known.
        store_rate: units a day that it is to serve, (B, S, K).
    """
    total = sum_channels(view.forecast)
    return np.divide(store_rate, total, out=np.zeros_like(total), where=total > 0)


def compute_online_served(view: View, online_share: FloatArray) -> FloatArray:
    """Returns the same where the store serves a share of the online orders, (B, S, K)."""
    return compute_served(view, compute_store_rate(view, online_share))


def pick_days(ahead: FloatArray, days: IntArray) -> FloatArray:
    """Returns the factor of a day's demand over each store's days ahead, (B, S, K).

    Args:
        ahead: as of `Signals.ahead`, (B, H, S or 1, K).
        days: of each store, 1 to H, (S,).
    """
    stores = np.arange(len(days)) if ahead.shape[2] > 1 else np.zeros(len(days), np.int64)
    picked: FloatArray = ahead[:, days - 1, stores]
    return picked


def thin_variance(mean: FloatArray, variance: FloatArray, share: FloatArray | float) -> FloatArray:
    """Returns the variance of a share of demand, each unit of which is taken by chance.

    Source: Casella & Berger, Statistical inference, 2nd ed., theorem 4.4.7, of binomial thinning:
    share² (variance - mean) + share mean; that of regular demand, whose variance is below its
    mean, is taken to shrink as the share does.
    """
    return share * share * np.maximum(variance - mean, 0) + share * np.minimum(variance, mean)
