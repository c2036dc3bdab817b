"""The texts of cells: which look like dates and numbers, and the days that they name."""

from __future__ import annotations

import re
from datetime import date

import numpy as np

ORIGIN = date(1970, 1, 1)  # day 0
FIRST_DATE, LAST_DATE = ORIGIN, date(2100, 12, 31)
NO_DATE = np.iinfo(np.int64).min

_YEAR_FIRST = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]00:00(?::00(?:\.0+)?)?)?")
_SHAPES = {
    "YYYY-MM-DD": _YEAR_FIRST,
    "YYYY/MM/DD": re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})"),
    "YYYYMMDD": re.compile(r"(\d{4})(\d{2})(\d{2})"),
    "DD.MM.YYYY": re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})"),
}
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
DAY_FIRST, MONTH_FIRST, EITHER = "DD/MM/YYYY", "MM/DD/YYYY", "DD/MM/YYYY or MM/DD/YYYY"

_POINT_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_COMMA_NUMBER = re.compile(r"[+-]?(\d+(,\d*)?|,\d+)")
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+")


def classify_number(text: str, separator: str) -> str:
    """Returns `number`, `text`, `blank`, or `ambiguous` for what may be thousands."""
    if not text:
        return "blank"
    # Beside a comma as separator, a point can only be the decimal one.
    if _MAYBE_THOUSANDS.fullmatch(text) and (separator != "," or "," in text):
        return "ambiguous"
    if _POINT_NUMBER.fullmatch(text) or _COMMA_NUMBER.fullmatch(text):
        return "number" if len(text) <= 40 else "text"
    return "text"


def classify_date(text: str) -> str:
    """Returns the form of a date, `blank`, or `text` for what is none."""
    if not text:
        return "blank"
    for form, pattern in _SHAPES.items():
        if pattern.fullmatch(text):
            return form
    slashed = _SLASHED.fullmatch(text)
    if slashed is None:
        return "text"
    first, second = int(slashed[1]), int(slashed[2])
    if first > 12:
        return DAY_FIRST
    return MONTH_FIRST if second > 12 else EITHER


def count_days(text: str, form: str) -> int:
    """Returns days since 1970-01-01; `NO_DATE` for the 31st of February."""
    pattern = _SHAPES.get(form, _SLASHED)
    found = pattern.fullmatch(text)
    if found is None:
        return NO_DATE
    parts = [int(part) for part in found.groups()]
    order = {"DD.MM.YYYY": (2, 1, 0), DAY_FIRST: (2, 1, 0), MONTH_FIRST: (2, 0, 1)}
    year, month, day = (parts[i] for i in order.get(form, (0, 1, 2)))
    try:
        return (date(year, month, day) - ORIGIN).days
    except ValueError:
        return NO_DATE
