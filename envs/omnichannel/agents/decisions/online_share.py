"""The share of its online orders that each store serves itself."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from envs.omnichannel.agents.decisions.base import DC, PLACE, Goal, Line, Share
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray


class OnlineShare(Share):
    """The share that the store serves; the DC serves the rest."""

    name: ClassVar[str] = "online_share"
    target: ClassVar[str] = "online_share"
    proposers: ClassVar[tuple[str, ...]] = ("shipping_high", "shipping_low")
    goals: ClassVar[tuple[Goal, ...]] = (Goal("goal_online_share", "shipping"),)
    lines: ClassVar[tuple[Line, ...]] = (
        Line("online", PLACE, "customers", "online_from_store"),
        Line("online", DC, "customers", "online_from_dc", lambda share: 1 - share),
    )

    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns shares; a shipper's option also says a push cover, which varies slowest."""
        grid = scenario.actions
        return [np.tile(grid.online_share, len(grid.push_cover))] * 2

    def list_goals(self) -> list[FloatArray]:
        """Returns the shares of the high level."""
        return [self.grids[0][:, 0]]
