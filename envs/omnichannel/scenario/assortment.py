"""The assortment: which SKUs each store carries, where not all of them carry all, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from envs.omnichannel.scenario.goods import Name
from envs.omnichannel.scenario.order_rules import Names, Units, find_places
from envs.validation import StrictModel

_Day = Annotated[int, Field(ge=0, le=10**6)]
_MOST_NAMED = 20  # of what is allowed, in a message
ALWAYS, FOREVER = -(10**9), 10**9  # first and last day of what has no beginning and no end


class Listing(StrictModel):
    """When some stores have some SKUs on sale; None leaves what was said before.

    Days are those of the demand's calendar, whose first one is 0.
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)  # `from` is Python's

    stores: Names | None = None  # None: all
    skus: Names | None = None  # None: all
    first: _Day | None = Field(default=None, alias="from")
    until: _Day | None = None  # the last day on sale
    launch: Units | None = None  # that are to be in the store on the first day

    @model_validator(mode="after")
    def check_days(self) -> Self:
        """Something is stated, in order."""
        if self.first is None and self.until is None and self.launch is None:
            raise ValueError("nothing is stated; from, until or launch is needed")
        return self


class Dates(NamedTuple):
    """First and last day on sale, and the units to begin with, (S, K) each."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    launch: NDArray[np.int64]

    def is_on_sale(self, day: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns whether stores sell SKUs on days, (...) to (..., S, K)."""
        own = day[..., None, None]
        return (self.first <= own) & (own <= self.last)

    def count_to_first(self, day: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the days until the first one on sale, negative after it, (B,) to (B, S, K)."""
        return self.first - day[:, None, None]

    def count_to_last(self, day: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the days until the last one on sale, negative after it, (B,) to (B, S, K)."""
        return self.last - day[:, None, None]

    def move(self, days: int) -> Dates:
        """Returns the dates in a calendar that begins so many days later."""
        return self._replace(first=self.first - days, last=self.last - days)


class Assortment(StrictModel):
    """SKUs by store; a store that is named nowhere carries all."""

    only: dict[Name, Names] | None = None  # the store carries these and no others
    without: dict[Name, Names] | None = None  # the store carries all but these
    dates: Annotated[list[Listing], Field(min_length=1)] | None = None  # None: always

    @model_validator(mode="after")
    def check_stores(self) -> Self:
        """Something is stated, and no store twice."""
        if not self.only and not self.without and not self.dates:
            raise ValueError(
                "nothing is stated; only or without is needed, SKUs by store, or dates"
            )
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


def tabulate_dates(
    listings: Sequence[Listing], stores: Sequence[str], skus: Sequence[str]
) -> Dates:
    """Returns when stores sell SKUs.

    Args:
        listings: the later ones win, field by field.
        stores: all.
        skus: all.

    Raises:
        ValueError: if one names what there is not, or days that are out of order.
    """
    shape = len(stores), len(skus)
    dates = Dates(
        first=np.full(shape, ALWAYS), last=np.full(shape, FOREVER), launch=np.zeros(shape, np.int64)
    )
    for i, listing in enumerate(listings):
        field = f"assortment.dates.{i}"
        own = find_places(f"{field}.stores", listing.stores, stores)
        cells = np.ix_(own, find_places(f"{field}.skus", listing.skus, skus))
        stated = listing.first, listing.until, listing.launch
        for values, value in zip(dates, stated, strict=True):
            if value is not None:
                values[cells] = value
    for s, k in np.argwhere(dates.last < dates.first):
        raise ValueError(
            f"assortment.dates: until {dates.last[s, k]} is not allowed for {skus[k]} in "
            f"{stores[s]}; at least {dates.first[s, k]}, its first day"
        )
    for s, k in np.argwhere((dates.launch > 0) & (dates.first == ALWAYS)):
        raise ValueError(
            f"assortment.dates: a launch of {dates.launch[s, k]} is not allowed for {skus[k]} in "
            f"{stores[s]} without from, its first day"
        )
    return dates


def _find(field: str, name: str, known: dict[str, int]) -> int:
    if name not in known:
        names = ", ".join(list(known)[:_MOST_NAMED]) + (", ..." if len(known) > _MOST_NAMED else "")
        raise ValueError(f"assortment.{field}: {name!r} is not known; allowed: {names}")
    return known[name]
