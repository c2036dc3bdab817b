"""Demand until the next order arrives, which a stock must last for, by mean and variance."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np

from envs.omnichannel.agents.positions import compute_store_rate
from envs.omnichannel.types import FloatArray, IntArray, Network, View, sum_channels

_REVIEW = 1  # periods between two orders


def count_more_days(network: Network, day: IntArray) -> IntArray | None:
    """Returns by how much a stock must last longer than lead times say, days, (B, N, K).

    Covers in days are on top of a lead time, or contain it, of a network whose orders are taken and
    delivered daily. None: this is one.

    Args:
        network: nodes and lanes.
        day: of the calendar, (B,).
    """
    if network.schedule is None:
        return None
    return network.schedule.count_protection(day) - network.lead_time[:, None] - _REVIEW


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
        self.store_days: IntArray = lanes + _REVIEW  # (S,), or (B, S, K) of the days of `at`
        ways = np.array([round(float(lanes[own].mean())) for own in network.members])
        dc_days = network.lead_time[: network.num_dcs] + ways + _REVIEW
        # Likewise of each store's share in what its DC's echelon must last for.
        self.echelon_days: IntArray = dc_days[network.parent]

    def at(self, day: IntArray) -> Protection:
        """Returns the protection on days of the calendar, (B,), where its days differ.

        With order days and delivery days a stock must last until what is ordered on the next order
        day arrives: at a weekly delivery a week longer on one day than on the next.
        """
        network, schedule = self.network, self.network.schedule
        if schedule is None:
            return self
        own, dated = schedule.count_protection(day), copy(self)
        until = own[:, network.parent]
        onward = schedule.count_onward(day, until)
        ways = np.stack([onward[:, m].mean(axis=1) for m in network.members], axis=1)
        dated.store_days = own[:, network.num_dcs :]
        dated.echelon_days = until + np.rint(ways).astype(np.int64)[:, network.parent]
        return dated

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
        days: of each store, 1 to H, (S,), or of each copy and SKU, (B, S, K).
    """
    if days.ndim > 1:
        copies, (stores, skus) = np.arange(len(ahead))[:, None, None], days.shape[1:]
        own = np.arange(stores)[:, None] if ahead.shape[2] > 1 else 0
        found: FloatArray = ahead[copies, days - 1, own, np.arange(skus)]
        return found
    stores = np.arange(len(days)) if ahead.shape[2] > 1 else np.zeros(len(days), np.int64)
    picked: FloatArray = ahead[:, days - 1, stores]
    return picked


def average_days(ahead: FloatArray, days: IntArray) -> FloatArray:
    """Returns the same of an average day, (B, S, K); args as of `pick_days`."""
    return pick_days(ahead, days) / (days if days.ndim > 1 else days[:, None])


def thin_variance(mean: FloatArray, variance: FloatArray, share: FloatArray | float) -> FloatArray:
    """Returns the variance of a share of demand, each unit of which is taken by chance.

    Source: Casella & Berger, Statistical inference, 2nd ed., theorem 4.4.7, of binomial thinning:
    share² (variance - mean) + share mean; that of regular demand, whose variance is below its
    mean, is taken to shrink as the share does.
    """
    return share * share * np.maximum(variance - mean, 0) + share * np.minimum(variance, mean)
