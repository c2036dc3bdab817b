"""The order that each DC places with its supplier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.omnichannel.agents.decisions.base import Known, Quantity
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, Network


class SupplierOrder(Quantity):
    """Days of cover of the DC's echelon, lead time included, by SKU."""

    name: ClassVar[str] = "supplier_order"
    target: ClassVar[str] = "supplier_gap"
    proposers: ClassVar[tuple[str, ...]] = ("ordering_high", "ordering_low")
    at_dcs: ClassVar[bool] = True

    def __init__(self, scenario: Scenario, network: Network, rows: Mapping[str, slice]) -> None:
        super().__init__(scenario, network, rows)
        self._lead_time = np.zeros(network.num_dcs)

    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns days of echelon cover."""
        return [scenario.actions.dc_cover] * 2

    def get_basis(self, known: Known) -> tuple[FloatArray, FloatArray, int]:
        """Returns no lead time, which the covers include, and the DCs' echelons."""
        return self._lead_time, known.system_rate, 0
