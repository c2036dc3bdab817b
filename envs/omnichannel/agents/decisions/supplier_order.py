"""The order that each DC places with its supplier."""

from __future__ import annotations

from typing import Any, ClassVar

from envs.omnichannel.agents.decisions.base import PLACE, Line, Quantity
from envs.omnichannel.scenario import Scenario


class SupplierOrder(Quantity):
    """Cover of the DC's echelon by SKU: days, lead time included, or sigmas."""

    name: ClassVar[str] = "supplier_order"
    target: ClassVar[str] = "supplier_gap"
    proposers: ClassVar[tuple[str, ...]] = ("ordering_high", "ordering_low")
    at_dcs: ClassVar[bool] = True
    lines: ClassVar[tuple[Line, ...]] = (Line("order", "supplier", PLACE, "supplied"),)

    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns echelon covers."""
        return [scenario.actions.dc_cover] * 2
