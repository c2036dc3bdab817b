"""Discounted returns of the pool's transitions, summed when episodes are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from envs.omnichannel.types import Float32Array, IntArray


@dataclass(frozen=True)
class Returns:
    """Discounted sums of rewards that a level learns from, up to its next observation.

    All episodes are equally long, so when a return begins and ends depends on the decision alone.
    """

    sums: Float32Array  # (E, T', R, K)
    times: IntArray  # period of the decision, (T',)
    next_times: IntArray  # period of the next observation, (T',)
    discounts: Float32Array  # of its value, (T',)
    gamma: float  # a period

    @classmethod
    def zeros(
        cls,
        episodes: int,
        times: IntArray,
        span: int,
        cells: tuple[int, int],
        horizon: int,
        gamma: float,
    ) -> Self:
        """Room for some episodes, none of them stored.

        Args:
            episodes: E.
            times: periods of the decisions, (T',).
            span: periods that a return reaches ahead, if the episode is that long.
            cells: rows R and SKUs K.
            horizon: periods of an episode.
            gamma: discount a period.
        """
        next_times = np.minimum(times + span, horizon)
        discounts = (gamma ** (next_times - times)).astype(np.float32)
        sums = np.zeros((episodes, len(times), *cells), np.float32)
        return cls(sums, times, next_times, discounts, gamma)

    def store(self, slots: IntArray, rewards: Float32Array) -> None:
        """Sums the rewards, (B, T, R, K), of the episodes that go to these slots, (B,)."""
        total = np.zeros((len(rewards), *self.sums.shape[1:]), np.float32)
        for i in range(int((self.next_times - self.times).max())):
            inside = self.times + i < self.next_times
            total[:, inside] += self.gamma**i * rewards[:, self.times[inside] + i]
        self.sums[slots] = total
