"""Event 7: units vanish from the stores, and counts mend the stock records that miss them.

`State.record_error` = record - truth of the stores' stock on hand, (B, S, K). Receipts, sales and
returns change record and truth alike, so the error only changes when units vanish (the record does
not notice), when the last recorded unit is sold and another one is found behind it (the record
stays at zero) and when the cell is counted. DCs do not err.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, SeedArray, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.period import Event, Fields, Period


class _RecordEvent(Event):
    """Both events of the scenario's `records`."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        assert scenario.records is not None, "the event is off"
        self.rules = scenario.records
        self.shape = (network.num_stores, network.num_skus)

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where the scenario has `records`."""
        return scenario.records is not None


class Shrink(_RecordEvent):
    """Units vanish from the stores unnoticed."""

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Draws the period's uniforms for shrinkage and for counts, (B, 2, S, K)."""
        shape = (2, *self.shape)
        return {
            "record_draws": draws.sample_uniform(state.seed, state.period, draws.RECORDS, shape)
        }

    def apply(self, period: Period) -> None:
        """Takes what vanishes out of the stores."""
        assert period.demand.record_draws is not None, "records need the period's draws"
        stores = period.on_hand[:, self.network.num_dcs :]
        shrunk = self.shrink(stores, period.demand.record_draws)
        stores -= shrunk
        period.flows["shrunk"] = shrunk

    def shrink(self, on_hand: IntArray, uniform: FloatArray) -> IntArray:
        """Returns the units that vanish of a store's stock, (B, S, K); the mean is exact."""
        expected = self.rules.shrinkage * on_hand
        return np.minimum(np.floor(expected + uniform[:, 0]).astype(np.int64), on_hand)


class Count(_RecordEvent):
    """Every cell is counted on its day, which sets its record right, or wrong again."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        # Neighbouring cells are counted on different days, as a store spreads the work.
        self._offset = np.arange(network.num_stores * network.num_skus).reshape(self.shape)

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Draws `record_error` at the start of an episode."""
        start = np.zeros(len(seed), np.int64)
        uniform = draws.sample_uniform(seed, start, draws.RECORD_START, self.shape)
        stores = on_hand[:, self.network.num_dcs :]
        return {"record_error": self._err(uniform, 1 - self.rules.accuracy, stores)}

    def apply(self, period: Period) -> None:
        """Updates the errors by what vanished, was sold out and was counted."""
        assert period.demand.record_draws is not None, "records need the period's draws"
        error = self.update_error(
            period.state,
            period.on_hand[:, self.network.num_dcs :],
            period.flows["shrunk"],
            period.demand.record_draws,
        )
        period.flows["record_error"] = period.after["record_error"] = error

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
        assert state.record_error is not None, "the event is on"
        # A till that sells a unit unknown to the record leaves the record at zero, not below.
        error = np.maximum(state.record_error, -(on_hand + shrunk)) + shrunk
        day = state.period[:, None, None] + 1 + self._offset
        counted = day % self.rules.counting_cycle == 0
        return np.where(counted, self._err(uniform[:, 1], self.rules.miscount, on_hand), error)

    def show(self, state: State) -> State:
        """Returns the state as the records have it."""
        assert state.record_error is not None, "the event is on"
        on_hand = state.on_hand.copy()
        on_hand[:, self.network.num_dcs :] += state.record_error
        return replace(state, on_hand=on_hand, record_error=np.zeros_like(state.record_error))

    def _err(self, uniform: FloatArray, share: float, on_hand: IntArray) -> IntArray:
        """Errors of `share` of the cells, each from one uniform: whether, which way, how much."""
        part = 2 * uniform / max(share, 1e-12)  # below 2 where the record is wrong
        most = 1 + self.rules.error_size * on_hand
        units = 1 + np.floor(part % 1 * most).astype(np.int64)
        error = np.where(part < 1, -np.minimum(units, on_hand), units)
        found = np.where(part < 2, error, 0)
        carried = self.network.carried
        return found if carried is None else found * carried[self.network.num_dcs :]
