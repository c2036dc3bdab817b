"""Running moments of demand: one update a day, in simulation, over a record and every morning."""

from __future__ import annotations

from envs.compiler import compiled
from envs.omnichannel.types import BoolArray, FloatArray

LOWEST_FACTOR = 0.05  # demand is divided by the day's factor; days below it teach nothing


@compiled
def update_moments(
    smoothed: FloatArray,
    variance: FloatArray,
    weight: FloatArray,
    units: FloatArray,
    factor: FloatArray,
    is_seen: BoolArray,
    level_rate: float,
    variance_rate: float,
) -> None:
    """Learns from a day, in place: means that become exponential ones as the days go by.

    A cell that has seen n days moves by the share 1/n of the new error, and never by less than the
    rate: the plain mean of the first days, then exponential smoothing. The variance is the same
    mean of squared errors of the day before's level, each divided by the day's factor.

    Args:
        smoothed: units a day with the day's factor taken out, (B, S, K, C).
        variance: of their sum over the channels, (B, S, K).
        weight: days that a cell has seen, (B, S, K).
        units: of the day, (B, S, K, C).
        factor: of the day, known before it, (B, K).
        is_seen: whether the cell was listed and in stock, (B, S, K).
        level_rate: the least share of an error that moves the level.
        variance_rate: the same of the variance.
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
                rate = max(level_rate, 1 / days)
                error = 0.0
                for c in range(channels):
                    miss = units[b, s, k, c] / share - smoothed[b, s, k, c]
                    smoothed[b, s, k, c] += rate * miss
                    error += miss
                if days > 1:  # before the first day there was no level to miss
                    rate = max(variance_rate, 1 / (days - 1))
                    # A busy day scatters more: the day's variance is this times its factor.
                    variance[b, s, k] += rate * (error * error * share - variance[b, s, k])
