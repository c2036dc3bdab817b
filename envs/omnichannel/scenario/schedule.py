"""The schedule: when orders are taken and when they arrive, day by day, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.scenario.calendars import (
    WEEKDAYS,
    Calendar,
    OrderCalendar,
    Supplier,
    check_holidays,
)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)

_WEEK = len(WEEKDAYS)
DEFAULT = -1  # the supplier without a name
_BEYOND = 420  # days for which arrivals are known after the last order of a table


class _Way(NamedTuple):
    """One supplier, or a DC, and one calendar: rows are days."""

    takes: Bools  # (T + beyond,) orders
    lead: Ints  # (T + beyond,) days until an order of the day arrives
    base: Ints  # (T + beyond,) days before which none does
    wait: Ints  # (T + beyond,) days from each until the first delivery day
    is_fixed: bool  # it keeps its lead time whatever the lane's chance
    supplier: int


@dataclass(frozen=True)
class Schedule:
    """Tables by day of the calendar and way, (T, Q); all weeks after them are like the last one.

    A way is what some nodes and SKUs have in common: their suppliers in order of preference, and
    those suppliers' calendars.
    """

    way: Ints  # (N, K) of each node and SKU
    takes: Bools  # orders
    lead: Ints  # days until an order of the day arrives
    base: Ints  # days before which none does
    wait: Ints  # days from each until the first delivery of the supplier who takes the order
    supplier: Ints  # who takes it; `DEFAULT`: the one without a name
    is_fixed: Bools  # whether no chance changes the lead time
    protection: Ints  # days until what is ordered on the next order day arrives
    onward: Ints  # days until what is ordered on the first order day, today included, arrives
    num_dcs: int
    first_weekday: int  # of day 0

    def take_orders(self, day: Ints) -> Bools:
        """Returns whether orders are taken, (B,) to (B, N, K)."""
        return self._read(self.takes, day)

    def count_lead_time(self, day: Ints, drawn: Ints | None = None) -> Ints:
        """Returns days until today's orders arrive, (B, N, K), where orders are taken.

        Args:
            day: of the calendar, (B,).
            drawn: of lanes whose lead time is random, (B, N, K).
        """
        if drawn is None:
            return self._read(self.lead, day)
        waits = self.wait[self._find(day[:, None, None] + drawn), self.way]
        return np.where(self._read(self.is_fixed, day), self._read(self.lead, day), drawn + waits)

    def count_protection(self, day: Ints) -> Ints:
        """Returns days that a stock must last for, until the order after today's is there."""
        return self._read(self.protection, day)

    def count_onward(self, day: Ints, ahead: Ints) -> Ints:
        """Returns days from those ahead until units are in a store, (B, S, K).

        Args:
            day: today, (B,).
            ahead: days until the units are in the store's DC, (B, S, K).
        """
        rows = self._find(day[:, None, None] + ahead)
        found: Ints = self.onward[rows, self.way[self.num_dcs :]]
        return found

    def name_suppliers(self, day: Ints) -> Ints:
        """Returns the supplier of each order, (B, W, K); `DEFAULT`: the one without a name."""
        return self._read(self.supplier, day)[:, : self.num_dcs]

    @property
    def reach(self) -> int:
        """Days of the longest way, random lead times left out."""
        return int(self.lead.max())

    @property
    def longest_wait(self) -> int:
        """Days that a delivery day can be away."""
        return int(self.wait.max())

    @cached_property
    def longest_protection(self) -> int:
        """Days that a stock must last for at most: of an echelon, the way on to the stores too."""
        own = np.unique(self.way[self.num_dcs :])
        return int(self.protection.max() + self.onward[:, own].max())

    def _read(self, table: NDArray[_T], day: Ints) -> NDArray[_T]:
        found: NDArray[_T] = table[self._find(day)[:, None, None], self.way]
        return found

    def _find(self, day: Ints) -> Ints:
        """The rows of days."""
        last = len(self.takes)
        return np.where(day < last, day, last - _WEEK + (day - last) % _WEEK)


