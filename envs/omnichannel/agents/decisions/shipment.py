"""The shipment that each store asks of its DC."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from envs.omnichannel.agents.decisions.base import DC, PLACE, Goal, Line, Quantity
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.allocation.largest_remainder import round_jointly
from envs.omnichannel.world.allocation.lots import Lots


class Shipment(Quantity):
    """Cover of the store by SKU: days beyond its lead time, or sigmas.

    Shippers propose a push: that of the high level goes to all stores of a DC at once, and is kept
    within what the DC holds by the same factor for each.
    """

    name: ClassVar[str] = "shipment"
    target: ClassVar[str] = "shipment_gap"
    proposers: ClassVar[tuple[str, ...]] = (
        "ordering_high", "ordering_low", "shipping_high", "shipping_low",
    )  # fmt: skip
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("goal_cover", "ordering"), Goal("goal_push_cover", "shipping"),
    )  # fmt: skip
    lines: ClassVar[tuple[Line, ...]] = (Line("shipment", DC, PLACE, "shipped"),)
    pushed: ClassVar[int] = proposers.index("shipping_high")

    @property
    def lead_time(self) -> FloatArray:
        """Periods of each store's lane, (S,)."""
        return self.network.lane_lead_time.astype(np.float64)

    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns covers; a shipper's option also says an online share, varying fastest."""
        grid = scenario.actions
        push = np.repeat(grid.push_cover, len(grid.online_share))
        return [grid.store_cover, grid.store_cover, push, push]

    def list_goals(self) -> list[FloatArray]:
        """Returns the covers of both high-level agents."""
        most_likely = 2 if self.in_sigmas else 4  # of the covers, shown as 0
        return [self.grids[p][:, 0] / most_likely - 1 for p in (0, self.pushed)]

    @classmethod
    def settle(
        cls, target: FloatArray, *, whole_trucks: bool = False, lots: Lots | None = None
    ) -> IntArray:
        """Returns units; those of a full truck are rounded together, so that it stays one truck."""
        if not whole_trucks:
            return super().settle(target, lots=lots)
        if lots is not None:
            return lots.settle(target, jointly=True)
        return round_jointly(np.maximum(target, 0))
