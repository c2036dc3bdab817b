"""The oracle of recorded demand: it knows what each coming day will bring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.omnichannel.forecast.strategies import Oracle
from envs.omnichannel.types import FloatArray, IntArray, Known, State, sum_channels

_LOWEST_LEVEL = 1e-6  # units a day; the factors of the days ahead are shares of the level


class Foresight(Oracle):
    """The recorded units of every day ahead, with no doubt about them.

    Rules that order by mean and variance then order what will be sold until the next order arrives,
    so their cost is that of lead times and fixed sizes alone. No retailer has it.
    """

    def begin(self, day: IntArray) -> Known:
        """Returns the level of the days before, and no variance."""
        return self._settle(super().begin(day))

    def update(self, known: Known, demand: IntArray, state: State) -> Known:
        """Returns the level after the day, and no variance."""
        return self._settle(super().update(known, demand, state))

    def look_ahead(self, known: Known, state: State) -> FloatArray:
        """Returns the units of the next 1 to H days as shares of the level, (B, H, S, K)."""
        days = self._ahead.shape[1]
        by_day = [sum_channels(self.process.expect_units(state, ahead)) for ahead in range(days)]
        total: FloatArray = np.cumsum(np.stack(by_day, axis=1), axis=1)
        return total / sum_channels(known.smoothed)[:, None]

    def _settle(self, known: Known) -> Known:
        level = np.maximum(known.smoothed, _LOWEST_LEVEL)
        return replace(known, smoothed=level, variance=np.zeros_like(known.variance))
