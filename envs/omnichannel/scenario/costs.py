"""Penalties, rates and fees of a scenario."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from envs.validation import Count, NonNegative, StrictModel


class Costs(StrictModel):
    """Money per unit, and per unit and period for holding and waiting."""

    lost_sale: NonNegative = 1.0
    late: NonNegative = 0.1  # online order that waits, per unit and period
    holding_store: NonNegative = 0.02
    holding_dc: NonNegative = 0.008
    # Of a SKU with a unit_cost instead: the share of it that a period in stock costs.
    holding_share_store: NonNegative | None = None
    holding_share_dc: NonNegative | None = None
    overflow: NonNegative = 0.05  # per unit above the capacity and period
    fixed_order: NonNegative = 0.0  # per supplier order line (SKU) placed
    transport: NonNegative = 0.03  # DC to store: times (1 + distance) per unit ...
    quantity_breaks: list[Count] = [40, 80]  # units a shipment
    quantity_rates: list[NonNegative] = [1.0, 0.85, 0.7]  # ... times the tier's rate
    truck_capacity: Count | None = None  # units; None: no trucks are paid
    truck_cost: NonNegative = 0.0  # per started truck and lane ...
    truck_cost_distance: NonNegative = 0.0  # ... and this more per distance band
    last_mile_store: NonNegative = 0.05
    last_mile_dc: NonNegative = 0.08
    last_mile_dc_distance: NonNegative = 0.02  # per unit and distance band
    return_base: NonNegative = 0.1  # per store, SKU and period in which anything comes back
    return_restock: NonNegative = 0.06
    return_consolidate: NonNegative = 0.05
    return_liquidate: NonNegative = 0.2
    return_scrap: NonNegative = 0.2
    return_mail: NonNegative = 0.08  # resaleable unit that came by mail to the DC
    waste: NonNegative = 0.5  # unit without a unit_cost that vanishes from a store or spoils there

    @model_validator(mode="after")
    def check_tiers(self) -> Self:
        """One rate more than breaks, breaks ascending."""
        if len(self.quantity_rates) != len(self.quantity_breaks) + 1:
            raise ValueError(
                f"quantity_rates has {len(self.quantity_rates)} values; "
                f"{len(self.quantity_breaks) + 1} are allowed (one more than quantity_breaks)"
            )
        if sorted(set(self.quantity_breaks)) != self.quantity_breaks:
            raise ValueError(f"quantity_breaks {self.quantity_breaks} must ascend")
        return self
