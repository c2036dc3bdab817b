"""The service's messages: a stock count as JSON, and what is answered beside a recommendation."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from envs.validation import StrictModel
from marl.planning.recommendation import JSON_INTEGER, Day, Goals
from marl.planning.stock_cells import MOST_UNITS, Cell

# Numbers alone: true is no count of anything.
Amount = Annotated[float, Field(ge=0, le=MOST_UNITS, strict=True)]


class StockRow(BaseModel):
    """A node's SKU. Further properties are the other columns of the stock count's CSV."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Amount] = Field(init=False)

    node: str
    sku: str
    on_hand: Annotated[int, Field(strict=True, ge=0, le=MOST_UNITS), JSON_INTEGER]

    def list_cells(self) -> dict[str, Cell]:
        """Returns values by column."""
        own: dict[str, Cell] = {"node": self.node, "sku": self.sku, "on_hand": self.on_hand}
        return own | (self.model_extra or {})


class CountedStock(StrictModel):
    """The stock before the day opens: a row for every node and SKU of the scenario."""

    day: Day
    rows: list[StockRow]
    goals: Goals | None = None  # of the latest recommendation from a day before; without: a review


class Health(StrictModel):
    """What the service answers with."""

    status: str
    policy: str
    scenario: str


class Problem(StrictModel):
    """What is wrong with a request, in one line: field, value, what is allowed."""

    error: str
