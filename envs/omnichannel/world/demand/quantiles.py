"""Exact quantiles of counts, so that a uniform draw becomes a number of units.

Inverse distribution functions and not samplers: one uniform gives one count whatever the mean, so
draws stay a function of (seed, period), a higher uniform never means fewer units, and policies
that are compared meet equal luck.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.kernels import count_terms

_MAX_TERMS = 600  # summed one by one; a search is cheaper for what lies beyond
_LARGEST_SUMMED = 300.0  # mean up to which the probability of zero is no underflow
_POISSON = 1e-9  # relative excess of the variance below which counts are Poisson's
_HIGHEST = 1 - 2.0**-53  # the largest uniform below 1


def invert_count(uniform: FloatArray, mean: FloatArray, variance: FloatArray) -> IntArray:
    """Returns the smallest count k with P(X <= k) >= uniform, cell by cell.

    X is negative binomial, or Poisson where the variance does not exceed the mean.
    Source: inversion by sequential search, Devroye 1986, Non-Uniform Random Variate Generation,
    chapter III.2 and X.4; the terms by Panjer's recursion p(k) = (a + b (k - 1)) / k p(k - 1)
    with a = mean^2 / variance and b = 1 - mean / variance, which covers both families.

    Args:
        uniform: in (0, 1), any shape.
        mean: units, >= 0, broadcasts to that shape; where it is 0 so is the count.
        variance: units^2, broadcasts as well; values below the mean count as the mean.

    Returns:
        Units, in the shape of `uniform`.
    """
    u = np.minimum(uniform, _HIGHEST).ravel()
    m = np.broadcast_to(mean, uniform.shape).ravel()
    v = np.maximum(np.broadcast_to(variance, uniform.shape).ravel(), m)
    counts = np.zeros(u.size, np.int64)
    cells = np.flatnonzero(m > 0)
    summed = m[cells] <= _LARGEST_SUMMED
    beyond = cells[~summed]
    cells = cells[summed]
    unresolved = _add_up(counts, cells, u[cells], m[cells], v[cells])
    searched = np.concatenate([beyond, unresolved])
    if searched.size:
        counts[searched] = _search(u[searched], m[searched], v[searched])
    return counts.reshape(uniform.shape)


def thin(units: IntArray, probability: float, uniform: FloatArray) -> IntArray:
    """Returns how many of the units are kept, each with the probability: a binomial quantile.

    Args:
        units: (...), >= 0.
        probability: in [0, 1].
        uniform: in (0, 1), (...).
    """
    from scipy.special import bdtr

    kept = np.zeros_like(units)
    if probability in {0, 1}:
        return units if probability else kept
    some = np.nonzero(units)
    u, n = uniform[some], units[some]
    count = np.zeros_like(n)
    # The quantile counts the values whose distribution function lies below u. Step by step,
    # because SciPy's inverse (bdtrik) does not come back for some arguments.
    for value in range(int(n.max(initial=0))):
        below = bdtr(np.minimum(value, n), n, probability) < u
        if not below.any():
            break
        count += below
    kept[some] = count
    return kept


def _add_up(
    counts: IntArray, cells: IntArray, u: FloatArray, m: FloatArray, v: FloatArray
) -> IntArray:
    """Counts the terms that fit below the uniform; returns the cells that need more terms."""
    excess = v / m - 1
    a, b = m / (1 + excess), excess / (1 + excess)
    # log P(X = 0) = -m log(1 + x) / x with x the excess; the ratio tends to 1 for Poisson's.
    some = np.maximum(excess, _POISSON)
    term = np.exp(-m * np.where(excess > _POISSON, np.log1p(some) / some, 1))
    found = count_terms(u - term, term, a, b, _MAX_TERMS)
    counts[cells] = found
    return cells[found < 0]


def _search(u: FloatArray, m: FloatArray, v: FloatArray) -> IntArray:
    """Bisects the distribution function: some 10 to 20 evaluations a cell."""
    low = np.full(u.size, -1.0)
    high = np.ceil(m + 4 * np.sqrt(v))
    while (short := accumulate_count(high, m, v) < u).any():
        low = np.where(short, high, low)
        high = np.where(short, 2 * high, high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = accumulate_count(middle, m, v) >= u
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high.astype(np.int64)


def accumulate_count(k: FloatArray, m: FloatArray, v: FloatArray) -> FloatArray:
    """Returns P(X <= k) of the same counts, k >= -1 and whole, cell by cell.

    Args:
        k: units, (N,).
        m: mean, > 0, (N,).
        v: variance, >= the mean, (N,).
    """
    from scipy.special import betainc, pdtr  # a third of a second to import, seldom needed

    excess = v / m - 1
    spread = excess > _POISSON
    size = m / np.where(spread, excess, 1)
    over = betainc(size, np.maximum(k, 0) + 1, 1 / (1 + excess))
    return np.where(k < 0, 0, np.where(spread, over, pdtr(np.maximum(k, 0), m)))
