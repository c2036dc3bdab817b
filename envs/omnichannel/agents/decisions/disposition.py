"""The disposition of units that come back to each store."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.agents.decisions.base import DC, PLACE, Goal, Line, Share
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import CONSOLIDATE, LIQUIDATE, RESTOCK, FloatArray
from envs.omnichannel.world.allocation.lots import Lots


class Disposition(Share):
    """Shares that are restocked, consolidated to the DC and liquidated, sum 1."""

    name: ClassVar[str] = "disposition"
    target: ClassVar[str] = "disposition"
    proposers: ClassVar[tuple[str, ...]] = ("return_high", "return_low")
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("goal_restock", "return"), Goal("goal_consolidate", "return"),
    )  # fmt: skip
    lines: ClassVar[tuple[Line, ...]] = (
        Line("restock", "customers", PLACE, "restocked", lambda s: s[..., RESTOCK]),
        Line("consolidate", "customers", DC, "consolidated", lambda s: s[..., CONSOLIDATE]),
        Line("liquidate", "customers", "sale", "liquidated", lambda s: s[..., LIQUIDATE]),
    )

    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns shares, (L, 3)."""
        return [scenario.actions.disposition] * 2

    def list_goals(self) -> list[FloatArray]:
        """Returns what the high level restocks and consolidates; liquidated is the rest."""
        return [self.grids[0][:, 0], self.grids[0][:, 1]]

    @classmethod
    def settle(
        cls, target: FloatArray, *, whole_trucks: bool = False, lots: Lots | None = None
    ) -> FloatArray:
        """Returns shares within [0, 1] whose sum is 1; all is restocked where it was 0."""
        del whole_trucks, lots
        return project_shares(np.ascontiguousarray(target, np.float64))


@compiled
def project_shares(shares: FloatArray) -> FloatArray:
    """Clips disposition shares, (B, S, K, 3), and makes their sum 1; restocks all where it is 0."""
    projected = np.empty(shares.shape)
    to, given = projected.reshape(-1, 3), shares.reshape(-1, 3)
    for i in range(len(to)):
        total = 0.0
        for j in range(3):
            to[i, j] = min(max(given[i, j], 0.0), 1.0)
            total += to[i, j]
        for j in range(3):
            nothing = 1.0 if j == RESTOCK else 0.0
            to[i, j] = to[i, j] / max(total, 1e-12) if total > 0 else nothing
    return projected
