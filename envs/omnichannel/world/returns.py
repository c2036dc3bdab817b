"""Returns (eq. 2): which units come back, and when."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.data import load_return_delays
from envs.omnichannel.scenario import RecordedDelay, Scenario
from envs.omnichannel.types import Demand, FloatArray, IntArray, SeedArray, sum_channels
from envs.omnichannel.world import draws


class ReturnProcess:
    """Units that come back: lambda times the basis (sales or demand), spread over the delays.

    Attributes:
        delays: probability of a delay of 0, 1, ... days, (D,), sum 1.
        rate: lambda by SKU before the store's shift, (K,).
    """

    def __init__(self, scenario: Scenario) -> None:
        self.basis = scenario.returns.basis
        self.resaleable = scenario.returns.resaleable
        self.spread = scenario.returns.store_spread
        self.rate = np.array([scenario.categories[s.category].return_rate for s in scenario.skus])
        self.shape = (len(scenario.network.stores), len(scenario.skus))
        self.delays = _delay_distribution(scenario)
        cumulative = np.cumsum(self.delays)
        cumulative[-1] = 1.0  # not a rounding error less, or a unit could be forgotten
        self._cumulative = cumulative[:, None, None]

    def sample_rate(self, seed: SeedArray) -> FloatArray:
        """Draws each episode's return rates, (B, S, K): the category's +- the store's spread."""
        uniform = draws.sample_uniform(
            seed, np.zeros(len(seed), np.int64), draws.RETURN_RATE, self.shape
        )
        return np.clip(self.rate + self.spread * (2 * uniform - 1), 0, 1)

    def schedule(self, sold: IntArray, demand: Demand) -> IntArray:
        """Returns the units of a period that will come back after each delay.

        Source: eq. 2, returns = lambda x basis, over both channels. Expected returns are rounded by
        one uniform per cell along the cumulative delay distribution, so each delay's mean is
        exact, every value is an integer >= 0 and the sum is floor(lambda x basis + u).

        Args:
            sold: units handed over, (B, S, K, C).
            demand: of the period, with its rounding draws.

        Returns:
            Units by delay, (B, D, S, K).
        """
        basis = sold if self.basis == "sales" else demand.units
        expected = demand.return_rate * sum_channels(basis)
        counted = expected[:, None] * self._cumulative
        counted += demand.return_rounding[:, None]
        by_delay: IntArray = counted.astype(np.int64)  # rounds down: all are positive
        by_delay[:, 1:] -= by_delay[:, :-1].copy()
        return by_delay

    def scrap(self, returned: IntArray, demand: Demand) -> IntArray:
        """Returns the units, (B, S, K), that cannot be sold again."""
        expected = returned * (1 - self.resaleable)
        scrapped = np.floor(expected + demand.scrap_rounding).astype(np.int64)
        return np.minimum(scrapped, returned)


def _delay_distribution(scenario: Scenario) -> FloatArray:
    delay = scenario.returns.delay
    if isinstance(delay, RecordedDelay):
        return np.concatenate([[0.0], load_return_delays()])
    probabilities = np.zeros(delay.high + 1)
    probabilities[delay.low :] = 1 / (delay.high + 1 - delay.low)
    return probabilities
