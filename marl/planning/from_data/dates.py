"""Dates as they are found in files: their forms, and the days that they name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from envs.errors import InputError

ORIGIN = date(1970, 1, 1)  # day 0
FIRST_DATE, LAST_DATE = ORIGIN, date(2100, 12, 31)
NO_DATE = int(np.iinfo(np.int32).min)

DAY_FIRST, MONTH_FIRST, EITHER = "DD/MM/YYYY", "MM/DD/YYYY", "DD/MM/YYYY or MM/DD/YYYY"
SERIAL, ISO_WEEK, MONTH = "an Excel serial number", "YYYY-Www", "YYYY-MM"
_EXCEL_ORIGIN = date(1899, 12, 30)
_MONTHS = {
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "aug": 8,
    "sep": 9,
    "oct": 10,
    "nov": 11,
    "dec": 12,
    "jän": 1,
    "mär": 3,
    "mrz": 3,
    "mai": 5,
    "okt": 10,
    "dez": 12,
}
_NAMED_MONTH = "(" + "|".join(_MONTHS) + ")[^\\W\\d]*"

_SHAPES = {
    "YYYY-MM-DD": r"(\d{4})-(\d{1,2})-(\d{1,2})",
    "YYYY/MM/DD": r"(\d{4})/(\d{1,2})/(\d{1,2})",
    "YYYYMMDD": r"(\d{4})(\d{2})(\d{2})",
    "DD.MM.YYYY": r"(\d{1,2})\.(\d{1,2})\.(\d{4}|\d{2})",
    "DD-Mon-YYYY": rf"(\d{{1,2}})[ .-]{{0,2}}{_NAMED_MONTH}[ .,-]{{1,2}}(\d{{4}}|\d{{2}})",
    "Mon DD, YYYY": rf"{_NAMED_MONTH}[ .-]{{1,2}}(\d{{1,2}}),? (\d{{4}})",
    ISO_WEEK: r"(\d{4})-?W(\d{1,2})(?:-([1-7]))?",
    MONTH: r"(\d{4})[-/](\d{2})",
    EITHER: r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})|(\d{1,2})/(\d{1,2})/(\d{2})",
    SERIAL: r"(\d{5})(?:\.\d*)?",
}
_TIME = (
    r"(?:(?:T| +)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)? ?([AP]M)?"
    r" ?(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
)
_PATTERNS = {
    name: re.compile(f"(?:{shape}){_TIME}", re.IGNORECASE | (0 if "Mon" in name else re.ASCII))
    for name, shape in _SHAPES.items()
}


@dataclass(frozen=True)
class FoundDate:
    """A text that looks like a date."""

    form: str
    parts: tuple[str, ...]  # of the date, as its form orders them
    time: tuple[str | None, ...]  # hour, minute, second, AM or PM, zone


def find_date(text: str) -> FoundDate | None:
    """Returns what a text says of a date; None for what is none."""
    if len(text) > 60:
        return None
    for form, pattern in _PATTERNS.items():
        found = pattern.fullmatch(text)
        if found is None:
            continue
        groups = found.groups()
        parts = tuple(part for part in groups[:-5] if part is not None)
        return FoundDate(_tell_order(parts) if form == EITHER else form, parts, groups[-5:])
    return None


def _tell_order(parts: tuple[str, ...]) -> str:
    first, second = int(parts[0]), int(parts[1])
    if first > 12:
        return DAY_FIRST
    return MONTH_FIRST if second > 12 else EITHER


def count_days(found: FoundDate, form: str, zone: ZoneInfo | None = None) -> int:
    """Returns days since 1970-01-01; `NO_DATE` for the 31st of February.

    Args:
        found: a date.
        form: of its column, which tells days from months.
        zone: whose days are counted where the text names its own zone; None: as it is written.
    """
    try:
        day = _READERS.get(form, _read_year_first)(found.parts)
        hour = _read_time(found.time)
        if zone is not None and found.time[-1] is not None:
            own = datetime.combine(day, hour, _read_zone(found.time[-1]))
            day = own.astimezone(zone).date()
        return (day - ORIGIN).days
    except (ValueError, OverflowError):
        return NO_DATE


def find_zone(name: str | None) -> ZoneInfo | None:
    """Returns the time zone of a name such as Europe/Berlin.

    Raises:
        InputError: if it is not known.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f"--zone: '{name}' is not known; a name such as Europe/Berlin is needed"
        ) from None


def _read_year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _read_year_first(parts: tuple[str, ...]) -> date:
    return date(int(parts[0]), int(parts[1]), int(parts[2]))


def _read_day_first(parts: tuple[str, ...]) -> date:
    return date(_read_year(parts[2]), int(parts[1]), int(parts[0]))


def _read_month_first(parts: tuple[str, ...]) -> date:
    return date(_read_year(parts[2]), int(parts[0]), int(parts[1]))


def _read_named(parts: tuple[str, ...]) -> date:
    return date(_read_year(parts[2]), _MONTHS[parts[1].lower()[:3]], int(parts[0]))


def _read_name_first(parts: tuple[str, ...]) -> date:
    return date(_read_year(parts[2]), _MONTHS[parts[0].lower()[:3]], int(parts[1]))


def _read_week(parts: tuple[str, ...]) -> date:
    return date.fromisocalendar(int(parts[0]), int(parts[1]), int((*parts, "1")[2]))


def _read_month(parts: tuple[str, ...]) -> date:
    return date(int(parts[0]), int(parts[1]), 1)


def _read_serial(parts: tuple[str, ...]) -> date:
    return _EXCEL_ORIGIN + timedelta(int(parts[0]))


_READERS: dict[str, Callable[[tuple[str, ...]], date]] = {
    "DD.MM.YYYY": _read_day_first,
    DAY_FIRST: _read_day_first,
    MONTH_FIRST: _read_month_first,
    "DD-Mon-YYYY": _read_named,
    "Mon DD, YYYY": _read_name_first,
    ISO_WEEK: _read_week,
    MONTH: _read_month,
    SERIAL: _read_serial,
}


def _read_time(parts: tuple[str | None, ...]) -> time:
    """The time of day; midnight where there is none."""
    hour, minute, second, half, _ = parts
    if hour is None:
        return time()
    hours = int(hour)
    if half is not None:
        if not 1 <= hours <= 12:
            raise ValueError(hours)
        hours = hours % 12 + 12 * (half.upper() == "PM")
    return time(hours, int(minute or 0), int(second or 0))


def _read_zone(text: str) -> timezone:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
