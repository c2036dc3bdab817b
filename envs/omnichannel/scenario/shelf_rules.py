"""Shelf rules: what stores show at least, what a shelf holds at most, and the rooms behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Name
from envs.omnichannel.scenario.order_rules import Names, Units, find_places
from envs.validation import CountOrZero, NonNegative, StrictModel

UNLIMITED = 10**15  # units; a sum of them still fits into 64 bits


class ShelfRule(StrictModel):
    """Limits of what some stores have of some SKUs; None leaves a limit as it was.

    Where several rules speak of a shelf, each later one replaces what it states.
    """

    to: Names | None = None  # stores; None: all
    skus: Names | None = None  # None: all
    presentation: CountOrZero | None = None  # units that a store aims to have when orders arrive
    maximum: Units | None = None  # units that the shelf holds; the others are in the back room

    @model_validator(mode="after")
    def check_limits(self) -> Self:
        """A rule states something."""
        if self.presentation is None and self.maximum is None:
            raise ValueError("nothing is stated; a presentation or maximum is needed")
        return self


class BackRoom(StrictModel):
    """The room behind the shelves of some stores; None leaves a value as it was."""

    to: Names | None = None  # stores; None: all
    capacity: CountOrZero | None = None  # units of all SKUs
    cost: NonNegative | None = None  # per unit and period

    @model_validator(mode="after")
    def check_limits(self) -> Self:
        """A room has something to say."""
        if self.capacity is None and self.cost is None:
            raise ValueError("nothing is stated; a capacity or cost is needed")
        return self


ShelfRules = Annotated[list[ShelfRule], Field(min_length=1)]
BackRooms = Annotated[list[BackRoom], Field(min_length=1)]


def tabulate_shelves(
    rules: Sequence[ShelfRule],
    rooms: Sequence[BackRoom],
    stores: Sequence[Name],
    skus: Sequence[Name],
) -> dict[str, NDArray[Any]]:
    """Returns what the rules say by field: of shelves, (S, K), and of back rooms, (S,).

    Args:
        rules: the later ones win.
        rooms: the same.
        stores: all.
        skus: all.

    Raises:
        ValueError: if a rule names what there is not, or a presentation exceeds the maximum.
    """
    shape = len(stores), len(skus)
    table: dict[str, NDArray[Any]] = {
        "presentation": np.zeros(shape, np.int64),
        "maximum": np.full(shape, UNLIMITED),
        "capacity": np.full(len(stores), UNLIMITED),
        "cost": np.zeros(len(stores)),
    }
    for i, rule in enumerate(rules):
        to = find_places(f"shelf_rules.{i}.to", rule.to, stores)
        cells = np.ix_(to, find_places(f"shelf_rules.{i}.skus", rule.skus, skus))
        _set(table, rule, ("presentation", "maximum"), cells)
    for i, room in enumerate(rooms):
        to = find_places(f"back_room.{i}.to", room.to, stores)
        _set(table, room, ("capacity", "cost"), to)
    for s, k in np.argwhere(table["presentation"] > table["maximum"]):
        raise ValueError(
            f"shelf_rules: a presentation of {table['presentation'][s, k]} is not allowed for "
            f"{skus[k]} in {stores[s]}; at most {table['maximum'][s, k]} (the shelf's maximum)"
        )
    return table


def _set(
    table: dict[str, NDArray[Any]], rule: ShelfRule | BackRoom, fields: Sequence[str], cells: Any
) -> None:
    for field in fields:
        if (stated := getattr(rule, field)) is not None:
            table[field][cells] = stated
