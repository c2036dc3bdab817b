"""Days with and without a sale: how many there are, and how long the last one is ago."""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.forecast.moments import LOWEST_FACTOR
from envs.omnichannel.types import FloatArray, IntArray, Known
from envs.omnichannel.world.demand.quantiles import accumulate_count

_LONGEST = 365.0  # days since the last sale that an episode of drawn demand begins with


def expect_sales_days(mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns what is expected where no record tells: share of days without a sale, days since one.

    Args:
        mean: units a day, any shape.
        variance: of them, in the same shape.
    """
    share = np.ones(mean.shape)
    sold = mean > 0
    wide = np.maximum(variance, mean)[sold]  # counts scatter at least as Poisson's do
    share[sold] = accumulate_count(np.zeros(int(sold.sum())), mean[sold], wide)
    # The run of such days before a random morning is geometric.
    return share, np.minimum(share / np.maximum(1 - share, 1e-9), _LONGEST)


def count_sales_days(
    before: Known, weight: FloatArray, units: IntArray, factor: FloatArray
) -> dict[str, FloatArray]:
    """Returns the fields of `Known` that tell of days without a sale; none where nobody asks.

    Args:
        before: what was known before the day.
        weight: days that are known with it, (B, S, K).
        units: of the day, (B, S, K, C).
        factor: of the day by season and weekday, (B, S or 1, K); closed days do not count.
    """
    if before.zero_share is None or before.silent is None:
        return {}
    share, silent = before.zero_share.copy(), before.silent.copy()
    _count(share, silent, before.weight, weight, np.ascontiguousarray(units), factor)
    return {"zero_share": share, "silent": silent}


@compiled
def _count(
    share: FloatArray,
    silent: FloatArray,
    known: FloatArray,
    weight: FloatArray,
    units: IntArray,
    factor: FloatArray,
) -> None:
    """Counts a day, in place; a cell of which nothing was known before its first sale has none."""
    copies, stores, skus, channels = units.shape
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                total = 0
                for c in range(channels):
                    total += units[b, s, k, c]
                is_open = factor[b, min(s, factor.shape[1] - 1), k] >= LOWEST_FACTOR
                counts = is_open and (known[b, s, k] > 0 or total > 0)
                if counts:
                    is_zero = 1.0 if total == 0 else 0.0
                    share[b, s, k] += (is_zero - share[b, s, k]) / max(weight[b, s, k], 1.0)
                if total > 0:
                    silent[b, s, k] = 0.0
                elif counts:
                    silent[b, s, k] += 1.0
