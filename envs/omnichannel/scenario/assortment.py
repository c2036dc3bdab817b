"""The assortment: which SKUs each store carries, where not all of them carry all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Name
from envs.validation import StrictModel

_Skus = Annotated[list[Name], Field(min_length=1)]
_MOST_NAMED = 20  # of what is allowed, in a message


class Assortment(StrictModel):
    """SKUs by store; a store that is named nowhere carries all."""

    only: dict[Name, _Skus] | None = None  # the store carries these and no others
    without: dict[Name, _Skus] | None = None  # the store carries all but these

    @model_validator(mode="after")
    def check_stores(self) -> Self:
        """Some store is named, and none twice."""
        if not self.only and not self.without:
            raise ValueError("nothing is stated; only or without is needed, SKUs by store")
        for store in self.only or {}:
            if store in (self.without or {}):
                raise ValueError(f"{store!r} stands in only and in without; one is allowed")
        return self


def tabulate_assortment(
    assortment: Assortment, stores: Sequence[str], skus: Sequence[str]
) -> NDArray[np.bool_]:
    """Returns whether a store carries a SKU, (S, K).

    Args:
        assortment: of the scenario.
        stores: all.
        skus: all.

    Raises:
        ValueError: if it names what there is not, or leaves a store or a SKU with nothing.
    """
    row, column = ({name: i for i, name in enumerate(names)} for names in (stores, skus))
    carried = np.ones((len(stores), len(skus)), np.bool_)
    for field in ("only", "without"):
        for store, names in (getattr(assortment, field) or {}).items():
            s = _find(field, store, row)
            own = [_find(f"{field}.{store}", name, column) for name in names]
            if field == "only":
                carried[s] = False
            carried[s, own] = field == "only"
    for axis, kind, known in ((1, "store", stores), (0, "sku", skus)):
        missing = np.flatnonzero(~carried.any(axis=axis))
        if len(missing):
            what = "carries nothing" if kind == "store" else "is carried by no store"
            raise ValueError(f"assortment: {kind} {known[missing[0]]!r} {what}; leave it out")
    return carried


def _find(field: str, name: str, known: dict[str, int]) -> int:
    if name not in known:
        names = ", ".join(list(known)[:_MOST_NAMED]) + (", ..." if len(known) > _MOST_NAMED else "")
        raise ValueError(f"assortment.{field}: {name!r} is not known; allowed: {names}")
    return known[name]
