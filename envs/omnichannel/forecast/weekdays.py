"""Weekday profiles of demand, as they are known day by day."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray

# As many weeks of its own, and as many units, weigh as much as the profile of all SKUs.
_PRIOR_WEEKS = 4.0
_PRIOR_UNITS = 50.0


def estimate_profile(units: FloatArray, days: FloatArray) -> FloatArray:
    """Returns the factor of the mean by weekday, (..., 7, K), from totals by weekday.

    Where a period is a week, the axis of the weekdays has length 1 and all factors are 1.

    A SKU's own profile is drawn towards that of all SKUs, the more the fewer weeks and units it
    has, and theirs towards none.

    Args:
        units: sold on each weekday in all stores, (..., 7, K).
        days: of each weekday on which the SKU was listed, (..., 7, K).
    """
    by_day = units / np.maximum(days, 1)
    sold = units.sum(axis=-2, keepdims=True)
    is_whole = days.min(axis=-2, keepdims=True) > 0  # a profile needs each weekday once
    pooled = _divide_by_mean((by_day * is_whole).sum(axis=-1, keepdims=True))
    pooled = 1 + _trust(sold.sum(axis=-1, keepdims=True)) * (pooled - 1)
    weeks = days.sum(axis=-2, keepdims=True) / days.shape[-2]
    trust = is_whole * weeks / (weeks + _PRIOR_WEEKS) * _trust(sold)
    profile: FloatArray = pooled + trust * (_divide_by_mean(by_day) - pooled)
    return profile


def _trust(units: FloatArray) -> FloatArray:
    """The weight of what was learnt from so many units: days of few sales have no profile."""
    return units / (units + _PRIOR_UNITS)


def _divide_by_mean(by_day: FloatArray) -> FloatArray:
    """Means by weekday as shares of the week's, (..., 7, K); 1 where nothing was sold."""
    mean = by_day.mean(axis=-2, keepdims=True)
    return np.divide(by_day, mean, out=np.ones_like(by_day), where=mean > 0)
