"""The SKUs and their categories."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from envs.validation import LARGEST, NonNegative, Share, StrictModel

Name = Annotated[str, Field(min_length=1, max_length=100)]
Demand = Annotated[float, Field(ge=0, le=1e6)]  # units a period
Money = Annotated[float, Field(ge=0, le=LARGEST)]


class Sku(StrictModel):
    """A stock keeping unit; demand is units a period in a store of size 1."""

    name: Name
    category: Name
    store_demand: Demand = 0.0
    online_demand: Demand = 0.0
    pickup_demand: Demand = 0.0  # bought online, collected in the store
    season_phase: Annotated[float, Field(ge=-100, le=100)] = 0.0  # radians
    shelf_life: Annotated[int, Field(ge=1, le=180)] | None = None  # days in a store; None: forever
    # Money a unit. What the SKU is worth sets its margin, holding and waste; None: as in `costs`.
    price: Money | None = None
    unit_cost: Money | None = None
    weight: NonNegative | None = None  # of a unit, in any unit of weight; for suppliers' minimums
    # Penalties of its own; None: its margin, or as in `costs`.
    store_lost_sale: NonNegative | None = None
    online_lost_sale: NonNegative | None = None
    pickup_lost_sale: NonNegative | None = None
    late: NonNegative | None = None

    @model_validator(mode="after")
    def check_price(self) -> Self:
        """A price brings a margin; who sells below cost says what a lost sale is worth."""
        if self.price is None:
            return self
        if self.unit_cost is None:
            raise ValueError("unit_cost: is needed beside a price")
        has_penalties = None not in (self.store_lost_sale, self.online_lost_sale)
        if self.price < self.unit_cost and not has_penalties:
            raise ValueError(
                f"price: {self.price:g} is below unit_cost {self.unit_cost:g}; store_lost_sale and "
                "online_lost_sale are needed then"
            )
        return self

    @property
    def margin(self) -> float | None:
        """Money that a unit sold brings beyond what it cost; None: not known."""
        if self.price is None or self.unit_cost is None:
            return None
        return max(self.price - self.unit_cost, 0.0)


class Category(StrictModel):
    """What the SKUs of a category share."""

    return_rate: Share = 0.1  # lambda of eq. 2
    resaleable: Share | None = None  # of its returns; None: as in `returns`
