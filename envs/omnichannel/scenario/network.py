"""The nodes and lanes, cuts of supply, and stores that help each other."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Self

from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Name
from envs.validation import Count, CountOrZero, NonNegative, Positive, Share, StrictModel

# Pipelines are dense arrays over lead-time slots; a year of slots is a typing error, not a network.
LeadTime = Annotated[int, Field(ge=0, le=180)]
# {days: probability}. Drawn anew for every order line of a supplier and every shipment on a lane.
RandomLeadTime = dict[Annotated[int, Field(ge=1, le=180)], Share]


class Delivery(StrictModel):
    """Order lines that do not arrive as they were sent, which nobody knows before they are due."""

    never: Share = 0.0  # probability that nothing of a line ever arrives
    partial: Share = 0.0  # probability that only a part of it does ...
    share: Share = 0.5  # ... and the part then, rounded half up, in whole packs

    @model_validator(mode="after")
    def check_sum(self) -> Self:
        """A line never arrives, arrives in part, or in full."""
        if self.never + self.partial > 1:
            raise ValueError(
                f"partial {self.partial:g} is not allowed beside never {self.never:g}; "
                f"at most {1 - self.never:g}"
            )
        return self


class Dc(StrictModel):
    """A distribution centre, supplied from outside the network. None means unlimited."""

    name: Name
    supplier_lead_time: LeadTime = 5
    capacity: Positive | None = None  # units stored without paying overflow
    order_capacity: CountOrZero | None = None  # units that suppliers take a period
    shipment_capacity: CountOrZero | None = None  # units dispatched a period
    random_lead_time: RandomLeadTime | None = None  # of its supplier, instead of the fixed one
    delivery: Delivery | None = None  # of its supplier; None: all arrives

    @model_validator(mode="after")
    def check_lead_time(self) -> Self:
        """Probabilities sum to one, and what may not arrive is on its way first."""
        check_probabilities(self.random_lead_time)
        check_delivery(self.delivery, self.supplier_lead_time, self.random_lead_time)
        return self


class Store(StrictModel):
    """A store, supplied by its parent DC."""

    name: Name
    parent: Name
    size: Annotated[float, Field(gt=0, le=1000)] = 1.0  # multiplies every SKU's base demand
    distance: Annotated[int, Field(ge=0, le=100)] = 1  # distance band of the lane from the parent
    lead_time: LeadTime = 1
    capacity: Positive | None = None
    return_factor: NonNegative = 1.0  # multiplies every category's return rate
    random_lead_time: RandomLeadTime | None = None  # of its lane, instead of the fixed one
    delivery: Delivery | None = None  # from its DC; None: all arrives

    @model_validator(mode="after")
    def check_lead_time(self) -> Self:
        """Probabilities sum to one, and what may not arrive is on its way first."""
        check_probabilities(self.random_lead_time)
        check_delivery(self.delivery, self.lead_time, self.random_lead_time)
        return self


def check_probabilities(lead_time: RandomLeadTime | None) -> None:
    """Refuses a distribution that does not sum to one.

    Raises:
        ValueError: names the sum.
    """
    total = 1 if lead_time is None else sum(lead_time.values())
    if abs(total - 1) > 1e-9:
        raise ValueError(f"random_lead_time has probabilities that sum to {total:g}; 1 is needed")


def check_delivery(
    delivery: Delivery | None, lead_time: int, random_lead_time: RandomLeadTime | None
) -> None:
    """Refuses orders that are lost where they are there at once.

    Raises:
        ValueError: says which lead times are allowed.
    """
    if delivery is not None and lead_time == 0 and random_lead_time is None:
        raise ValueError("delivery is not allowed with a lead time of 0; 1 or more")


def expect_lead_time(fixed: int, random: RandomLeadTime | None) -> int:
    """Returns the periods of a lane, of a random one its rounded mean."""
    return fixed if random is None else round(sum(days * p for days, p in random.items()))


class Network(StrictModel):
    """The nodes and lanes."""

    dcs: Annotated[list[Dc], Field(min_length=1)]
    stores: Annotated[list[Store], Field(min_length=1)]

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Names are unique, each parent exists and each DC is a parent."""
        dcs = [dc.name for dc in self.dcs]
        names = dcs + [store.name for store in self.stores]
        for name, count in Counter(names).items():
            if count > 1:
                raise ValueError(f"name {name!r} is used twice; node names must be unique")
        for store in self.stores:
            if store.parent not in dcs:
                raise ValueError(
                    f"parent {store.parent!r} of {store.name} is no DC; allowed: {', '.join(dcs)}"
                )
        parents = {store.parent for store in self.stores}
        for dc in dcs:
            if dc not in parents:
                raise ValueError(f"dc {dc!r} has no store; it must be the parent of at least one")
        return self

    @property
    def deliveries(self) -> list[Delivery | None]:
        """What becomes of orders, by location, DCs first."""
        return [dc.delivery for dc in self.dcs] + [store.delivery for store in self.stores]


class SupplyCuts(StrictModel):
    """Announced windows in which suppliers confirm only a share of every order.

    Each episode has `windows` of them, one at a random place of each equal part of the horizon,
    apart for every DC; they are known `notice` days ahead.
    """

    windows: Annotated[int, Field(ge=1, le=20)] = 2
    length: Count = 14  # periods
    share: Share = 0.3  # confirmed of an order, rounded half up
    notice: Annotated[int, Field(ge=0, le=60)] = 15


class Transshipment(StrictModel):
    """Stores of a DC help each other with what the DC could not ship."""

    lead_time: LeadTime = 1
    cost: NonNegative = 0.1  # per unit, paid by the store that receives
