"""Scatter of a day's units around their expectation: from uniform draws to counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.kernels import round_normals
from envs.omnichannel.world.demand.quantiles import invert_count

Setting = float | FloatArray  # of all cells, or of each, (n,)


class Distribution(Protocol):
    """Turns uniforms into units.

    Its settings are those of its process. Where they differ by cell, arrays have one axis of cells
    in place of (S, K, C).
    """

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """Returns the units at a uniform, (B, S, K, C).

        Args:
            uniform: in (0, 1), (B, S, K, C).
            expected: units, (B, S, K, C); 0 where closed.
            base: the same without the season, (S, K, C) or (B, S, K, C); 0 where closed.
        """

    def compute_mean(self, mean: FloatArray) -> FloatArray:
        """Returns what is left of a mean once units are rounded and clipped, in its shape."""
        return mean

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """Returns the variance of units around what is left of a mean, units², in its shape."""
        ...


@dataclass(frozen=True)
class NormalNoise(Distribution):
    """Eq. 1: normal noise whose standard deviation is a share of base; not below zero."""

    noise: Setting

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """Rounded to units and clipped at zero."""
        cells = math.prod(uniform.shape[1:])
        flat = (array.reshape(-1, cells) for array in (uniform, expected, self.noise * base))
        return round_normals(*flat).reshape(uniform.shape)

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """The noise's and the rounding's; that zero cuts the noise is left out."""
        return (self.noise * mean) ** 2 + np.where(mean > 0, 1 / 12, 0.0)


@dataclass(frozen=True)
class PoissonCounts(Distribution):
    """Variance = mean."""

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """The Poisson quantile."""
        del base
        return invert_count(uniform, expected, expected)

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """The mean."""
        return mean


@dataclass(frozen=True)
class NegativeBinomialCounts(Distribution):
    """Variance = (cv x mean)^2, or the mean where that is larger."""

    cv: Setting

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """The negative binomial quantile; Poisson's where cv is below it."""
        del base
        return invert_count(uniform, expected, (self.cv * expected) ** 2)

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """That of the class."""
        return np.maximum((self.cv * mean) ** 2, mean)


@dataclass(frozen=True)
class IntermittentCounts(Distribution):
    """A demand day with probability p; then 1 + a count, whose mean keeps the expectation.

    Variance of the size = (size_cv x size)^2, or the count's mean where that is larger. Where less
    than p units a day are expected, sizes are 1 and demand days rarer than p.
    """

    probability: Setting
    size_cv: Setting

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """The quantile of the mixture: the uniforms above 1 - p, stretched, give the size."""
        del base
        probability = np.minimum(self.probability, expected)
        units = np.zeros(uniform.shape, np.int64)
        busy = uniform > 1 - probability
        share = np.broadcast_to(probability, uniform.shape)[busy]
        size = np.broadcast_to(expected, uniform.shape)[busy] / share
        cv = np.broadcast_to(self.size_cv, uniform.shape)[busy]
        within = (uniform[busy] - (1 - share)) / share
        units[busy] = 1 + invert_count(within, size - 1, (cv * size) ** 2)
        return units

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """That of the mixture: E[size²] p - mean²."""
        share = np.maximum(np.minimum(self.probability, mean), 1e-9)
        size = np.maximum(mean / share, 1.0)
        own = np.maximum((self.size_cv * size) ** 2, size - 1)
        return np.maximum(share * (own + size**2) - mean**2, 0.0)
