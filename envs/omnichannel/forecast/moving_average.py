"""Moving average of recorded demand: the mean of the last days on which an item was in stock."""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.forecast.moments import LOWEST_FACTOR
from envs.omnichannel.types import BoolArray, FloatArray


def count_memory(channels: int, window: int) -> int:
    """Returns the numbers that a cell remembers: each day of the window by channel."""
    return window * channels


@compiled
def update_window(
    smoothed: FloatArray,
    variance: FloatArray,
    weight: FloatArray,
    memory: FloatArray,
    units: FloatArray,
    factor: FloatArray,
    is_seen: BoolArray,
    window: int,
    variance_rate: float,
) -> None:
    """Learns from a day, in place: the new day comes into the window, the oldest one leaves.

    A day's units are divided by its factor, so that the mean is that of a day whose factor is one.
    Until the window is full it is the plain mean. The variance is that of `update_moments`.

    Args:
        smoothed: units a day with the day's factor taken out, (B, S, K, C).
        variance: of their sum over the channels, (B, S, K).
        weight: days that a cell has seen, (B, S, K).
        memory: of the last days, the oldest one is overwritten, (B, S, K, window x C).
        units: of the day, (B, S, K, C).
        factor: of the day, known before it, (B, K).
        is_seen: whether the cell was listed and in stock, (B, S, K).
        window: days of the mean.
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
                slot = (int(days) - 1) % window * channels
                error = 0.0
                for c in range(channels):
                    # Rounded as histories are, so that what leaves is what came.
                    new = float(np.float32(units[b, s, k, c] / share))
                    level = smoothed[b, s, k, c]
                    error += new - level
                    if days <= window:
                        level += (new - level) / days
                    else:
                        level += (new - memory[b, s, k, slot + c]) / window
                    smoothed[b, s, k, c] = max(level, 0.0)
                    memory[b, s, k, slot + c] = new
                if days > 1:
                    rate = max(variance_rate, 1 / (days - 1))
                    variance[b, s, k] += rate * (error * error * share - variance[b, s, k])
