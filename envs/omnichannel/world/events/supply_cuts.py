"""Event 3: announced windows in which suppliers confirm only a share of every order."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, SeedArray, State
from envs.omnichannel.world import draws
from envs.omnichannel.world.period import Event, Period


class CutSupply(Event):
    """Suppliers confirm a share of the orders in some windows of the episode.

    A window's place is a function of the episode's seed alone: it is the same whenever asked.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        assert scenario.supply_cuts is not None, "the event is off"
        self.cuts = scenario.supply_cuts
        self.horizon = scenario.horizon

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where the scenario has `supply_cuts`."""
        return scenario.supply_cuts is not None

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Returns the share of an order that each DC's supplier confirms, (B, W)."""
        return {"confirmed": self.look_ahead(state.seed, state.period, 1)[..., 0]}

    def announce(self, seed: SeedArray, period: IntArray) -> FloatArray:
        """Returns the confirmed shares from this period on, (B, W, notice + 1)."""
        return self.look_ahead(seed, period, self.cuts.notice + 1)

    def look_ahead(self, seed: SeedArray, period: IntArray, days: int) -> FloatArray:
        """Returns the confirmed shares of so many periods from this one on, (B, W, days)."""
        return self._list_shares(self._place_windows(seed), period, days)

    def imagine_ahead(
        self, seed: SeedArray, period: IntArray, days: int, imagined: SeedArray
    ) -> FloatArray:
        """Returns what `look_ahead` does, but guesses the windows that are not announced yet.

        Given that it was not announced so far, a window's first day is uniform on those that are
        left to it.

        Args:
            seed: of the episodes, (B,).
            period: of each copy, (B,).
            days: from this period on.
            imagined: seeds of the guesses, (B,).
        """
        first = self._place_windows(seed)
        earliest, latest = self._bound_windows()
        unknown = first > (period + self.cuts.notice)[:, None, None]
        earliest = np.maximum(earliest, (period + self.cuts.notice + 1)[:, None, None])
        uniform = self._sample_places(imagined)
        guess = earliest + np.floor(uniform * (latest - earliest + 1))
        return self._list_shares(np.where(unknown, guess, first), period, days)

    def _bound_windows(self) -> tuple[FloatArray, FloatArray]:
        """The earliest and the latest first day of each window, (windows, 1)."""
        cuts = self.cuts
        part = self.horizon // cuts.windows
        earliest = part * np.arange(cuts.windows, dtype=np.float64)[:, None]
        return earliest, earliest + part - cuts.length

    def _sample_places(self, seed: SeedArray) -> FloatArray:
        """Uniforms that place the windows, (B, windows, W)."""
        shape = (self.cuts.windows, self.network.num_dcs)
        return draws.sample_uniform(seed, np.zeros(len(seed), np.int64), draws.SUPPLY_CUT, shape)

    def _place_windows(self, seed: SeedArray) -> FloatArray:
        """The windows' first days, (B, windows, W)."""
        earliest, latest = self._bound_windows()
        uniform = self._sample_places(seed)
        place: FloatArray = earliest + np.floor(uniform * (latest - earliest + 1))
        return place

    def _list_shares(self, first: FloatArray, period: IntArray, days: int) -> FloatArray:
        """The confirmed shares from a period on, given the windows' first days."""
        since = period[:, None, None] - first  # (B, windows, W)
        ahead = since[..., None] + np.arange(days)
        cut = ((ahead >= 0) & (ahead < self.cuts.length)).any(axis=1)
        return np.where(cut, self.cuts.share, 1.0)

    def apply(self, period: Period) -> None:
        """Cuts the supplier orders."""
        confirmed = period.demand.confirmed
        assert confirmed is not None, "supply cuts need the period's shares"
        period.flows["supplied"] = self.confirm(period.flows["supplied"], confirmed)

    @staticmethod
    def confirm(orders: IntArray, confirmed: FloatArray) -> IntArray:
        """Returns what suppliers deliver of the orders, (B, W, K) units, rounded half up."""
        return np.floor(orders * confirmed[..., None] + 0.5).astype(np.int64)
