"""Stock records of the stores that drift away from the shelves, and the counts that mend them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, SeedArray, State
from envs.omnichannel.world import draws


class RecordKeeping:
    """Keeps `State.record_error` = record - truth of the stores' stock on hand, (B, S, K).

    Receipts, sales and returns change record and truth alike, so the error only changes when units
    vanish (the record does not notice), when the last recorded unit is sold and another one is
    found behind it (the record stays at zero) and when the cell is counted. DCs do not err.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.rules = scenario.records
        self.network = network
        self.shape = (network.num_stores, network.num_skus)
        # Neighbouring cells are counted on different days, as a store spreads the work.
        self._offset = np.arange(network.num_stores * network.num_skus).reshape(self.shape)

    def make_error(self, seed: SeedArray, on_hand: IntArray) -> IntArray:
        """Returns the error at the start of an episode, (B, S, K); S is 0 without errors."""
        if self.rules is None:
            return np.zeros((len(seed), 0, self.network.num_skus), np.int64)
        start = np.zeros(len(seed), np.int64)
        uniform = draws.sample_uniform(seed, start, draws.RECORD_START, self.shape)
        stores = on_hand[:, self.network.num_dcs :]
        return self._err(uniform, 1 - self.rules.accuracy, stores)

    def sample_draws(self, seed: SeedArray, period: IntArray) -> FloatArray | None:
        """Draws a period's uniforms for shrinkage and counts, (B, 2, S, K)."""
        if self.rules is None:
            return None
        return draws.sample_uniform(seed, period, draws.RECORDS, (2, *self.shape))

    def shrink(self, on_hand: IntArray, uniform: FloatArray) -> IntArray:
        """Returns the units that vanish of a store's stock, (B, S, K); the mean is exact."""
        rate = 0.0 if self.rules is None else self.rules.shrinkage
        return np.minimum(np.floor(rate * on_hand + uniform[:, 0]).astype(np.int64), on_hand)

    def update_error(
        self, state: State, on_hand: IntArray, shrunk: IntArray, uniform: FloatArray
    ) -> IntArray:
        """Returns the error at the end of a period, (B, S, K).

        Args:
            state: at its beginning.
            on_hand: of the stores at its end, (B, S, K).
            shrunk: units that vanished in it, (B, S, K).
            uniform: of the period, (B, 2, S, K).
        """
        if self.rules is None:
            return state.record_error
        # A till that sells a unit unknown to the record leaves the record at zero, not below.
        error = np.maximum(state.record_error, -(on_hand + shrunk)) + shrunk
        day = state.period[:, None, None] + 1 + self._offset
        counted = day % self.rules.counting_cycle == 0
        return np.where(counted, self._err(uniform[:, 1], self.rules.miscount, on_hand), error)

    def show(self, state: State) -> State:
        """Returns the state as the records have it; without errors the state itself."""
        if self.rules is None:
            return state
        on_hand = state.on_hand.copy()
        on_hand[:, self.network.num_dcs :] += state.record_error
        return replace(state, on_hand=on_hand, record_error=np.zeros_like(state.record_error))

    def _err(self, uniform: FloatArray, share: float, on_hand: IntArray) -> IntArray:
        """Errors of `share` of the cells, each from one uniform: whether, which way, how much."""
        size = 0.0 if self.rules is None else self.rules.error_size
        part = 2 * uniform / max(share, 1e-12)  # below 2 where the record is wrong
        units = 1 + np.floor(part % 1 * (1 + size * on_hand)).astype(np.int64)
        error = np.where(part < 1, -np.minimum(units, on_hand), units)
        return np.where(part < 2, error, 0)
