"""Empirical spread: how far sums of the days ahead were from their forecasts, cell by cell."""

from __future__ import annotations

from envs.compiler import compiled
from envs.omnichannel.forecast.moments import LOWEST_FACTOR
from envs.omnichannel.types import BoolArray, FloatArray

_KEPT = 3  # numbers of a day: its units, its factor, and the level before it


def count_memory(span: int) -> int:
    """Returns the numbers that a cell remembers: those of each day of the span."""
    return _KEPT * span


@compiled
def update_empirical(
    smoothed: FloatArray,
    variance: FloatArray,
    weight: FloatArray,
    memory: FloatArray,
    units: FloatArray,
    factor: FloatArray,
    is_seen: BoolArray,
    level_rate: float,
    variance_rate: float,
    span: int,
) -> None:
    """Learns from a day, in place: the level of `update_moments`, and errors of sums over a span.

    A span that ends today brought the sum of its units; the morning of its first day foresaw that
    day's level times the sum of the factors. The variance is the running mean of the squared error
    by the sum of the factors, so that the variance of a sum over the span is that of past sums:
    what days have in common and how far levels move are in it. The first spans are shorter.

    Args:
        smoothed: units a day with the day's factor taken out, (B, S, K, C).
        variance: of their sum over the channels, by day of the span, (B, S, K).
        weight: days that a cell has seen, (B, S, K).
        memory: of the span's days, the oldest one is overwritten, (B, S, K, 3 x span).
        units: of the day, (B, S, K, C).
        factor: of the day, known before it, (B, K).
        is_seen: whether the cell was listed and in stock, (B, S, K).
        level_rate: see `update_moments`.
        variance_rate: see `update_moments`.
        span: days of a sum.
    """
    copies, stores, skus, channels = smoothed.shape
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                share = factor[b, k]
                if share < LOWEST_FACTOR or not is_seen[b, s, k]:
                    continue
                own = memory[b, s, k]
                weight[b, s, k] += 1
                days = int(weight[b, s, k])
                rate = max(level_rate, 1 / days)
                total = level = 0.0
                for c in range(channels):
                    level += smoothed[b, s, k, c]
                    total += units[b, s, k, c]
                    smoothed[b, s, k, c] += rate * (
                        units[b, s, k, c] / share - smoothed[b, s, k, c]
                    )
                slot = days % span * _KEPT
                own[slot], own[slot + 1], own[slot + 2] = total, share, level
                if days == 1:  # before the first day there was no level to miss
                    continue
                length = min(span, days - 1)
                sold = shares = 0.0
                for back in range(length):
                    slot = (days - back) % span * _KEPT
                    sold += own[slot]
                    shares += own[slot + 1]
                first = own[(days - length + 1) % span * _KEPT + 2]
                error = sold - first * shares
                rate = max(variance_rate, 1 / (days - 1))
                variance[b, s, k] += rate * (error * error / shares - variance[b, s, k])
