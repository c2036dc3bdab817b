"""Confidence intervals of means and of paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from envs.omnichannel.types import FloatArray


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and its two-sided confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


def compute_mean_interval(values: FloatArray, confidence: float = 0.95) -> Interval:
    """Returns the mean of independent values with Student's t interval.

    A single value says nothing of its spread: its interval is the value itself.

    Source: mean +- t(n - 1) x s / sqrt(n), s the sample standard deviation.

    Args:
        values: one an episode, (n,).
        confidence: two-sided, in (0, 1).

    Raises:
        ValueError: if there are no values.
    """
    count = len(values)
    if count == 0:
        raise ValueError("values is empty; at least one is needed")
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean=mean, low=mean, high=mean)
    # The same quantile as scipy.stats.t.ppf, whose import alone takes half a second.
    quantile = float(stdtrit(count - 1, (1 + confidence) / 2))
    half = quantile * float(np.std(values, ddof=1)) / count**0.5
    return Interval(mean=mean, low=mean - half, high=mean + half)


def compute_paired_interval(
    minuend: FloatArray, subtrahend: FloatArray, confidence: float = 0.95
) -> Interval:
    """Returns the mean of `minuend - subtrahend` with its interval, pair by pair.

    Both share the randomness of their episode, which cancels: the interval is narrower than what
    two separate ones suggest.

    Args:
        minuend: of one policy, (n,).
        subtrahend: of the other, in the same episodes, (n,).
        confidence: two-sided, in (0, 1).

    Raises:
        ValueError: if the lengths differ or are zero.
    """
    if minuend.shape != subtrahend.shape:
        raise ValueError(
            f"minuend has shape {minuend.shape}, subtrahend {subtrahend.shape}; pairs are needed"
        )
    return compute_mean_interval(minuend - subtrahend, confidence)