def make_schedule(
    calendars: Sequence[OrderCalendar],
    suppliers: Sequence[Supplier],
    nodes: Sequence[str],
    skus: Sequence[str],
    lead_time: Sequence[int],
    num_dcs: int,
    first_day: date | None,
) -> Schedule:
    """Builds the tables.

    Args:
        calendars: of lanes, the later ones win.
        suppliers: of DCs, the first ones are preferred.
        nodes: DCs, then stores.
        skus: all.
        lead_time: of each node's lane, days.
        num_dcs: W.
        first_day: date of day 0; None: it is a Monday.

    Raises:
        ValueError: if something is named that is not there, or can never be ordered.
    """
    check_holidays([*calendars, *suppliers], first_day)
    choice = _choose(calendars, suppliers, nodes, skus, num_dcs)
    kinds: dict[tuple[int, tuple[tuple[int, ...], ...]], int] = {}
    way = np.empty((len(nodes), len(skus)), np.int64)
    for n in range(len(nodes)):
        for k in range(len(skus)):
            way[n, k] = kinds.setdefault((n, choice[n][k]), len(kinds))
    first = 0 if first_day is None else first_day.weekday()
    days = _count_days([*calendars, *suppliers], first_day)
    columns = []
    for node, options in kinds:
        ways = []
        for option in options:
            calendar, lead = _merge(calendars, suppliers, option), lead_time[node]
            own = _lead(suppliers, option, lead)
            ways.append(_make_way(calendar, option[0], own, first, days, first_day))
        columns.append(_prefer(ways, days, nodes[node]))
    tables = {name: np.stack([c[name] for c in columns], axis=1) for name in columns[0]}
    return Schedule(way=way, num_dcs=num_dcs, first_weekday=first, **tables)


# An option: the supplier, then the calendars that hold for it, in order.
_Option = tuple[int, ...]


def _choose(
    calendars: Sequence[OrderCalendar],
    suppliers: Sequence[Supplier],
    nodes: Sequence[str],
    skus: Sequence[str],
    num_dcs: int,
) -> list[list[tuple[_Option, ...]]]:
    """The options of every node and SKU, in order of preference."""
    shape = len(nodes), len(skus)
    of_calendar = [
        _select(f"order_calendars.{i}", c.to, c.skus, nodes, skus) for i, c in enumerate(calendars)
    ]
    of_supplier = [
        _select(f"suppliers.{j}", s.to, s.skus, nodes[:num_dcs], skus)
        for j, s in enumerate(suppliers)
    ]
    chosen = []
    for n in range(shape[0]):
        row = []
        for k in range(shape[1]):
            own = tuple(i for i, cells in enumerate(of_calendar) if cells[n, k])
            who = [j for j, cells in enumerate(of_supplier) if n < num_dcs and cells[n, k]]
            row.append(tuple((j, *own) for j in who or [DEFAULT]))
        chosen.append(row)
    return chosen


def _select(
    field: str,
    to: Sequence[str] | None,
    chosen: Sequence[str] | None,
    nodes: Sequence[str],
    skus: Sequence[str],
) -> Bools:
    """Which nodes and SKUs are meant, (N, K)."""
    cells = np.ones((len(nodes), len(skus)), np.bool_)
    for axis, (name, own, known) in enumerate((("to", to, nodes), ("skus", chosen, skus))):
        for item in own or ():
            if item not in known:
                allowed = ", ".join(known)
                raise ValueError(f"{field}.{name}: {item!r} is not known; allowed: {allowed}")
        if own is not None:
            meant = np.isin(np.array(known, dtype=object), own)
            cells &= meant[:, None] if axis == 0 else meant
    return cells


def _merge(
    calendars: Sequence[OrderCalendar], suppliers: Sequence[Supplier], option: _Option
) -> Calendar:
    merged = Calendar()
    for i in option[1:]:
        merged = Calendar(**merged.cover(calendars[i]))
    if option[0] != DEFAULT:
        merged = Calendar(**merged.cover(suppliers[option[0]]))
    return merged


