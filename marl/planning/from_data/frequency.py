"""Frequencies: whether the dates of a record are its days, weeks or months."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.scenario import PERIOD_DAYS
from envs.omnichannel.types import WEEK, FloatArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts, choose_kind
from marl.planning.from_data.dates import ORIGIN

_Kind = TypeVar("_Kind", bound=np.generic)

FEWEST_DATES = 4  # from which on they show more than chance
_BLOCK = 1 << 22  # rows at once
_MOST = 0.9  # of the dates: the others are mistakes


def find_frequency(days: Counts) -> tuple[str, Counts]:
    """Returns `day`, `week` or `month`, and the dates that do not fit it.

    All dates seven days apart are weeks, and all firsts or all lasts of months are months: there
    are no days without a sale between them.

    Args:
        days: of all rows, since 1970-01-01.
    """
    distinct = find_distinct(days)
    if len(distinct) < FEWEST_DATES:
        return "day", distinct[:0]
    weekday = distinct % WEEK
    usual = np.bincount(weekday).argmax()
    odd = distinct[weekday != usual]
    if len(odd) <= (1 - _MOST) * len(distinct):
        return "week", odd
    dates = [ORIGIN + timedelta(day) for day in distinct.tolist()]
    for is_fit in (_is_first, _is_last):
        odd = distinct[[not is_fit(day) for day in dates]]
        if len(odd) <= (1 - _MOST) * len(distinct):
            return "month", odd
    return "day", distinct[:0]


@dataclass(frozen=True, kw_only=True)
class Periods:
    """The periods of a file, and the days or weeks that a record is made of."""

    first: int  # first day, since 1970-01-01
    step: int  # calendar days from a period of the record to the next one
    span: int  # periods of the record
    starts: IntArray | None = None  # of months, in days from the first; None: as the record's

    def locate(self, days: Counts) -> Counts:
        """Returns the file's period of days since 1970-01-01, in narrow integers."""
        own = days - self.first
        if self.starts is not None:
            own = np.searchsorted(self.starts, own, side="right") - 1
        elif self.step > 1:
            own //= self.step
        return own.astype(choose_kind(self.span))

    def begin(self, period: Counts) -> Counts:
        """Returns the record's period with which one of the file begins."""
        return period if self.starts is None else self.starts[period]

    def repeat(self, values: NDArray[_Kind]) -> NDArray[_Kind]:
        """Returns the values of the file's periods, (P, ...), for each of the record's."""
        return values if self.starts is None else np.repeat(values, self._lengths, axis=0)

    def spread(self, units: FloatArray) -> FloatArray:
        """Returns units of the file's periods, (P, ...), spread evenly over the record's."""
        if self.starts is None:
            return units
        share = 1 / self._lengths.reshape(-1, *(1,) * (units.ndim - 1))
        return self.repeat(units * share)

    @property
    def _lengths(self) -> IntArray:
        starts = np.zeros(0, np.int64) if self.starts is None else self.starts
        return np.diff(starts, append=self.span)


def find_distinct(days: Counts) -> Counts:
    """Returns the days that are there, ascending; millions of rows have few."""
    parts = [np.unique(days[i : i + _BLOCK]) for i in range(0, len(days), _BLOCK)]
    return np.unique(np.concatenate(parts)) if parts else days


def lay_out(days: Counts, frequency: str) -> Periods:
    """Returns the periods from the first day to the last; months become days."""
    first, last = int(days.min()), int(days.max())
    if frequency != "month":
        step = PERIOD_DAYS[frequency]
        return Periods(first=first, step=step, span=(last - first) // step + 1)
    day, end = (ORIGIN + timedelta(found) for found in (first, last))
    count = (end.year - day.year) * 12 + end.month - day.month + 1
    begins = np.array([(_start_month(day, i) - ORIGIN).days for i in range(count + 1)])
    starts = begins - begins[0]
    return Periods(first=int(begins[0]), step=1, span=int(starts[-1]), starts=starts[:-1])


def _start_month(day: date, later: int) -> date:
    """The first day of the month that is some months after that of a day."""
    months = day.year * 12 + day.month - 1 + later
    return date(months // 12, months % 12 + 1, 1)


def _is_first(day: date) -> bool:
    return day.day == 1


def _is_last(day: date) -> bool:
    return day.day == monthrange(day.year, day.month)[1]
