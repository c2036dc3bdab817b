"""Continuous demand, rounded to units and clipped at zero, with the moments of what is left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.distributions import Distribution, Setting
from envs.omnichannel.world.demand.kernels import round_normals

_COUNTS = 32  # probabilities that are summed one by one
_NARROW = 2.0  # standard deviation below which the sum begins near the mean
_LEAST = 1e-6  # coefficient of variation and standard deviation of what does not vary


class Law(Protocol):
    """A continuous variable X by cell."""

    mean: FloatArray
    deviation: FloatArray

    def exceed(self, x: FloatArray) -> FloatArray:
        """Returns P(X > x)."""

    def take_above(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns E[X; X > x] and E[X^2; X > x], for x >= 0."""


@dataclass(frozen=True)
class RoundedGamma(Distribution):
    """Gamma with the given mean and coefficient of variation, then rounded."""

    cv: Setting

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """The rounded quantile."""
        from scipy.special import gammaincinv

        del base
        shape = np.maximum(self.cv, _LEAST) ** -2.0
        return np.rint(gammaincinv(shape, uniform) / shape * expected).astype(np.int64)

    def compute_mean(self, mean: FloatArray) -> FloatArray:
        """That of the rounded variable."""
        return compute_moments(Gamma(mean, self.cv))[0]

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """Likewise."""
        return compute_moments(Gamma(mean, self.cv))[1]


@dataclass(frozen=True)
class ClippedNormal(Distribution):
    """Normal with moments that are shares of the given mean, then rounded and clipped."""

    centre: Setting
    noise: Setting

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """The rounded quantile, or zero."""
        del base
        cells = math.prod(uniform.shape[1:])
        arrays = (uniform, self.centre * expected, self.noise * expected)
        return round_normals(*(a.reshape(-1, cells) for a in arrays)).reshape(uniform.shape)

    def compute_mean(self, mean: FloatArray) -> FloatArray:
        """That of what is left."""
        return compute_moments(Normal(self.centre * mean, self.noise * mean))[0]

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """Likewise."""
        return compute_moments(Normal(self.centre * mean, self.noise * mean))[1]


@dataclass(frozen=True)
class UniformUnits(Distribution):
    """Whole units around the given mean, equally likely up to a share of it."""

    width: Setting

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """The rounded quantile of an interval that is half a unit longer at both ends."""
        del base
        half = self.width * expected + 0.5
        return np.maximum(np.rint(expected + half * (2 * uniform - 1)), 0).astype(np.int64)

    def compute_mean(self, mean: FloatArray) -> FloatArray:
        """That of what is left."""
        return self._compute_moments(mean)[0]

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """Likewise."""
        return self._compute_moments(mean)[1]

    def _compute_moments(self, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
        half = self.width * mean + 0.5
        least, most = np.floor(mean - half + 0.5), np.floor(mean + half + 0.5)
        steps = most - least
        # Whole numbers in between are equally likely; the last one has what is left of a unit.
        last = mean + half - (most - 0.5)
        first = (steps * last + steps * (steps - 1) / 2) / (2 * half)
        second = (steps**2 * last + (steps - 1) * steps * (2 * steps - 1) / 6) / (2 * half)
        return least + first, second - first**2


class Gamma:
    """A gamma variable; all zero where the mean is."""

    def __init__(self, mean: FloatArray, cv: Setting) -> None:
        self.mean = mean
        self._shape = np.maximum(cv, _LEAST) ** -2.0
        self._rate = self._shape / np.maximum(mean, 1e-12)
        self.deviation = mean / np.sqrt(self._shape)

    def exceed(self, x: FloatArray) -> FloatArray:
        """The regularised upper incomplete gamma function."""
        return self._exceed(x, 0)

    def take_above(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same with one and two more on the shape."""
        square = self.mean**2 * (1 + 1 / self._shape)
        return self.mean * self._exceed(x, 1), square * self._exceed(x, 2)

    def _exceed(self, x: FloatArray, more: int) -> FloatArray:
        from scipy.special import gammaincc

        found: FloatArray = gammaincc(self._shape + more, np.maximum(x, 0) * self._rate)
        return np.where(x < 0, 1.0, found)


class Normal:
    """A normal variable."""

    def __init__(self, mean: FloatArray, deviation: FloatArray) -> None:
        self.mean, self.deviation = mean, np.maximum(deviation, _LEAST)

    def exceed(self, x: FloatArray) -> FloatArray:
        """The upper tail."""
        from scipy.special import ndtr

        found: FloatArray = ndtr((self.mean - x) / self.deviation)
        return found

    def take_above(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """From the tail and the density at x."""
        above, score = self.exceed(x), (x - self.mean) / self.deviation
        density = self.deviation * np.exp(-(score**2) / 2) / math.sqrt(2 * math.pi)
        first = self.mean * above + density
        return first, (self.mean**2 + self.deviation**2) * above + (self.mean + x) * density


def compute_moments(law: Law) -> tuple[FloatArray, FloatArray]:
    """Returns mean and variance of units N = max(round(X), 0), units and units².

    With N >= s, E[N - s] is the sum of P(N - s > j) over j >= 0, and E[(N - s)^2] that of
    (2 j + 1) P(N - s > j). The first terms are summed. The rest is the integral with the midpoint
    rule's first correction: what is left out is in the mean below 2e-5 standard deviations.
    """
    start = np.where(law.deviation < _NARROW, np.maximum(np.floor(law.mean) - _COUNTS // 2, 0), 0.0)
    first, second = np.zeros(start.shape), np.zeros(start.shape)
    for j in range(_COUNTS):
        above = law.exceed(start + j + 0.5)
        first += above
        second += (2 * j + 1) * above
    end = start + _COUNTS
    above, (once, twice) = law.exceed(end), law.take_above(end)
    density = law.exceed(end - 0.5) - law.exceed(end + 0.5)
    excess = once - end * above  # E[(X - end)+]
    first += excess - density / 24
    second += twice - end**2 * above - 2 * start * excess + (above - _COUNTS * density) / 12
    return start + first, np.maximum(second - first**2, 0.0)
