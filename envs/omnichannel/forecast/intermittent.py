"""Intermittent demand: how likely a sale is and how large, each smoothed by itself (TSB)."""

from __future__ import annotations

from envs.compiler import compiled
from envs.omnichannel.forecast.moments import LOWEST_FACTOR
from envs.omnichannel.types import BoolArray, FloatArray


def count_memory(channels: int) -> int:
    """Returns the numbers that a cell remembers: probability, days with a sale, size by channel."""
    return 2 + channels


@compiled
def update_intermittent(
    smoothed: FloatArray,
    variance: FloatArray,
    weight: FloatArray,
    memory: FloatArray,
    units: FloatArray,
    factor: FloatArray,
    is_seen: BoolArray,
    level_rate: float,
    variance_rate: float,
) -> None:
    """Learns from a day, in place: p moves every day, the size on days with a sale.

    With y units on a day: p' = p + a (1 - p) and z' = z + a (y - z) if y > 0, else p' = p - a p
    and z' = z; the level is p z. Where nothing sells p falls, so that ended items lose their level.
    The first days and sales have equal weights, as in `update_moments`, whose variance it is.

    Source: Teunter, Syntetos & Babai 2011, Intermittent demand: linking forecasting to inventory
    obsolescence, European Journal of Operational Research 214(3), section 3.

    Args:
        smoothed: units a day with the day's factor taken out, (B, S, K, C).
        variance: of their sum over the channels, (B, S, K).
        weight: days that a cell has seen, (B, S, K).
        memory: p, the days with a sale, and z by channel, (B, S, K, 2 + C).
        units: of the day, (B, S, K, C).
        factor: of the day, known before it, (B, K).
        is_seen: whether the cell was listed and in stock, (B, S, K).
        level_rate: a, once the days are many.
        variance_rate: see `update_moments`.
    """
    copies, stores, skus, channels = smoothed.shape
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                share = factor[b, k]
                if share < LOWEST_FACTOR or not is_seen[b, s, k]:
                    continue
                weight[b, s, k] += 1
                days = weight[b, s, k]
                error = sold = 0.0
                for c in range(channels):
                    sold += units[b, s, k, c]
                    error += units[b, s, k, c] / share - smoothed[b, s, k, c]
                chance = memory[b, s, k, 0]
                rate = max(level_rate, 1 / days)
                moved = chance + rate * ((1.0 if sold > 0 else 0.0) - chance)
                memory[b, s, k, 0] = moved
                rate = 0.0
                if sold > 0:
                    memory[b, s, k, 1] += 1
                    rate = max(level_rate, 1 / memory[b, s, k, 1])
                for c in range(channels):
                    size = memory[b, s, k, 2 + c]
                    new = size + rate * (units[b, s, k, c] / share - size)
                    memory[b, s, k, 2 + c] = new
                    # By how much it moves: a level that a planner sets is not forgotten.
                    level = smoothed[b, s, k, c] + moved * new - chance * size
                    smoothed[b, s, k, c] = max(level, 0.0)
                if days > 1:
                    rate = max(variance_rate, 1 / (days - 1))
                    variance[b, s, k] += rate * (error * error * share - variance[b, s, k])
