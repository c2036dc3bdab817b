"""Frequencies: whether the dates of a record are its days, weeks or months."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

import numpy as np

from envs.omnichannel.types import WEEK, IntArray
from marl.planning.from_data.dates import ORIGIN

FEWEST_DATES = 4  # from which on they show more than chance
_MOST = 0.9  # of the dates: the others are mistakes


def find_frequency(days: IntArray) -> tuple[str, IntArray]:
    """Returns `day`, `week` or `month`, and the dates that do not fit it.

    All dates seven days apart are weeks, and all firsts or all lasts of months are months: there
    are no days without a sale between them.

    Args:
        days: of all rows, since 1970-01-01.
    """
    distinct = np.unique(days)
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


def start_month(day: date, later: int = 0) -> date:
    """Returns the first day of the month that is some months after that of a day."""
    months = day.year * 12 + day.month - 1 + later
    return date(months // 12, months % 12 + 1, 1)


def _is_first(day: date) -> bool:
    return day.day == 1


def _is_last(day: date) -> bool:
    return day.day == monthrange(day.year, day.month)[1]
