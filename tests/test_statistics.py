from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from marl.evaluation.statistics import Interval, compute_mean_interval, compute_paired_interval


def test_mean_interval__known_numbers() -> None:
    # Mean 3, s = sqrt(2.5), t(4, 0.975) = 2.776445: half-width 2.776445 x 0.707107.
    interval = compute_mean_interval(np.array([1.0, 2, 3, 4, 5]))
    assert interval.mean == 3
    assert interval.low == pytest.approx(1.036757, abs=1e-6)
    assert interval.high == pytest.approx(4.963243, abs=1e-6)
    assert interval.half_width == pytest.approx(1.963243, abs=1e-6)


def test_mean_interval__as_scipy_stats() -> None:
    values = np.random.default_rng(0).normal(size=30)
    low, high = stats.t.interval(0.9, 29, values.mean(), stats.sem(values))
    interval = compute_mean_interval(values, confidence=0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high))


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_mean_interval__no_spread_is_a_point(values: list[float]) -> None:
    assert compute_mean_interval(np.array(values)) == Interval(mean=0.5, low=0.5, high=0.5)


def test_mean_interval__refuses_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        compute_mean_interval(np.array([]))


def test_paired_interval__shared_randomness_cancels() -> None:
    noise = np.random.default_rng(0).normal(size=50)
    shifted = compute_paired_interval(noise + 0.1, noise)
    assert shifted.mean == pytest.approx(0.1)
    assert shifted.half_width == pytest.approx(0, abs=1e-12)


def test_paired_interval__known_numbers() -> None:
    # Differences 1, 3: mean 2, s / sqrt(2) = 1, t(1, 0.975) = 12.7062.
    interval = compute_paired_interval(np.array([2.0, 7]), np.array([1.0, 4]))
    assert (interval.mean, interval.low) == pytest.approx((2, -10.7062), abs=1e-4)


def test_paired_interval__refuses_other_lengths() -> None:
    with pytest.raises(ValueError, match="pairs"):
        compute_paired_interval(np.zeros(3), np.zeros(1))
