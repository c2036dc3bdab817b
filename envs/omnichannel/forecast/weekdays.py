"""Weekday profiles of demand, as they are known day by day."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import WEEK, FloatArray, IntArray

_PRIOR_WEEKS = 4.0  # as many weeks of its own weigh as much as the profile of all SKUs


def estimate_profile(units: FloatArray, days: FloatArray) -> FloatArray:
    """Returns the factor of the mean by weekday, (..., 7, K), from totals by weekday.

    A SKU's own profile is drawn towards that of all SKUs, the more the fewer weeks it has.

    Args:
        units: sold on each weekday in all stores, (..., 7, K).
        days: of each weekday on which the SKU was listed, (..., 7, K).
    """
    by_day = units / np.maximum(days, 1)
    sold = units.sum(axis=-2, keepdims=True) > 0
    is_whole = days.min(axis=-2, keepdims=True) > 0  # a profile needs each weekday once
    pooled = _divide_by_mean((by_day * is_whole).sum(axis=-1, keepdims=True))
    weeks = days.sum(axis=-2, keepdims=True) / WEEK
    trust = np.where(sold & is_whole, weeks / (weeks + _PRIOR_WEEKS), 0.0)
    profile: FloatArray = pooled + trust * (_divide_by_mean(by_day) - pooled)
    return profile


def _divide_by_mean(by_day: FloatArray) -> FloatArray:
    """Means by weekday as shares of the week's, (..., 7, K); 1 where nothing was sold."""
    mean = by_day.mean(axis=-2, keepdims=True)
    return np.divide(by_day, mean, out=np.ones_like(by_day), where=mean > 0)


def roll_profiles(units: FloatArray, listed: IntArray) -> FloatArray:
    """Returns the profile that the days before each one show, (D + 1, 7, K).

    Args:
        units: of each day in all stores, (D, K); day 0 is weekday 0.
        listed: the day from which on each SKU counts, (K,).
    """
    num_days, skus = units.shape
    day = np.arange(num_days)
    is_day = (day[:, None] % WEEK == np.arange(WEEK))[..., None]  # (D, 7, 1)
    sold, count = np.zeros((2, num_days + 1, WEEK, skus))
    np.cumsum(np.where(is_day, units[:, None], 0.0), axis=0, out=sold[1:])
    np.cumsum(is_day & (day[:, None, None] >= listed), axis=0, out=count[1:])
    return estimate_profile(sold, count)
