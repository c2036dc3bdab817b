"""Calendars of lanes and suppliers: the days on which orders are taken, and those of delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Money, Name, Sku
from envs.omnichannel.scenario.network import LeadTime
from envs.omnichannel.scenario.order_rules import Rounding
from envs.validation import Positive, StrictModel

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)
Weekdays = Annotated[list[Weekday], Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
_MOST_HOLIDAYS = 3650  # days after the first one


class Calendar(StrictModel):
    """When orders are taken and delivered; None leaves it as it was: on every day.

    An order arrives on the first delivery day that its lead time allows. Where delivery days are
    stated and order days are not, the last day for each delivery is an order day.
    """

    order_days: Weekdays | None = None
    delivery_days: Weekdays | None = None
    lead_times: dict[Weekday, LeadTime] | None = None  # by weekday of the order; these alone count
    holidays: list[date] | None = None  # without orders and deliveries
    cut_off: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None  # HH:MM

    @model_validator(mode="after")
    def check_lead_times(self) -> Self:
        """A lead time stands beside every order day."""
        if self.lead_times is not None:
            if not self.lead_times:
                raise ValueError("lead_times: nothing is stated; days by weekday are needed")
            for day in self.order_days or ():
                if day not in self.lead_times:
                    raise ValueError(f"lead_times: {day} is missing, which is an order day")
        return self

    def cover(self, later: Calendar) -> dict[str, object]:
        """Returns what both say, the later one in place of this one."""
        own, other = ({f: getattr(c, f) for f in Calendar.model_fields} for c in (self, later))
        if later.lead_times is not None or later.order_days is not None:
            own |= {"lead_times": None, "order_days": None}  # which speak of the same days
        return own | {f: value for f, value in other.items() if value is not None}


class OrderCalendar(Calendar):
    """The calendar of orders to some locations of some SKUs; later ones replace what they state."""

    to: Names | None = None  # DCs, which suppliers serve, or stores; None: all
    skus: Names | None = None  # None: all


class Supplier(Calendar):
    """A supplier of DCs. Of several of a SKU, the first that takes orders today gets it.

    What its calendar leaves open, that of the DC says.
    """

    name: Name
    to: Names | None = None  # DCs; None: all
    skus: Names | None = None  # None: all
    lead_time: LeadTime | None = None  # None: the DC's
    # Of all that a DC orders from it on a day; less than a minimum is filled up or left out.
    minimum_units: Positive | None = None
    minimum_value: Positive | None = None  # money
    minimum_weight: Positive | None = None  # in the unit of the SKUs' weight
    rounding: Rounding = "nearest"  # to the minimum
    weekly_budget: Positive | None = None  # money, of all DCs from Monday on
    unit_cost: dict[Name, Money] | None = None  # by SKU; of others as the SKU says

    @property
    def has_limits(self) -> bool:
        """Whether orders have a minimum or a budget."""
        limits = (self.minimum_units, self.minimum_value, self.minimum_weight, self.weekly_budget)
        return any(limit is not None for limit in limits)


def check_holidays(calendars: Sequence[Calendar], first_day: date | None) -> None:
    """Refuses holidays where days have no dates, and those of another age.

    Raises:
        ValueError: names what is needed.
    """
    for calendar in calendars:
        for day in calendar.holidays or ():
            if first_day is None:
                raise ValueError(
                    f"holidays: {day} is not allowed, because drawn demand has no dates"
                )
            if (day - first_day).days > _MOST_HOLIDAYS:
                raise ValueError(
                    f"holidays: {day} is not allowed; at most {_MOST_HOLIDAYS} days after "
                    f"{first_day}, the first one"
                )


def check_suppliers(
    suppliers: Sequence[Supplier], nodes: Sequence[str], skus: Mapping[str, Sku]
) -> None:
    """Refuses names that are used twice, and prices of what there is not.

    Args:
        suppliers: all.
        nodes: whose names suppliers may not have.
        skus: by name.

    Raises:
        ValueError: names what is wrong and what is allowed.
    """
    used = set(nodes)
    for supplier in suppliers:
        if supplier.name in used:
            raise ValueError(f"suppliers: name {supplier.name!r} is used twice; it must be unique")
        used.add(supplier.name)
        own = supplier.skus or list(skus)
        for field, limit in (("weight", supplier.minimum_weight), ("unit_cost", None)):
            needed = limit is not None
            if field == "unit_cost":
                needed = supplier.minimum_value is not None or supplier.weekly_budget is not None
            for name in own if needed else ():
                priced = field == "unit_cost" and name in (supplier.unit_cost or {})
                if name in skus and getattr(skus[name], field) is None and not priced:
                    raise ValueError(
                        f"skus: {field} of {name!r} is missing, which a limit of supplier "
                        f"{supplier.name!r} counts"
                    )
        for sku in supplier.unit_cost or {}:
            if sku not in skus:
                raise ValueError(
                    f"suppliers: unit_cost of {supplier.name}: {sku!r} is not known; allowed: "
                    f"{', '.join(skus)}"
                )
