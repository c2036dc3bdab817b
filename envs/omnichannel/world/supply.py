"""Limits of supply: announced cuts, and the capacities of suppliers and DCs."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.network import SupplyCuts
from envs.omnichannel.types import FloatArray, IntArray, Network, SeedArray, sum_axis
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation.largest_remainder import split_proportionally


class Supply:
    """Limits on orders and shipments; without any it passes both through."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.network = network
        self.cuts = scenario.supply_cuts
        self.horizon = scenario.horizon
        dcs = scenario.network.dcs
        self._order_capacity = _limits([dc.order_capacity for dc in dcs])
        self._shipment_capacity = _limits([dc.shipment_capacity for dc in dcs])

    def sample_confirmed(self, seed: SeedArray, period: IntArray) -> FloatArray | None:
        """Returns the share of an order that each DC's supplier confirms, (B, W).

        A window's place is a function of the episode's seed alone: it is the same whenever asked.
        """
        ahead = self.look_ahead(seed, period, 1)
        return None if ahead is None else ahead[..., 0]

    def announce(self, seed: SeedArray, period: IntArray) -> FloatArray | None:
        """Returns the confirmed shares from this period on, (B, W, notice + 1)."""
        return self.look_ahead(seed, period, self.cuts.notice + 1) if self.cuts else None

    def look_ahead(self, seed: SeedArray, period: IntArray, days: int) -> FloatArray | None:
        """Returns the confirmed shares of so many periods from this one on, (B, W, days)."""
        if self.cuts is None:
            return None
        return self._list_shares(self.cuts, self._place_windows(self.cuts, seed), period, days)

    def imagine_ahead(
        self, seed: SeedArray, period: IntArray, days: int, imagined: SeedArray
    ) -> FloatArray | None:
        """Returns what `look_ahead` does, but guesses the windows that are not announced yet.

        Given that it was not announced so far, a window's first day is uniform on those that are
        left to it.

        Args:
            seed: of the episodes, (B,).
            period: of each copy, (B,).
            days: from this period on.
            imagined: seeds of the guesses, (B,).
        """
        if self.cuts is None:
            return None
        first = self._place_windows(self.cuts, seed)
        earliest, latest = self._bound_windows(self.cuts)
        unknown = first > (period + self.cuts.notice)[:, None, None]
        earliest = np.maximum(earliest, (period + self.cuts.notice + 1)[:, None, None])
        uniform = self._sample_places(self.cuts, imagined)
        guess = earliest + np.floor(uniform * (latest - earliest + 1))
        return self._list_shares(self.cuts, np.where(unknown, guess, first), period, days)

    def _bound_windows(self, cuts: SupplyCuts) -> tuple[FloatArray, FloatArray]:
        """The earliest and the latest first day of each window, (windows, 1)."""
        part = self.horizon // cuts.windows
        earliest = part * np.arange(cuts.windows, dtype=np.float64)[:, None]
        return earliest, earliest + part - cuts.length

    def _sample_places(self, cuts: SupplyCuts, seed: SeedArray) -> FloatArray:
        """Uniforms that place the windows, (B, windows, W)."""
        shape = (cuts.windows, self.network.num_dcs)
        return draws.sample_uniform(seed, np.zeros(len(seed), np.int64), draws.SUPPLY_CUT, shape)

    def _place_windows(self, cuts: SupplyCuts, seed: SeedArray) -> FloatArray:
        """The windows' first days, (B, windows, W)."""
        earliest, latest = self._bound_windows(cuts)
        uniform = self._sample_places(cuts, seed)
        place: FloatArray = earliest + np.floor(uniform * (latest - earliest + 1))
        return place

    @staticmethod
    def _list_shares(
        cuts: SupplyCuts, first: FloatArray, period: IntArray, days: int
    ) -> FloatArray:
        """The confirmed shares from a period on, given the windows' first days."""
        since = period[:, None, None] - first  # (B, windows, W)
        ahead = since[..., None] + np.arange(days)
        cut = ((ahead >= 0) & (ahead < cuts.length)).any(axis=1)
        return np.where(cut, cuts.share, 1.0)

    def confirm(self, orders: IntArray, confirmed: FloatArray | None) -> IntArray:
        """Returns what suppliers deliver of the orders, (B, W, K) units.

        First the cut, rounded half up, then the capacity, shared among SKUs in proportion.
        """
        if confirmed is not None:
            orders = np.floor(orders * confirmed[..., None] + 0.5).astype(np.int64)
        if self._order_capacity is None:
            return orders
        total = np.minimum(sum_axis(orders, 2), self._order_capacity)
        return split_proportionally(orders, total)

    def limit_shipments(self, shipped: IntArray) -> IntArray:
        """Returns what DCs can dispatch, (B, S, K); a full DC cuts all lines in proportion."""
        if self._shipment_capacity is None:
            return shipped
        limited = shipped.copy()
        for w, stores in enumerate(self.network.members):
            lines = shipped[:, stores].reshape(len(shipped), -1)
            total = np.minimum(lines.sum(axis=1), self._shipment_capacity[w])
            limited[:, stores] = split_proportionally(lines, total).reshape(
                len(shipped), len(stores), -1
            )
        return limited


def _limits(capacities: list[int | None]) -> IntArray | None:
    """Capacities by DC, (W,); None if there is none at all."""
    if all(capacity is None for capacity in capacities):
        return None
    unlimited = np.iinfo(np.int64).max
    return np.array([unlimited if c is None else c for c in capacities], dtype=np.int64)
