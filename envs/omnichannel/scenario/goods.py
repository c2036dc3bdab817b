"""The SKUs and their categories."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from envs.validation import NonNegative, Share, StrictModel

Name = Annotated[str, Field(min_length=1, max_length=100)]
Demand = Annotated[float, Field(ge=0, le=1e6)]  # units a period


class Sku(StrictModel):
    """A stock keeping unit; demand is units a period in a store of size 1."""

    name: Name
    category: Name
    store_demand: Demand = 0.0
    online_demand: Demand = 0.0
    pickup_demand: Demand = 0.0  # bought online, collected in the store
    season_phase: Annotated[float, Field(ge=-100, le=100)] = 0.0  # radians
    shelf_life: Annotated[int, Field(ge=1, le=180)] | None = None  # days in a store; None: forever
    # Penalties of its own; None: as in `costs`.
    store_lost_sale: NonNegative | None = None
    online_lost_sale: NonNegative | None = None
    pickup_lost_sale: NonNegative | None = None
    late: NonNegative | None = None


class Category(StrictModel):
    """What the SKUs of a category share."""

    return_rate: Share = 0.1  # lambda of eq. 2
    resaleable: Share | None = None  # of its returns; None: as in `returns`
