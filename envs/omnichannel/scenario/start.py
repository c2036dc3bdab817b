"""The start state: the stock that every episode begins with, where a scenario gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Name
from envs.validation import StrictModel

Units = Annotated[int, Field(ge=0, le=100_000_000)]
Ahead = Annotated[int, Field(ge=1, le=180)]  # periods, as long as a lead time may be
_MOST_NAMED = 20  # of what is allowed, in a message


class Start(StrictModel):
    """Units on hand and on their way when an episode begins; 0 where none are named.

    They stand here, by location and SKU, or in a CSV file beside the scenario's.
    """

    file: Annotated[str, Field(min_length=1)] | None = None  # relative to the scenario's file
    on_hand: dict[Name, dict[Name, Units]] | None = None
    # Periods until units arrive, 1 for those that arrive before the second period's orders.
    in_transit: dict[Name, dict[Name, dict[Ahead, Units]]] | None = None

    @model_validator(mode="after")
    def check_origin(self) -> Self:
        """The stock comes from one place."""
        if (self.file is None) == (self.on_hand is None and self.in_transit is None):
            raise ValueError("file, on_hand: one of the two is needed, and not both")
        return self


def tabulate_start(
    start: Start, nodes: Sequence[str], skus: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns units on hand, (N, K), and in transit by the periods until they arrive, (L, N, K).

    Args:
        start: without a file.
        nodes: DCs, then stores.
        skus: all.

    Raises:
        ValueError: if it names what there is not.
    """
    rows, columns = ({name: i for i, name in enumerate(names)} for names in (nodes, skus))
    coming = start.in_transit or {}
    periods = [ahead for by_sku in coming.values() for ways in by_sku.values() for ahead in ways]
    slots = max(periods, default=0)
    on_hand = np.zeros((len(nodes), len(skus)), np.int64)
    in_transit = np.zeros((slots, *on_hand.shape), np.int64)
    for node, by_sku in (start.on_hand or {}).items():
        n = _find("on_hand", node, rows)
        for sku, units in by_sku.items():
            on_hand[n, _find(f"on_hand.{node}", sku, columns)] = units
    for node, ways_by_sku in coming.items():
        n = _find("in_transit", node, rows)
        for sku, ways in ways_by_sku.items():
            k = _find(f"in_transit.{node}", sku, columns)
            for ahead, units in ways.items():
                in_transit[ahead - 1, n, k] = units
    return on_hand, in_transit


def _find(field: str, name: str, known: dict[str, int]) -> int:
    if name not in known:
        names = ", ".join(list(known)[:_MOST_NAMED]) + (", ..." if len(known) > _MOST_NAMED else "")
        raise ValueError(f"start.{field}: {name!r} is not known; allowed: {names}")
    return known[name]
