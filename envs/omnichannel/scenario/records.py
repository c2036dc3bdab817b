"""Settings of stock records that are not always right."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from envs.validation import Share, StrictModel


class Records(StrictModel):
    """Stores know their records; the world goes by what is on the shelf.

    Units vanish unrecorded. Every store-SKU is counted once in `counting_cycle` periods, on a day
    of its own; a count sets the record right, or wrong again.
    """

    accuracy: Share = 1.0  # share of store-SKU records that are right at the start
    shrinkage: Share = 0.0005  # chance of a unit in a store to vanish, per period
    counting_cycle: Annotated[int, Field(ge=1, le=3650)] = 28  # periods
    miscount: Share = 0.05  # share of counts whose result is wrong
    # A wrong record misses by 1 to 1 + error_size x stock units, up or down, all equally likely.
    error_size: Annotated[float, Field(ge=0, le=10)] = 0.2