def _lead(suppliers: Sequence[Supplier], option: _Option, lane: int) -> tuple[int, bool]:
    """Days of the lead time, and whether it is the supplier's own."""
    own = None if option[0] == DEFAULT else suppliers[option[0]].lead_time
    return (lane, False) if own is None else (own, True)


def _count_days(calendars: Sequence[Calendar], first_day: date | None) -> int:
    """The rows of the tables: whole weeks, until no holiday changes a week any more."""
    last = max(((d - first_day).days for c in calendars for d in c.holidays or ()), default=-1)  # type: ignore[operator]
    return _WEEK if last < 0 else (last // _WEEK + 2) * _WEEK


def _make_way(
    calendar: Calendar,
    supplier: int,
    lead: tuple[int, bool],
    first: int,
    days: int,
    first_day: date | None,
) -> _Way:
    """The days of one calendar."""
    size = days + _BEYOND
    weekday = (first + np.arange(size)) % _WEEK
    is_open = np.ones(size, np.bool_)
    for holiday in calendar.holidays or ():
        assert first_day is not None, "checked before"
        ahead = (holiday - first_day).days
        if 0 <= ahead < size:
            is_open[ahead] = False
    base = np.full(size, lead[0])
    if calendar.lead_times is not None:
        by_weekday = [calendar.lead_times.get(d, -1) for d in WEEKDAYS]  # type: ignore[call-overload]
        base = np.array(by_weekday, np.int64)[weekday]
    delivers = is_open & _are(calendar.delivery_days, weekday)
    takes = is_open & _are(calendar.order_days, weekday) & (base >= 0)
    wait = _count_to_next(delivers)
    due = np.minimum(np.arange(size) + np.maximum(base, 0), size - 1)
    lead_time = due + wait[due] - np.arange(size)
    if calendar.order_days is None and calendar.lead_times is None and calendar.delivery_days:
        # Only the last day for each delivery: to order before it is to know less.
        following = _count_to_next(takes[1:])
        later = np.minimum(np.arange(size - 1) + 1 + following, size - 1)
        arrival = np.arange(size) + lead_time
        takes[:-1] &= arrival[later] > arrival[:-1]
    return _Way(takes, lead_time, np.maximum(base, 0), wait, lead[1], supplier)


def _are(days: Sequence[str] | None, weekday: Ints) -> Bools:
    """Whether days are among the named weekdays; None: all are."""
    if days is None:
        return np.ones(len(weekday), np.bool_)
    return np.isin(weekday, [WEEKDAYS.index(day) for day in days])


def _count_to_next(flags: Bools) -> Ints:
    """Days from each one to the first with a flag, itself included; 0 after the last flag."""
    place = np.where(flags, np.arange(len(flags)), len(flags))
    following = np.minimum.accumulate(place[::-1])[::-1]
    return np.where(following < len(flags), following - np.arange(len(flags)), 0)


def _prefer(ways: Sequence[_Way], days: int, node: str) -> dict[str, NDArray[np.generic]]:
    """The tables of one way of several suppliers: the first that takes an order has it."""
    size = len(ways[0].takes)
    chosen = np.argmax(np.stack([way.takes for way in ways]), axis=0)
    takes = np.logical_or.reduce([way.takes for way in ways])
    if not takes[days:].any():
        raise ValueError(
            f"order_calendars, suppliers: no order to {node} is ever taken and delivered; an order "
            "day and a delivery day a week are needed"
        )
    lead, base, wait = (
        np.choose(chosen, [getattr(way, name) for way in ways]) for name in ("lead", "base", "wait")
    )
    onward = _count_to_next(takes)
    at = np.arange(size) + onward
    onward = onward + lead[np.minimum(at, size - 1)]
    protection = np.concatenate([1 + onward[1:], onward[-1:]])
    tables = {
        "takes": takes, "lead": lead, "base": base, "wait": wait, "protection": protection,
        "onward": onward, "supplier": np.array([way.supplier for way in ways])[chosen],
        "is_fixed": np.array([way.is_fixed for way in ways])[chosen],
    }  # fmt: skip
    return {name: table[:days] for name, table in tables.items()}
