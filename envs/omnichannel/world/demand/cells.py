"""Demand by cell of store, SKU and channel: its size before any noise, and its distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Drawn, Override
from envs.omnichannel.scenario.overrides import PARAMETERS, find_process
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.distributions import (
    Distribution,
    IntermittentCounts,
    NegativeBinomialCounts,
    NormalNoise,
    PoissonCounts,
)
from envs.omnichannel.world.demand.rounded import ClippedNormal, RoundedGamma, UniformUnits

# By process; their arguments are the settings that are the process's own.
DISTRIBUTIONS: dict[str, Callable[..., Distribution]] = {
    "seasonal_normal": NormalNoise,
    "poisson": PoissonCounts,
    "negative_binomial": NegativeBinomialCounts,
    "intermittent": IntermittentCounts,
    "rounded_gamma": RoundedGamma,
    "clipped_normal": ClippedNormal,
    "uniform": UniformUnits,
}


class Mixture(Distribution):
    """Cells of several distributions, each of which draws its own.

    Args:
        parts: cells among S x K x C, (n,), and their distribution; each cell is in one part.
    """

    def __init__(self, parts: list[tuple[IntArray, Distribution]]) -> None:
        self.parts = parts

    def invert(self, uniform: FloatArray, expected: FloatArray, base: FloatArray) -> IntArray:
        """What each cell's own distribution gives."""
        total = math.prod(uniform.shape[1:])
        flat = [array.reshape(-1, total) for array in (uniform, expected, base)]
        units = np.empty(flat[0].shape, np.int64)
        for cells, distribution in self.parts:
            own = (np.take(array, cells, axis=1) for array in flat)
            units[:, cells] = distribution.invert(*own)
        return units.reshape(uniform.shape)

    def compute_mean(self, mean: FloatArray) -> FloatArray:
        """Likewise; (S, K, C) alone."""
        return self._compute(mean, lambda distribution, own: distribution.compute_mean(own))

    def compute_variance(self, mean: FloatArray) -> FloatArray:
        """Likewise; (S, K, C) alone."""
        return self._compute(mean, lambda distribution, own: distribution.compute_variance(own))

    def _compute(
        self, mean: FloatArray, moment: Callable[[Distribution, FloatArray], FloatArray]
    ) -> FloatArray:
        found = np.empty(mean.size)
        for cells, distribution in self.parts:
            found[cells] = moment(distribution, mean.ravel()[cells])
        return found.reshape(mean.shape)


def make_nominal(scenario: Scenario, process: Drawn) -> FloatArray:
    """Returns expected units a period before they are rounded and clipped, (S, K, C)."""
    base = np.array(scenario.base_demand, dtype=np.float64)  # (K, C)
    size = np.array([store.size for store in scenario.network.stores])
    nominal: FloatArray = size[:, None, None] * base
    total = base.sum(axis=1, keepdims=True)
    share = np.divide(base, total, out=np.zeros_like(base), where=total > 0)
    for override, pairs in _find_pairs(scenario, process):
        if override.demand is not None:
            nominal[pairs] = override.demand * share[pairs[1]]
    if (carried := scenario.carried) is not None:
        nominal *= carried[..., None]
    return nominal


def make_distribution(scenario: Scenario, process: Drawn) -> Distribution:
    """Returns the distribution of all cells, (S, K, C)."""
    kinds = [find_process(process)]
    kind = np.zeros((len(scenario.network.stores), len(scenario.skus)), np.int64)
    for override, pairs in _find_pairs(scenario, process):
        if override.has_process:
            kind[pairs] = len(kinds)
            kinds.append(find_process(process, override))
    if len(kinds) == 1:
        name, settings = kinds[0]
        return DISTRIBUTIONS[name](**settings)
    by_cell = np.repeat(kind.ravel(), len(scenario.channels))
    names = np.array([name for name, _ in kinds])[by_cell]
    parts = []
    for name in np.unique(names).tolist():
        cells = np.flatnonzero(names == name)
        by_kind = {key: [own.get(key, 0.0) for _, own in kinds] for key in PARAMETERS[name]}
        arrays = {key: np.array(values)[by_cell[cells]] for key, values in by_kind.items()}
        parts.append((cells, DISTRIBUTIONS[name](**arrays)))
    return Mixture(parts)


def _find_pairs(
    scenario: Scenario, process: Drawn
) -> Iterator[tuple[Override, tuple[IntArray, IntArray]]]:
    """Each override with the stores, (s, 1), and the SKUs, (1, k), that make up its pairs."""
    stores = {store.name: i for i, store in enumerate(scenario.network.stores)}
    skus = {sku.name: i for i, sku in enumerate(scenario.skus)}
    for override in process.overrides or ():
        s = [stores[name] for name in override.stores or stores]
        k = [skus[name] for name in override.skus or skus]
        yield override, (np.array(s)[:, None], np.array(k)[None, :])
