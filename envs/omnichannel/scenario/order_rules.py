"""Order rules: what an order may be on a lane, by SKU, as suppliers and warehouses ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Name
from envs.validation import StrictModel

Units = Annotated[int, Field(ge=1, le=10**9)]
Names = Annotated[list[Name], Field(min_length=1)]
Rounding = Literal["nearest", "up", "down"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)


class OrderRule(StrictModel):
    """Limits of every order to some locations of some SKUs; None leaves a limit as it was.

    Where several rules speak of an order, each later one replaces what it states.
    """

    to: Names | None = None  # DCs, which suppliers serve, or stores; None: all
    skus: Names | None = None  # None: all
    multiple: Units | None = None  # of a case pack: orders are whole numbers of these
    minimum: Units | None = None  # of an order that is not zero
    maximum: Units | None = None
    rounding: Rounding | None = None  # of what is needed, to packs and to the minimum
    layer: Units | None = None  # of a pallet, in whole packs; a started one may be filled up ...
    layer_from: Annotated[float, Field(gt=0, le=1)] | None = None  # ... from this share on: 0.8

    @model_validator(mode="after")
    def check_limits(self) -> Self:
        """A rule states something."""
        if self.model_dump(exclude_none=True).keys() <= {"to", "skus"}:
            raise ValueError(
                "nothing is stated; a multiple, minimum, maximum, rounding or layer is needed"
            )
        return self


def tabulate_rules(
    rules: Sequence[OrderRule], nodes: Sequence[str], skus: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Returns what the rules say of every order, by field, (N, K).

    Args:
        rules: the later ones win.
        nodes: that orders go to.
        skus: all.

    Raises:
        ValueError: if a rule names what there is not, a maximum lies below the minimum, or a layer
            is no whole packs.
    """
    shape = len(nodes), len(skus)
    table: dict[str, NDArray[Any]] = {
        "multiple": np.ones(shape, np.int64),
        "minimum": np.zeros(shape, np.int64),
        "maximum": np.full(shape, np.iinfo(np.int64).max),
        "rounding": np.zeros(shape, np.int64),
        "layer": np.ones(shape, np.int64),
        "layer_from": np.full(shape, 0.8),
    }
    for i, rule in enumerate(rules):
        to = find_places(f"order_rules.{i}.to", rule.to, nodes)
        cells = np.ix_(to, find_places(f"order_rules.{i}.skus", rule.skus, skus))
        for field, values in table.items():
            stated: Any = getattr(rule, field)
            if stated is not None:
                values[cells] = ROUNDINGS.index(stated) if field == "rounding" else stated
    pack, asked = table["multiple"], table["maximum"]
    table["minimum"] = least = -(-table["minimum"] // pack) * pack
    table["maximum"] = most = asked // pack * pack
    for node, sku in np.argwhere(most < np.maximum(least, pack)):
        allowed = max(least[node, sku], pack[node, sku])
        raise ValueError(
            f"order_rules: a maximum of {asked[node, sku]} is not allowed for {skus[sku]} to "
            f"{nodes[node]}; at least {allowed} (the minimum in whole packs)"
        )
    layer = table["layer"]
    for node, sku in np.argwhere((layer > 1) & (layer % pack > 0)):
        raise ValueError(
            f"order_rules: a layer of {layer[node, sku]} is not allowed for {skus[sku]} to "
            f"{nodes[node]}; a multiple of {pack[node, sku]}, its pack, is needed"
        )
    return table


def find_places(field: str, chosen: Sequence[str] | None, names: Sequence[str]) -> list[int]:
    """Returns the places of the chosen names; all of them where none is chosen.

    Raises:
        ValueError: names the field, the first name that is not known and those that are.
    """
    place = {name: i for i, name in enumerate(names)}
    for name in chosen or ():
        if name not in place:
            raise ValueError(f"{field}: {name!r} is not known; allowed: {', '.join(names)}")
    return list(place.values()) if chosen is None else [place[name] for name in chosen]
