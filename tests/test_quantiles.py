import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.quantiles import invert_count

means = st.floats(1e-3, 3000)
uniforms = st.floats(1e-12, 1 - 1e-12)


def invert(uniform: float, mean: float, variance: float) -> int:
    return int(invert_count(np.array([uniform]), np.array(mean), np.array(variance))[0])


def find_reference(u: FloatArray, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """scipy's own quantiles, which are searched for in another way."""
    spread = variance > mean * (1 + 1e-9)
    excess = np.where(spread, variance - mean, 1)
    wide = stats.nbinom.ppf(u, mean**2 / excess, mean / np.where(spread, variance, 2 * mean))
    return np.where(spread, wide, stats.poisson.ppf(u, mean))


# Means of a slow and of a fast seller, and beyond what is summed term by term (300).
@pytest.mark.parametrize("cv", [0.0, 0.3, 0.7, 2.0])
@pytest.mark.parametrize("scale", [0.2, 5.0, 150.0, 1000.0])
def test_invert_count__equals_scipy(scale: float, cv: float) -> None:
    rng = np.random.default_rng(0)
    u, mean = rng.random(3000), scale * rng.gamma(2.0, 0.5, 3000) + 1e-3
    variance = np.maximum((cv * mean) ** 2, mean)
    np.testing.assert_array_equal(
        invert_count(u, mean, variance), find_reference(u, mean, variance)
    )


@settings(max_examples=300)
@given(uniforms, means, st.floats(0, 5))
def test_invert_count__is_the_smallest_count_that_reaches_the_uniform(
    uniform: float, mean: float, cv: float
) -> None:
    variance = max((cv * mean) ** 2, mean)
    k = invert(uniform, mean, variance)
    spread = variance > mean * (1 + 1e-6)
    size = mean**2 / (variance - mean) if spread else np.inf
    found = stats.nbinom(size, mean / variance).cdf if spread else stats.poisson(mean).cdf
    # The distribution function itself is known to some 1e-10 where the variance is near the mean.
    assert found(k) >= uniform - 1e-9
    assert k == 0 or found(k - 1) < uniform + 1e-9


@settings(max_examples=100)
@given(uniforms, uniforms, means, st.floats(0, 3))
def test_invert_count__more_luck_never_means_fewer_units(
    one: float, other: float, mean: float, cv: float
) -> None:
    low, high = sorted((one, other))
    assert invert(low, mean, (cv * mean) ** 2) <= invert(high, mean, (cv * mean) ** 2)


def test_invert_count__cells_do_not_depend_on_one_another() -> None:
    rng = np.random.default_rng(1)
    u, mean = rng.random((4, 3, 2)), rng.random((3, 2)) * 700
    together: IntArray = invert_count(u, mean, 2 * mean)
    for copy in range(4):
        np.testing.assert_array_equal(
            invert_count(u[copy : copy + 1], mean, 2 * mean)[0], together[copy]
        )


@pytest.mark.parametrize("uniform", [2.0**-54, 0.5, 1.0])
def test_invert_count__without_mean_is_zero(uniform: float) -> None:
    assert invert(uniform, 0.0, 0.0) == 0


@pytest.mark.parametrize("mean", [0.01, 5.0, 5000.0])
@pytest.mark.parametrize("cv", [0.1, 0.7, 5.0])
def test_invert_count__ends_at_the_largest_uniform(mean: float, cv: float) -> None:
    """A sum of terms that never quite reaches the uniform must not run for ever."""
    assert mean < invert(1.0, mean, (cv * mean) ** 2) < 1e8
