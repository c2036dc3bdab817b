"""Outlooks: moments, quantiles and paths of the same demand."""

import numpy as np
import pytest

from envs.omnichannel.forecast.distribution import (
    Outlook,
    Spread,
    compute_cdf,
    compute_log_probability,
)

DAYS = 6


def look(
    level: float, variance: float, *, drift: float = 0.0, scale: float = 1.0, weight: float = 400
) -> Outlook:
    """Six days of two stores, two SKUs (the second sells a tenth) and two channels."""
    by_sku = np.array([1.0, 0.1])
    levels = np.broadcast_to(level * by_sku[:, None] * [0.75, 0.25], (2, 2, 2))
    return Outlook.predict(
        levels,
        np.broadcast_to(variance * by_sku, (2, 2)),
        np.full((2, 2), weight),
        np.array([1.0, 0.5, 0.0, 2.0, 1.0, 1.5])[:, None, None] * np.ones(2),
        level_rate=0.02,
        spread=Spread(scale=scale, drift=drift),
    )


def test_predict__by_hand() -> None:
    found = look(8, 40, drift=0.3, scale=1.5)
    assert found.mean[3, 0, 0].tolist() == [12, 4]
    assert found.variance[3, 0, 0] == 120  # 1.5 x 40 x 2
    assert (found.mean[2] == 0).all()
    assert (found.variance[2] == 0).all()
    error = 0.09 + 60 * (0.02 / 1.98) / 64
    assert found.level_error[1, 0] ** 2 == pytest.approx(error)
    mean, variance = found.sum_days(0, 2)
    assert mean[0, 0] == 12
    assert variance[0, 0] == pytest.approx(60 * 1.5 + error * (12**2 - 8**2 - 4**2))
    assert found.sum_days(3, 4)[1][0, 0] == 120


def test_predict__a_new_item_knows_its_level_worse() -> None:
    assert look(8, 40, weight=5).level_error[0, 0] ** 2 == pytest.approx(40 / 5 / 64)


def test_predict__regular_demand_scatters_like_poissons() -> None:
    found = look(10, 1, drift=0.1)
    error = found.level_error[0, 0] ** 2
    assert found.variance[0, 0, 0] == pytest.approx(10 + 100 * error)


@pytest.mark.parametrize("level", [1.0, 8.0, 60.0])
@pytest.mark.parametrize("excess", [0.3, 1.0, 6.0])
@pytest.mark.parametrize(("drift", "weight"), [(0.0, 400.0), (0.1, 10.0), (0.4, 400.0)])
def test_paths__have_the_moments_of_days_and_sums(
    level: float, excess: float, drift: float, weight: float
) -> None:
    found = look(level, level * excess, drift=drift, weight=weight)
    paths = found.draw_paths(np.random.default_rng(3), 20_000)
    assert paths.shape == (20_000, DAYS, 2, 2, 2)
    assert (paths[:, 2] == 0).all()
    for first, end in ((0, 1), (3, 4), (1, 5), (0, DAYS)):
        mean, variance = found.sum_days(first, end)
        drawn = paths[:, first:end].sum(axis=(1, -1))
        error = np.sqrt(variance / len(paths))
        assert (np.abs(drawn.mean(axis=0) - mean) < 5 * error).all()
        # Five standard errors of a variance, which the drawn fourth moment gives.
        square = (drawn - mean) ** 2
        assert (np.abs(square.mean(axis=0) - variance) < 5 * square.std(axis=0) / 141 + 1e-9).all()
    by_channel = paths.mean(axis=0)
    error = np.sqrt(found.variance[..., None] / len(paths))
    assert (np.abs(by_channel - found.mean) <= 5 * error).all()


def test_paths__without_drift_days_are_independent() -> None:
    found = look(5, 15)
    paths = found.draw_paths(np.random.default_rng(1), 20_000).sum(axis=-1)
    together = look(5, 15, drift=0.5).draw_paths(np.random.default_rng(1), 20_000).sum(axis=-1)
    assert abs(np.corrcoef(paths[:, 0, 0, 0], paths[:, 3, 0, 0])[0, 1]) < 0.05
    assert np.corrcoef(together[:, 0, 0, 0], together[:, 3, 0, 0])[0, 1] > 0.2


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_quantiles__are_those_of_the_paths_and_of_the_distribution(share: float) -> None:
    found = look(6, 20)
    units = found.find_quantile(share, 0, 2)
    mean, variance = found.sum_days(0, 2)
    assert (compute_cdf(units, mean, variance) >= share).all()
    assert (compute_cdf(units - 1, mean, variance) < share).all()
    drawn = found.draw_paths(np.random.default_rng(2), 20_000)[:, :2].sum(axis=(1, -1))
    assert ((drawn <= units).mean(axis=0) > share - 0.03).all()
    assert ((drawn < units).mean(axis=0) < share + 0.03).all()


def test_nothing_sold_is_certain() -> None:
    found = look(0, 0)
    assert (found.find_quantile(0.95) == 0).all()
    assert (found.draw_paths(np.random.default_rng(0), 3) == 0).all()
    zero = np.zeros(2)
    assert compute_cdf(np.array([-1, 0]), zero, zero).tolist() == [0, 1]


@pytest.mark.parametrize("excess", [0.0, 0.5, 9.0])
def test_log_probability__is_the_step_of_the_distribution(excess: float) -> None:
    units, mean = np.arange(40.0), np.full(40, 7.3)
    variance = mean * (1 + excess)
    step = compute_cdf(units, mean, variance) - compute_cdf(units - 1, mean, variance)
    found = compute_log_probability(units, mean, variance)
    assert np.exp(found) == pytest.approx(step, rel=1e-3, abs=1e-9)
