"""The interface of a demand process, for the simulator, the forecasts and the reward's scale."""

from __future__ import annotations

from typing import Literal, Protocol

from envs.omnichannel.types import FloatArray, IntArray, SeedArray, State

Split = Literal["train", "evaluate"]


class DemandProcess(Protocol):
    """A strategy that draws a period's units for all copies at once.

    All draws are functions of (seed, period), so that no decision changes them. What a process
    remembers of the past is the log drift, which lives in the state.
    """

    mean: FloatArray  # (S, K, C) expected units a period, season and promotions left out
    scale: FloatArray  # (S, K, C) units a period by which eq. 8 divides; no policy knows it
    variance: FloatArray  # (S, K) units² of a day's total over the channels, at the mean
    season: FloatArray  # (days, S, K) known factor of the mean by calendar day; 0 where closed
    notice: int  # days ahead from which promotions are announced

    def sample_start(self, seed: SeedArray, horizon: int, split: Split) -> IntArray:
        """Draws the calendar day on which each episode begins, (B,)."""

    def mean_before(self, day: IntArray) -> FloatArray:
        """The mean that is known when an episode begins on a day, (B,) to (B, S, K, C) units."""

    def sample_log_drift(self, seed: SeedArray) -> FloatArray | None:
        """Draws the log drift of an episode's first day, (B, S, K); None without drift."""

    def step_log_drift(self, state: State) -> FloatArray | None:
        """Draws the log drift of the day after the state's, (B, S, K) or None."""

    def compute_uplift(self, state: State, ahead: int = 0) -> FloatArray | None:
        """The promotions' factor of the mean `ahead` days on, (B, 1, K, 1); None without any."""

    def expect_units(self, state: State, ahead: int = 0) -> FloatArray:
        """The true expected demand `ahead` days on, given the state's drift, (B, S, K, C) units.

        It knows promotions beyond their notice. Rounding and clipping at zero are left out.
        """

    def sample_units(self, state: State) -> IntArray:
        """Draws the demand of the state's day, (B, S, K, C) units."""
