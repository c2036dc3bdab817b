"""Features that tell how demand scatters, by row (DCs, stores, network) and SKU."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.agents.protection import Protection, average_days
from envs.omnichannel.types import LOWEST_RATE, FloatArray, Network, View, sum_channels

# Only where `observation.spread` is on.
SPREAD_FEATURES = ("cv", "position_in_sigmas", "zero_share", "silent", "factor_ahead")
_LEAST_DEVIATION = LOWEST_RATE**0.5  # units; Poisson's at the lowest rate that is told apart
_LOWEST_CV = 0.007  # its log is as low as observations go


class SpreadFeatures:
    """Tells how demand scatters until the next order arrives, and how often there is none.

    - `cv`: log of standard deviation / mean of the demand over lead time and review.
    - `position_in_sigmas`: inventory position minus that mean, in standard deviations, as asinh:
      linear around the mean, and never beyond what observations hold.
    - `zero_share`: 2 x the share of days without a sale - 1.
    - `silent`: log(1 + days without one since the last sale) / 2.
    - `factor_ahead`: 3 x (what weekday, season and announced promotions make of an average day
      until the next order arrives - 1).

    Rows of DCs and of the network hold the sums of their stores' means and variances, the mean of
    their shares and factors, and the shortest time since a sale.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.protection = Protection(network)

    def compute(self, view: View) -> FloatArray:
        """Returns the features, (B, N + 1, K, 5), which the caller clips."""
        assert view.zero_share is not None, "a forecast that does not count days of sale"
        assert view.silent is not None, "a forecast that does not count days of sale"
        protection, level = self.protection.at(view.day), sum_channels(view.smoothed)
        own = protection.measure_stores(view.ahead, level, view.variance)
        below = protection.measure_echelons(view.ahead, level, view.variance)
        mean = _stack(below.mean, own.mean, below.mean.sum(axis=1))
        variance = _stack(below.variance, own.variance, below.variance.sum(axis=1))
        deviation = np.maximum(np.sqrt(variance), _LEAST_DEVIATION)
        beyond = count_positions(view, self.network).rows - mean
        return np.stack(
            [
                np.log(np.maximum(deviation / np.maximum(mean, LOWEST_RATE), _LOWEST_CV)),
                np.arcsinh(beyond / deviation),
                2 * self._average(view.zero_share) - 1,
                np.log1p(self._find_latest(view.silent)) / 2,
                3 * (self._average_factor(protection, view.ahead) - 1),
            ],
            axis=-1,
        )

    def _average(self, by_store: FloatArray) -> FloatArray:
        """By row, (B, N + 1, K), of (B, S, K): means over the stores below."""
        by_dc = [by_store[:, own].mean(axis=1) for own in self.network.members]
        return _stack(np.stack(by_dc, axis=1), by_store, by_store.mean(axis=1))

    def _find_latest(self, silent: FloatArray) -> FloatArray:
        """By row, (B, N + 1, K): the shortest time since a sale."""
        by_dc = [silent[:, own].min(axis=1) for own in self.network.members]
        return _stack(np.stack(by_dc, axis=1), silent, silent.min(axis=1))

    def _average_factor(self, protection: Protection, ahead: FloatArray) -> FloatArray:
        """By row, (B, N + 1, K): of an average day until the next order arrives."""
        parent = self.network.parent
        stores = average_days(ahead, protection.store_days)
        echelons = average_days(ahead, protection.echelon_days)
        by_dc = [echelons[:, parent == w].mean(axis=1) for w in range(self.network.num_dcs)]
        return _stack(np.stack(by_dc, axis=1), stores, echelons.mean(axis=1))


def _stack(dcs: FloatArray, stores: FloatArray, network: FloatArray) -> FloatArray:
    """All rows, (B, N + 1, K), of (B, W, K), (B, S, K) and (B, K)."""
    return np.concatenate([dcs, stores, network[:, None]], axis=1)
